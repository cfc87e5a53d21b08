"""Enforce a deadline for a whole request, whatever the server does.

The timeouts of `requests` apply to each socket read. A server that sends one byte per second can therefore
hold a request for ever, in the headers or in the body. Here each read gets only the remaining time. Two
things can exceed the deadline: a name lookup, which has the system's own limit, and a TLS handshake inside a
proxy's TLS, where each step may take the full remaining time.
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


#: Informational statuses that may come before a reply. http.client skips 100 itself, and 101 is a reply.
INFORMATIONAL = range(102, 200)


class Deadline:
    """Deadline of the current request, for the connections that serve it.

    It handles one request at a time. Its clock is the system's, because socket timeouts use that clock.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._end = 0.0
        self._leaving: Callable[[], None] = lambda: None

    def begin(self, seconds: float, leaving: Callable[[], None]) -> None:
        """Start a request with the given timeout; `leaving` is called when the request is sent."""
        self._end = monotonic() + seconds
        self._leaving = leaving

    def left(self) -> float:
        """Return the remaining seconds.

        Raises:
            TimeoutError: no time remains.

        """
        seconds = self._end - monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; each gets an equal share of the remaining time.

        The address that last answered comes first, so that a dead one costs its share only once.

        Raises:
            OSError: no address answers.

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
                sock.settimeout(self.left())  # for the whole TLS handshake
            except OSError as error:
                sock.close()
                failure = error
            else:
                self._network.answered(host, port, address)
                return sock
        raise failure

    def sending(self, sock: socket.socket) -> None:
        """Record that `sock` sends a request now; the connection may be older than the request."""
        sock.settimeout(self.left())
        self._leaving()


class Adapter(HTTPAdapter):
    """Keeps one connection per host alive that obeys `deadline`, also through a proxy.

    It works without a `requests` session, which would keep cookies, so that a rotated key would inherit the
    old key's session. A session would also read the whole body of a redirect.
    """

    def __init__(self, deadline: Deadline, network: Network) -> None:
        self._network = network
        self._pools: dict[str, Any] = {
            "http": partial(_PlainPool, deadline=deadline),
            "https": partial(_SecurePool, deadline=deadline),
        }
        super().__init__(pool_connections=len(get_args(Host)), pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as in the base class
        """Create the pools for direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:  # noqa: ANN401
        """Return the pools for a proxy."""
        if proxy.lower().startswith("https"):
            options["proxy_ssl_context"] = self._network.tls(self._network.environment(proxy)["verify"])
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, ProxyManager):  # not SOCKS, whose pools connect through the proxy themselves
            manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return the key by which connection pools are cached."""
        host, how = super().build_connection_pool_key_attributes(*args, **options)
        if host["scheme"] == "https":
            verify = how.get("ca_certs") or how.get("ca_cert_dir") or True
            return host, {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._network.tls(verify)}
        return host, how

    def cert_verify(self, *_: object) -> None:
        """Do nothing: `requests` would reload the certificates for each connection."""


class _TimedReader(io.RawIOBase):
    """Reads a socket with the request's remaining time as timeout."""

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
    """A reply in any form that HTTP allows."""

    def _read_status(self) -> tuple[str, int, str]:
        # Several informational replies may come before the final one; http.client only handles 100.
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if found[1] not in INFORMATIONAL:
                return found
            parse_headers(self.fp)

    def begin(self) -> None:
        super().begin()
        # HTTP allows a repeated Content-Length with equal values: "8, 8".
        lengths = {each.strip() for each in (self.headers.get("Content-Length") or "").split(",")}
        length = lengths.pop()
        if not lengths and self.length is None and not self.chunked and length.isdecimal():
            self.length = int(length)
            self.will_close = self._check_close()  # type: ignore[attr-defined]


class _Reply(_AnyReply):
    def __init__(self, sock: socket.socket, *args: Any, deadline: Deadline, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **options)
        # All reads pass here, whether plain, TLS or tunnelled.
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach(), deadline.left))


class _Plain(HTTPConnection):
    def __init__(self, *args: Any, deadline: Deadline, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self._deadline = deadline
        self.response_class: Any = partial(_Reply, deadline=deadline)

    def _new_conn(self) -> socket.socket:
        try:
            return self._deadline.connect(self._dns_host, self.port or self.default_port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that DNS cannot represent
            raise NewConnectionError(self, "no connection") from error

    def _tunnel(self) -> None:
        super()._tunnel()
        self.sock.settimeout(self._deadline.left())  # for the whole TLS handshake

    def send(self, data: Any) -> None:  # noqa: ANN401 - as in the base class
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
