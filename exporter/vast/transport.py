"""A `requests` session whose requests end at a deadline, whatever the other side does.

The timeouts of `requests` are for each read of the socket, so that a server that sends a byte a second
holds a request for ever, in the headers as in the body. Here a timer shuts the socket down in time.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from urllib3 import PoolManager, ProxyManager


class Wire:
    """The connection that a session uses at the moment, and when the last request left on it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._connection: HTTPConnection | None = None
        self.sent_at = clock()

    def leaving(self, connection: HTTPConnection) -> None:
        """Note that a request goes out on `connection` now."""
        self._connection = connection
        self.sent_at = self._clock()

    def cut(self) -> None:
        """Shut the socket down: whoever reads from it gets an error at once."""
        sock = self._connection.sock if self._connection is not None else None
        if sock is not None:
            with suppress(OSError):  # it may be closed already
                # Not sock.shutdown: an SSLSocket's own would take the TLS state from under its reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Deadline:
    """A context in which `wire` may be used for `seconds`; `passed` tells whether it was cut."""

    def __init__(self, wire: Wire, seconds: float) -> None:
        self._wire = wire
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self.passed = False

    def _pass(self) -> None:
        self.passed = True
        self._wire.cut()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()


def session(wire: Wire) -> requests.Session:
    """Return a session with one kept-alive connection, which reports to `wire`."""
    made = requests.Session()
    adapter = _Adapter(wire)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


class _Adapter(HTTPAdapter):
    """Gives its pools connections that report to the wire; through a proxy too."""

    def __init__(self, wire: Wire) -> None:
        self._pools = _pools(wire)
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as the base class has it
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> PoolManager | ProxyManager:  # noqa: ANN401
        manager: ProxyManager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(wire: Wire) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def request(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as the base class has it
            wire.leaving(self)
            super().request(*args, **options)

        def connect(self) -> None:
            super().connect()
            wire.leaving(self)

    class Secure(Plain, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
