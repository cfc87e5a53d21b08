"""A `requests` session whose requests end at a deadline, whatever the other side does.

The timeouts of `requests` are for each read of the socket, so that a server that sends a byte a second
holds a request for ever, in the headers as in the body. Here a timer shuts the socket down in time. What
it can't end is the look-up of a name, which has the system's own limit.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.poolmanager import ProxyManager

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from urllib3 import PoolManager


LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Deadline:
    """A context that shuts down the socket used in it after some seconds.

    It holds the socket by a descriptor of its own: TLS, a proxy's tunnel and `Connection: close` each take
    the socket object away from its connection, but none of them closes this.

    Attributes:
        passed: whether the time is over.

    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self.passed = False

    def left(self) -> float:
        """Return the seconds that are left; above 0, as a timeout of 0 has a meaning of its own."""
        return max(0.001, self._end - self._clock())

    def hold(self, sock: socket.socket) -> None:
        """Shut `sock` down in time."""
        with self._lock:
            self._release()
            self._held = socket.socket(fileno=os.dup(sock.fileno()))
            if self.passed:
                self._cut()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._release()

    def _pass(self) -> None:
        with self._lock:
            self.passed = True
            self._cut()

    def _cut(self) -> None:
        if self._held is not None:
            with suppress(OSError):  # the other side may have been faster
                self._held.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


class Wire:
    """What the connections of a session report to; for one request at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadline = Deadline(0, clock)
        self._leaving: Callable[[], None] = lambda: None

    def within(self, seconds: float, leaving: Callable[[], None]) -> Deadline:
        """Return the context for the next request; `leaving` is called when it goes out."""
        self._deadline = Deadline(seconds, self._clock)
        self._leaving = leaving
        return self._deadline

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; each has an equal share of the time that is left.

        Raises:
            OSError: none does.

        """
        addresses = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        failure = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self._deadline.left() / (len(addresses) - index))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            else:
                sock.settimeout(self._deadline.left())  # for all of a TLS handshake
                return sock
        raise failure

    def sending(self, sock: socket.socket) -> None:
        """Note that something goes out on `sock` now, which may be a connection of some requests ago."""
        self._deadline.hold(sock)
        self._leaving()


def session(wire: Wire) -> requests.Session:
    """Return a session with one kept-alive connection, which reports to `wire`."""
    made = _Session()
    # A cookie would give a rotated key the session of the one before.
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = _Adapter(wire)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


class _Session(requests.Session):
    """Does not follow redirects, and asks no proxy for what is on this machine."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Name none: `requests` reads the whole body of a redirect, even where it is not to follow it."""

    def merge_environment_settings(self, url: Any, *args: Any) -> Any:  # noqa: ANN401 - as the base class has it
        """Take proxies and certificates from the environment, as `requests` does."""
        settings = super().merge_environment_settings(url, *args)
        if urlsplit(url).hostname in LOOPBACK:
            settings["proxies"] = {}
        return settings


class _Adapter(HTTPAdapter):
    """Gives its pools connections that report to the wire; through a proxy too."""

    def __init__(self, wire: Wire) -> None:
        self._pools = _pools(wire)
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as the base class has it
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> PoolManager:  # noqa: ANN401
        manager: PoolManager = super().proxy_manager_for(*args, **options)
        if isinstance(manager, ProxyManager):  # not one for SOCKS, whose pools know the way to the proxy
            manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(wire: Wire) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            try:
                return wire.connect(self._dns_host, self.port or self.default_port)
            except (OSError, UnicodeError) as error:  # the latter from a name that no DNS can hold
                raise NewConnectionError(self, "no connection") from error

        def send(self, data: Any) -> None:  # noqa: ANN401 - as the base class has it
            if self.sock is None:
                self.connect()
            wire.sending(self.sock)
            super().send(data)

    class Secure(Plain, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
