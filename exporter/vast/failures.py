"""Describe a failed connection for an operator, without the URL that `requests` would include."""

from __future__ import annotations

import re
import ssl
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING

from requests.exceptions import InvalidSchema
from urllib3.exceptions import DecodeError, InvalidHeader, ProtocolError, ProxyError

from exporter.vast.errors import ApiError, BadReplyError, NetworkError, SlowError

if TYPE_CHECKING:
    from collections.abc import Iterator


_BROKE_OFF = (IncompleteRead, ProtocolError)
_ENDED = (*_BROKE_OFF, RemoteDisconnected)


def failure(error: Exception, *, timeout: float) -> ApiError:
    """Return the `ApiError` for an exception from the connection.

    Args:
        error: the exception.
        timeout: the request's timeout in seconds.

    """
    causes = list(_causes(error))
    last = causes[-1]
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return SlowError(f"no complete reply within {timeout:g} s")
    if any(isinstance(cause, DecodeError) for cause in causes):
        return BadReplyError("the reply can't be decompressed")
    if isinstance(last, HTTPException | InvalidHeader) and not isinstance(last, _ENDED):
        return BadReplyError("the reply is not HTTP")
    where = " to the proxy" if any(isinstance(cause, ProxyError) for cause in causes) else ""
    return NetworkError(f"the connection{where} failed: {_words(last)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, down to the original one."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        context = None if cause.__suppress_context__ else cause.__context__
        inner = (getattr(cause, "reason", None), *cause.args, cause.__cause__, context)
        cause = next((each for each in inner if isinstance(each, BaseException)), None)


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or 'no handshake'}"
    if isinstance(error, RemoteDisconnected):
        return "closed without a reply"
    if isinstance(error, _BROKE_OFF):
        return "the reply was cut off"
    if isinstance(error, InvalidSchema):
        return "a SOCKS proxy needs the Python package PySocks"
    if isinstance(error, OSError):
        # A proxy's answer to CONNECT has no strerror, but a status and a reason phrase.
        return error.strerror or plain(str(error))
    return type(error).__name__


def plain(text: str) -> str:
    """Return external text as one short line."""
    return re.sub(r"[^\x20-\x7e]+", " ", text).strip()[:200]
