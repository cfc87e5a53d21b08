"""Requests that end at a deadline, whatever the other side does.

The timeouts of `requests` are for each read of the socket, so that a server that sends a byte a second
holds a request for ever, in the headers as in the body. Here each read may take what is left of the time.
What that can't end is the look-up of a name, which has the system's own limit, and a handshake inside of
the TLS of a proxy, each step of which may take as long.
"""

from __future__ import annotations

import io
import socket
from functools import partial
from http.client import HTTPResponse, parse_headers
from time import monotonic
from typing import TYPE_CHECKING, Any, get_args

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.poolmanager import ProxyManager

from exporter.vast.endpoints import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer
    from urllib3 import PoolManager

    from exporter.vast.network import Network


#: What a server may say before its reply, but for 100, which http.client passes over, and 101, which is one.
INFORMATIONAL = range(102, 200)


class Deadline:
    """When the present request has to be over: connections ask what time is left, and tell when it leaves.

    It is for one request at a time. Its clock is the system's: no other would tell a socket how long to wait.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._end = 0.0
        self._leaving: Callable[[], None] = lambda: None

    def begin(self, seconds: float, leaving: Callable[[], None]) -> None:
        """Begin a request, which may take some seconds; `leaving` is called when it goes out."""
        self._end = monotonic() + seconds
        self._leaving = leaving

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are.

        """
        seconds = self._end - monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; each has an equal share of the time that is left.

        The one that answered last is tried first, so that a dead one costs its share once, and not each time.

        Raises:
            OSError: none does.

        """
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        addresses = self._network.in_order(host, port, [*found])
        failure = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.left() / (len(addresses) - index))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                sock.settimeout(self.left())  # for all of a TLS handshake
            except OSError as error:
                sock.close()
                failure = error
            else:
                self._network.answered(host, port, address)
                return sock
        raise failure

    def sending(self, sock: socket.socket) -> None:
        """Note that something goes out on `sock` now, which may be a connection of some requests ago."""
        sock.settimeout(self.left())
        self._leaving()


class Adapter(HTTPAdapter):
    """Keeps a connection to each host alive, which reports to `deadline`; through a proxy too.

    It is used without a session of `requests`: that would keep cookies, which give a rotated key the session
    of the one before, and read the whole body of a redirect.
    """

    def __init__(self, deadline: Deadline, network: Network) -> None:
        self._network = network
        self._pools: dict[str, Any] = {
            "http": partial(_PlainPool, deadline=deadline),
            "https": partial(_SecurePool, deadline=deadline),
        }
        super().__init__(pool_connections=len(get_args(Host)), pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Make the pools for what needs no proxy."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:  # noqa: ANN401
        """Return the pools for a proxy."""
        if proxy.lower().startswith("https"):
            options["proxy_ssl_context"] = self._network.tls(self._network.environment(proxy)["verify"])
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, ProxyManager):  # not one for SOCKS, whose pools know the way to the proxy
            manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return what a pool of connections is found by."""
        host, how = super().build_connection_pool_key_attributes(*args, **options)
        if host["scheme"] == "https":
            verify = how.get("ca_certs") or how.get("ca_cert_dir") or True
            return host, {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._network.tls(verify)}
        return host, how

    def cert_verify(self, *_: object) -> None:
        """Do nothing: `requests` would have the certificates read again for each connection."""


class _TimedReader(io.RawIOBase):
    """Reads a socket, each time for as long as its request has left."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, left: Callable[[], float]) -> None:
        super().__init__()
        self._sock = sock
        self._raw = raw
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        self._sock.settimeout(self._left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _AnyReply(HTTPResponse):
    """A reply in every form that HTTP allows."""

    def _read_status(self) -> tuple[str, int, str]:
        # Any number of informational replies may come before the final one; http.client knows 100 only.
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if found[1] not in INFORMATIONAL:
                return found
            parse_headers(self.fp)

    def begin(self) -> None:
        super().begin()
        # A length that is there twice, and the same, is one length: "8, 8".
        lengths = {each.strip() for each in (self.headers.get("Content-Length") or "").split(",")}
        length = lengths.pop()
        if not lengths and self.length is None and not self.chunked and length.isdecimal():
            self.length = int(length)
            self.will_close = self._check_close()  # type: ignore[attr-defined]


class _Reply(_AnyReply):
    def __init__(self, sock: socket.socket, *args: Any, deadline: Deadline, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **options)
        # Plain, TLS or in a tunnel, everything that is read passes here.
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach(), deadline.left))


class _Plain(HTTPConnection):
    def __init__(self, *args: Any, deadline: Deadline, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self._deadline = deadline
        self.response_class: Any = partial(_Reply, deadline=deadline)

    def _new_conn(self) -> socket.socket:
        try:
            return self._deadline.connect(self._dns_host, self.port or self.default_port)
        except (OSError, UnicodeError) as error:  # the latter from a name that no DNS can hold
            raise NewConnectionError(self, "no connection") from error

    def _tunnel(self) -> None:
        super()._tunnel()
        self.sock.settimeout(self._deadline.left())  # for all of a TLS handshake

    def send(self, data: Any) -> None:  # noqa: ANN401 - as the base class has it
        if self.sock is None:
            self.connect()
        self._deadline.sending(self.sock)
        super().send(data)


class _Secure(_Plain, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    def __init__(self, *args: Any, deadline: Deadline, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self.ConnectionCls: Any = partial(_Plain, deadline=deadline)


class _SecurePool(HTTPSConnectionPool):
    def __init__(self, *args: Any, deadline: Deadline, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self.ConnectionCls: Any = partial(_Secure, deadline=deadline)
