"""Report failed TLS handshakes to the operator, and to the client as far as TLS allows.

asyncio closes such a connection silently. Before that, it asks the TLS object, which can claim that there is
more data to send.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING

from exporter.web.rationed_log import RationedLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.exposition.self_metrics import HandshakeFailure

_log = logging.getLogger(__name__)

#: Connection of the current task and its children: the socket and the client's address.
ACCEPTED: ContextVar[tuple[socket.socket, str]] = ContextVar("accepted")

_GOES_ON = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
#: The client has disconnected, which is not a refusal.
_GONE = (ssl.SSLSyscallError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_KINDS: dict[str, HandshakeFailure] = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "bad_certificate",
    "UNSUPPORTED_PROTOCOL": "old_version",
    "HTTP_REQUEST": "plain_http",
    "HTTPS_PROXY_REQUEST": "plain_http",
}
_WORDS = b"Client sent an HTTP request to an HTTPS server.\n"
_TO_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_WORDS), _WORDS)
)


class Handshakes:
    """Counts failed handshakes, and logs them at a limited rate, so that they cannot fill a disk.

    Args:
        count: called for each failure.
        clock: returns seconds.

    """

    def __init__(
        self,
        count: Callable[[HandshakeFailure], None] = lambda _: None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._count = count
        self._rationed = RationedLog(_log, "TLS handshake failed", clock=clock)

    def failed(self, error: ssl.SSLError, client: str) -> None:
        """Record one failure."""
        kind = kind_of(error)
        self._count(kind)
        self._rationed.warn(client, kind, error=_words(error))


class Handshake(ssl.SSLObject):
    """TLS state of one connection; see `watch`."""

    _handshakes: Handshakes | None = None
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _socket: socket.socket | None
    _client: str
    _is_over = False

    def watch(self, handshakes: Handshakes, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        """Record a failure in `handshakes`, and report it to the client through these buffers."""
        self._handshakes, self._incoming, self._outgoing = handshakes, incoming, outgoing
        self._socket, self._client = ACCEPTED.get((None, "unknown"))

    def do_handshake(self) -> None:
        """Continue the handshake.

        Raises:
            ssl.SSLWantReadError: there may be data to send, and the client must reply.
            ssl.SSLError: the handshake has failed, and there is nothing left to report.

        """
        if self._is_over:
            self._incoming.read()  # unread data would cause a reset, which discards the response
            raise ssl.SSLWantReadError
        try:
            super().do_handshake()
        except (*_GOES_ON, *_GONE):
            raise
        except ssl.SSLError as error:
            if self._handshakes is None:
                raise
            self._handshakes.failed(error, self._client)
            if kind_of(error) == "plain_http":
                self._outgoing.write(_TO_HTTP)
            if not self._outgoing.pending:
                raise
            # asyncio now sends the pending data. Then the client must disconnect before the handshake
            # timeout.
            self._is_over = True
            asyncio.get_running_loop().call_soon(self._say_goodbye)
            raise ssl.SSLWantReadError from None

    def _say_goodbye(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the client has already disconnected
                self._socket.shutdown(socket.SHUT_WR)


def kind_of(error: ssl.SSLError) -> HandshakeFailure:
    """Return the kind as which a failure is counted."""
    reason = error.reason or ""
    # OpenSSL's reason contains ALERT if the other end sent an alert.
    return _KINDS.get(reason, "refused_by_client" if "_ALERT_" in reason else "other")


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return (error.reason or "unknown").replace("_", " ").lower()
