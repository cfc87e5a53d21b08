"""A scraper with very little cost of its own: one kept-alive connection, one buffer."""

from __future__ import annotations

import re
import socket
import time
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_REQUEST = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/plain\r\nAccept-Encoding: {}\r\n\r\n"
_HEAD_END = b"\r\n\r\n"
#: Bytes per read.
PIECE = 1024 * 1024


class Connection:
    """A connection to /metrics on a local port, reused for all scrapes."""

    def __init__(self, port: int, *, gzip: bool = True) -> None:
        self._request = _REQUEST.format("gzip" if gzip else "identity").encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(PIECE))

    def scrape(self) -> float:
        """Return the seconds from a request to the last byte of its response, and discard the response."""
        started = time.perf_counter()
        _, left = self._begin()
        while left > 0:
            left -= len(self._receive())
        return time.perf_counter() - started

    def body(self) -> bytes:
        """Scrape once, and return the body as received."""
        body, left = self._begin()
        pieces = [body]
        while left > 0:
            pieces.append(bytes(self._receive()))
            left -= len(pieces[-1])
        return b"".join(pieces)

    def _begin(self) -> tuple[bytes, int]:
        """Return the part of the body that arrived with the headers, and the number of bytes to come."""
        self._socket.sendall(self._request)
        came = b""
        while _HEAD_END not in came:
            came += self._receive()
        head, _, body = came.partition(_HEAD_END)
        length = _LENGTH.search(head + b"\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or not length:
            raise ConnectionError(f"not the response that was asked for: {head[:200]!r}")
        return body, int(length[1]) - len(body)

    def _receive(self) -> memoryview:
        count = self._socket.recv_into(self._buffer)
        if not count:
            raise ConnectionError("closed within a response")
        return self._buffer[:count]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
