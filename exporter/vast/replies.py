"""Interpret an API reply as the requested object or as an error."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from exporter.vast.errors import (
    AuthError,
    BadReplyError,
    ClientError,
    QuotaError,
    RateLimitedError,
    ServerError,
)
from exporter.vast.failures import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_THRESHOLD = re.compile(r"threshold\s*=\s*([0-9]{1,6}(?:\.[0-9]{1,9})?)")
#: Known wordings of the API's errors about a key.
_OF_THE_KEY = re.compile(
    r"invalid user key|two[- ]factor|requires? login|log ?in again|session (?:has )?expired"
    r"|authentication credentials were not provided",
    re.IGNORECASE,
)
#: 200, and the status that a modifying proxy may turn it into.
_GOOD = {HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION}
#: Client errors after which the same request may be retried (RFC 9110).
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.TOO_EARLY}
#: Error code for a used-up daily quota.
QUOTA_EXCEEDED = "search_quota_exceeded"
#: Seconds per day; quotas reset at midnight UTC.
DAY = 86_400
_QUERY = re.compile(r"\?\S*=\S*")
#: Longer integers are read as floats. Python refuses thousands of digits, and no field has that many.
_MOST_DIGITS = 100


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP reply: status, headers and decoded body; the repr omits the body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def redirect(self, url: str) -> str | None:
        """Return the URL to which this reply redirects a request for `url`, or None.

        Raises:
            BadReplyError: the URL has another scheme, host or port, to which the key must not be sent.

        """
        location = self.headers.get("Location")
        if location is None or not HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST:
            return None
        here = urlsplit(url)
        try:
            there = urlsplit(urljoin(url, location))
        except ValueError:
            message = f"HTTP {self.status} with an invalid Location header"
            raise BadReplyError(message, status=self.status) from None
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            where = plain(f"{there.scheme}://{there.hostname}")
            message = f"HTTP {self.status}, redirect to another origin ({where}), not followed"
            raise BadReplyError(message, status=self.status)
        # Without the query, the request would return all fields, including secrets in the rows.
        return there._replace(query=there.query or here.query, fragment="").geturl()

    def content(self, *, key: str, now: float, bare_list: str = "") -> dict[str, Any]:
        """Return the object of a successful reply.

        Args:
            key: the request's key, to redact it in errors.
            now: seconds since the epoch.
            bare_list: field name under which to return a reply that is a bare list; "" if a bare list is an
                error.

        Raises:
            ApiError: the reply is not successful.

        """
        found = _json_object(self.body, bare_list)
        error = str(found["error"]) if found is not None and isinstance(found.get("error"), str) else ""
        message = f"HTTP {self.status}{self._says(found, key)}"
        self._check_key(found, message, error)
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise self._rate_limited(message, error, now)
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerError(message, status=self.status, error=error)
        if self.status >= HTTPStatus.BAD_REQUEST:
            raise ClientError(message, status=self.status, error=error, passing=self.status in _PASSING)
        if self.status not in _GOOD or found is None or found.get("success") is False:
            raise BadReplyError(message, status=self.status, error=error)
        return found

    def _check_key(self, found: dict[str, Any] | None, message: str, error: str) -> None:
        """Check whether the API rejects the key, by its message and not by the status alone.

        The API answers an unknown key with 404, and a firewall in between answers unrelated requests with
        403.

        Raises:
            AuthError: the key is not accepted or lacks a permission.
            ClientError: the reply is not from the API; a retry may succeed.
            BadReplyError: the reply is not from the API but an HTML page.

        """
        denied = self.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        words = _words(found) if found is not None else ""
        if found is None and denied and not self._is_html():
            words = self.body[:200].decode("utf-8", "replace")
        failed = self.status >= HTTPStatus.BAD_REQUEST or (
            found is not None and found.get("success") is False
        )
        if error == "auth_error" or (failed and _OF_THE_KEY.search(words)):
            raise AuthError(message, status=self.status, error=error)
        if not denied:
            return
        if found is not None and words:
            raise AuthError(message, status=self.status, error=error, permission=True)
        if self._is_html():
            raise BadReplyError(f"{message}, not from the API", status=self.status)
        raise ClientError(f"{message}, not from the API", status=self.status, passing=True)

    def _is_html(self) -> bool:
        return self.body.lstrip()[:1] == b"<"

    def _says(self, found: dict[str, Any] | None, key: str) -> str:
        """Return the reply's message as one short line, never its rows."""
        if found is None:
            kind = "of HTML" if self._is_html() else "that are not a JSON object"
            return f", {len(self.body)} bytes {kind}" if self.body else ", empty reply"
        text = plain(_QUERY.sub("", _words(found).replace(key, "<key>")))
        return f" ({text})" if text else ""

    def _rate_limited(self, message: str, error: str, now: float) -> RateLimitedError:
        if error == QUOTA_EXCEEDED:
            until = _midnight(self.headers.get("X-RateLimit-Reset", ""), now)
            return QuotaError(f"daily quota exhausted: {message}", until=until, error=error)
        found = _THRESHOLD.search(self.body[:4096].decode("utf-8", "replace"))
        return RateLimitedError(
            f"too many requests, threshold {found[1]} s: HTTP 429"
            if found
            else f"too many requests: {message}",
            threshold=float(found[1]) if found else None,
            retry_after=_retry_after(self.headers.get("Retry-After", ""), now),
            error=error,
        )


def _words(found: dict[str, Any]) -> str:
    """Return the reply's message."""
    words = [found[name] for name in ("error", "msg", "message", "detail") if name in found]
    return ": ".join(word for word in words if isinstance(word, str))


def _json_object(body: bytes, bare_list: str) -> dict[str, Any] | None:
    try:
        reply = json.loads(body)
    except RecursionError:  # endless nesting
        return None
    except ValueError:  # no JSON, invalid bytes, or a number with more digits than Python converts
        reply = _json_with_flaws(body)
    if bare_list and isinstance(reply, list):
        return {bare_list: reply}
    return reply if isinstance(reply, dict) else None


def _json_with_flaws(body: bytes) -> object:
    """Read JSON with a few malformed values, so that only their samples are missing.

    Very long integers become floats, invalid UTF-8 becomes U+FFFD, and unescaped control characters are
    allowed.
    """
    try:
        return json.loads(
            body.decode(json.detect_encoding(body), "replace"),
            parse_int=lambda digits: int(digits) if len(digits) < _MOST_DIGITS else float(digits),
            strict=False,
        )
    except (ValueError, RecursionError):
        return None


def _midnight(reset: str, now: float) -> float:
    """Return when the daily quota resets (epoch): the time from the header, or else midnight UTC."""
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", reset.strip(), re.ASCII) and now < float(reset) <= now + DAY:
        return float(reset)
    return (now // DAY + 1) * DAY


def _retry_after(value: str, now: float) -> float | None:
    """Return the seconds from a Retry-After header, which contains seconds or a date."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value.strip(), re.ASCII):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
