"""Limit the time and size of HTTP connections, so that clients cannot exhaust the server.

uvicorn parses and responds. This module limits clients that send or read slowly or not at all.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.web.cuts import Cuts
from exporter.web.http_rules import METHODS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    import uvicorn
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from exporter.exposition.self_metrics import ConnectionCut


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for clients.

    Attributes:
        connections: maximum number of connections. A further one replaces the one that has been silent
            longest.
        head_seconds: seconds for the head of a request, from the connection or its first byte.
        answer_seconds: seconds from the head of a request to the last byte that the client reads.
        head_bytes: maximum bytes of request line and headers.
        pipelined: maximum number of requests that wait for a previous response.

    """

    connections: int = 512
    head_seconds: float = 10.0
    answer_seconds: float = 60.0
    head_bytes: int = 16384
    pipelined: int = 16


LIMITS = Limits()
#: Method of a well-formed request line.
_METHOD = re.compile(rb"^([!#$%&'*+.^_`|~0-9A-Za-z-]+) [!-~]+ HTTP/1\.[01]\r?$", re.MULTILINE)


class HeadTooLargeError(Exception):
    """The head of a request exceeds the limit."""


class Connection(HttpToolsProtocol):
    """One client connection; the server sets its class attributes, see `connections_of`."""

    limits = LIMITS
    cuts = Cuts()
    clock = staticmethod(monotonic)

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        #: Whether a request is expected or has arrived only in part.
        self._receiving = True
        #: Start of the current wait for a head, response or idle period.
        self._since = self.clock()
        self._deadline = self._since + self.limits.head_seconds
        self._in_head = True
        self._head_bytes = self._head_fed = 0
        #: Status for a head that exceeds the limit.
        self._too_large: HTTPStatus | None = None
        #: Data just received.
        self._data = b""
        self._has_ended = False

    def cut_if_overdue(self, now: float) -> None:
        """Abort the connection if its client takes too long."""
        if now > self._deadline and not self._is_idle():
            self._cut("slow_reader" if self._is_answering() else "slow_request")
            self.transport.abort()

    @property
    def silent_since(self) -> float:
        """When the client fell silent; infinity while it is being answered."""
        return math.inf if self._is_answering() else self._since

    def data_received(self, data: bytes) -> None:
        """Start or continue to wait for a complete head."""
        if self._is_idle():
            self._wait_for_head()
        self._receiving = True
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._in_head and not self.transport.is_closing():
            self._head_fed += len(data)  # the parser buffers incomplete headers
            if self._head_fed > 2 * self.limits.head_bytes:
                self._too_large = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self.send_400_response("")

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's own returns None
        """Let the client still receive its response if it has closed only its sending half."""
        self._has_ended = True
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        # With TLS, asyncio closes both halves together.
        return self.scheme == "http" and cycle is not None and not cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Reject an invalid request with the most specific status."""
        if self._too_large is not None:
            self._cut("too_large")
            self._refuse(self._too_large)
        elif any(method.decode() not in METHODS for method in _METHOD.findall(self._data)):
            self._refuse(HTTPStatus.NOT_IMPLEMENTED)
        else:
            super().send_400_response(msg)

    def _refuse(self, status: HTTPStatus) -> None:
        lines = f"HTTP/1.1 {status.value} {status.phrase}", "content-length: 0", "connection: close", "", ""
        self.transport.write("\r\n".join(lines).encode())
        self.transport.close()

    def on_message_begin(self) -> None:
        """Start to count the head."""
        super().on_message_begin()
        self._begin_head()

    def on_url(self, url: bytes) -> None:
        """Count the request line towards the limit."""
        self._count(len(url), HTTPStatus.REQUEST_URI_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header towards the limit."""
        self._count(len(name) + len(value), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the response."""
        if len(self.pipeline) >= self.limits.pipelined:
            self._cut("too_many_requests")
            self.transport.abort()
            return
        self._in_head = False
        self._since = self.clock()
        self._deadline = self._since + self.limits.answer_seconds
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Record that the request is complete."""
        self._receiving = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Close the connection if the request's body was not fully read, or no request can follow."""
        super().on_response_complete()
        self._since = self.clock()
        if self.cycle.response_complete and (self.cycle.more_body or self._has_ended):  # the last one
            self.transport.close()

    def _cut(self, reason: ConnectionCut) -> None:
        if not self.transport.is_closing():  # otherwise already closed; the parser is handling old data
            self.cuts.cut(reason, self.client[0] if self.client is not None else "unknown")

    def _begin_head(self) -> None:
        self._in_head = True
        self._head_bytes = self._head_fed = 0

    def _count(self, size: int, too_large: HTTPStatus) -> None:
        self._head_bytes += size
        if self._head_bytes > self.limits.head_bytes:
            self._too_large = too_large
            raise HeadTooLargeError  # httptools turns it into its own error

    def _wait_for_head(self) -> None:
        self._begin_head()
        self._since = self.clock()
        self._deadline = self._since + self.limits.head_seconds

    def _is_answering(self) -> bool:
        unsent = self.transport.get_write_buffer_size() > 0
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return unsent or (cycle is not None and not cycle.response_complete)

    def _is_idle(self) -> bool:
        """Return whether the keep-alive timeout applies: all requests are answered, and no data arrived."""
        return not self._receiving and not self._is_answering()


def connections_of(limits: Limits, clock: Callable[[], float], cuts: Cuts) -> type[Connection]:
    """Return a connection class with these limits; uvicorn takes a class and creates the connections."""
    own = {"limits": limits, "clock": staticmethod(clock), "cuts": cuts}
    return type("LimitedConnection", (Connection,), own)
