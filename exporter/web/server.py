"""Serve an ASGI application on a socket in its own thread, independent of what is served."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Self

import uvicorn

from exporter.web.cuts import Cuts
from exporter.web.listener import Listener, most_connections
from exporter.web.protocol import LIMITS, Connection, Limits, connections_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from starlette.types import ASGIApp, Receive, Scope, Send

#: Seconds that open connections get to finish when the server stops; then they are closed.
GRACE_SECONDS = 0.5
#: Seconds after which remaining requests are cancelled; uvicorn requires an integer.
CANCEL_SECONDS = 1
#: Maximum number of connections that wait to be accepted.
BACKLOG = 512
#: Maximum number of connections to accept before others are served; asyncio calls it the backlog.
ACCEPTED_AT_ONCE = 16
#: Seconds to keep an idle connection: longer than usual scrape intervals.
KEEP_ALIVE_SECONDS = 75


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen, so that a port in use is an error before anything starts.

    Args:
        host: address or name; "" means every address, both IPv6 and IPv4 if available.
        port: port; 0 lets the system choose a free one.

    Raises:
        OSError: the address is not available.

    """
    if host == "" and socket.has_dualstack_ipv6():
        sock = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    else:
        infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = infos[0]
        sock = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    # Accepted connections inherit it. asyncio sets it only if the protocol is given. Without it, a response
    # whose head and body are written separately waits 40 ms for the client's delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class _Server(uvicorn.Server):
    """Closes connections that take too long, and those still open `GRACE_SECONDS` after serving has ended."""

    def __init__(
        self, config: uvicorn.Config, limits: Limits, clock: Callable[[], float], cuts: Cuts
    ) -> None:
        super().__init__(config)
        self._limits = limits
        self._clock = clock
        self._connection = connections_of(limits, clock, cuts)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as uvicorn does, but with a timeout for TLS handshakes."""
        await self.lifespan.startup()
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        patience = None if tls is None else self._limits.head_seconds

        def connection() -> Connection:
            return self._connection(self.config, self.server_state, self.lifespan.state, loop)

        self.servers = []
        for sock in sockets or ():
            server = await loop.create_server(
                connection, sock=sock, ssl=tls, ssl_handshake_timeout=patience, backlog=ACCEPTED_AT_ONCE
            )
            self.servers.append(server)
            sock.listen(BACKLOG)
        self.started = True

    def silent_since(self) -> dict[int, float]:
        """Return when each connection fell silent, by file descriptor."""
        return {
            connection.transport.get_extra_info("socket").fileno(): connection.silent_since
            for connection in self.server_state.connections
            if isinstance(connection, Connection)
        }

    async def on_tick(self, counter: int) -> bool:
        """Check for connections that take too long, every tenth of a second."""
        now = self._clock()
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.cut_if_overdue(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cut_off)
        await super().shutdown(sockets)

    def _cut_off(self) -> None:
        for connection in self.server_state.connections:
            connection.transport.abort()
        # After all clients have been disconnected, tasks that still wait for a password check have no use.
        asyncio.get_running_loop().call_later(GRACE_SECONDS / 5, self._cancel)

    def _cancel(self) -> None:
        for task in self.server_state.tasks:
            task.cancel()


def _ending_quietly(app: ASGIApp) -> ASGIApp:
    """Return `app`, ignoring cancellation, which only happens after serving has ended."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return answer


class BackgroundServer:
    """Serves `app` on `sock` from `start` to `stop`; `stop` closes the socket.

    `stopped` is called when the server's thread ends, whether requested or not. With `tls`, the server
    accepts only TLS. `clock`, in seconds, measures the limits of established connections. `cuts` records the
    connections closed by them.
    """

    def __init__(
        self,
        app: ASGIApp,
        sock: socket.socket,
        *,
        stopped: Callable[[], None] | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits = LIMITS,
        clock: Callable[[], float] = monotonic,
        cuts: Cuts | None = None,
    ) -> None:
        cuts = cuts or Cuts()
        host, self.port = sock.getsockname()[:2]
        self.host: str = host
        self._stopped = stopped
        self._scheme = "http" if tls is None else "https"
        config = uvicorn.Config(
            _ending_quietly(app),
            loop="asyncio",  # any other loop would accept connections without the listener
            lifespan="off",
            log_config=None,
            log_level="error",  # a bad request is the client's problem and must not fill a disk
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=CANCEL_SECONDS,
        )
        config.load()
        config.ssl = tls  # after loading, which would set its own
        self._server = _Server(config, limits, clock, cuts)
        most = most_connections(limits.connections)
        self._socket = Listener(sock, most=most, silent_since=self._server.silent_since, cuts=cuts)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def url(self) -> str:
        """URL for clients on this machine, without a trailing slash."""
        host = {"0.0.0.0": "127.0.0.1", "::": "localhost"}.get(self.host, self.host)
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def connections(self) -> int:
        """Number of connections, not counting unfinished TLS handshakes."""
        return len(self._server.server_state.connections)

    def start(self) -> None:
        """Start the thread; the kernel already queues connections since the socket listens."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; open connections have `GRACE_SECONDS` to finish."""
        self._server.should_exit = True
        self._thread.join(GRACE_SECONDS + CANCEL_SECONDS)

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            if self._stopped is not None:
                self._stopped()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
