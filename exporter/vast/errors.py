"""What can go wrong with one request to the API, as one small tree.

    ApiError
    |-- AuthError          the key is missing, unknown, revoked or may not do this
    |-- RateLimitedError   HTTP 429
    |   `-- QuotaError     what may be asked in a day is used up
    |-- ClientError        any other HTTP 4xx, a refused page token included
    |-- ServerError        HTTP 5xx
    |-- SlowError          no whole reply in time
    |-- NetworkError       no connection, or one cut off in mid-reply
    |-- BadReplyError      a reply that is not what the API documents
    `-- IncompleteError    pages that lead to no end

`Stopped` stands beside the tree: the exporter is going down, nothing went wrong.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar, Literal

Reason = Literal[
    "auth",
    "rate_limited",
    "client_error",
    "server_error",
    "timeout",
    "network",
    "bad_reply",
    "incomplete",
    "internal",
]


#: By these the API says that it does not have what was asked for, now or any more.
_ABSENT = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class Stopped(Exception):  # noqa: N818 - a request to end, not an error
    """Raised out of a wait when the loop that waits has to end."""


class ApiError(Exception):
    """A request that did not give what was asked for.

    The message is in words for an operator; it never holds a key, a URL's query or a row of a reply.

    Attributes:
        reason: the value of the label `reason` of `vastai_collector_failures_total`.
        passing: whether the same request may well succeed a moment later.
        status: the HTTP status of the reply, or None where there was none.
        error: the word that the API's reply has for it (its field `error`), or "".

    """

    reason: ClassVar[Reason]
    passing: bool = True

    def __init__(self, message: str, *, status: int | None = None, error: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error = error

    @property
    def absent(self) -> bool:
        """Whether the API says that it does not have what was asked for, or not for this key."""
        return False


class AuthError(ApiError):
    """The API does not accept the key, and says so; the status may be 401, 403 and (an unknown key) 404.

    Attributes:
        permission: whether it may know the key, and only miss a permission.

    """

    reason = "auth"
    passing = False

    def __init__(
        self, message: str, *, status: int | None = None, error: str = "", permission: bool = False
    ) -> None:
        super().__init__(message, status=status, error=error)
        self.permission = permission

    @property
    def absent(self) -> bool:
        """Whether the key is good, as far as the reply tells, and only this is not for it."""
        return self.permission


class RateLimitedError(ApiError):
    """HTTP 429.

    Attributes:
        threshold: seconds between requests that the reply names, or None.
        retry_after: seconds of the Retry-After header, or None.

    """

    reason = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        threshold: float | None = None,
        retry_after: float | None = None,
        error: str = "",
    ) -> None:
        super().__init__(message, status=429, error=error)
        self.threshold = threshold
        self.retry_after = retry_after


class QuotaError(RateLimitedError):
    """HTTP 429 because a quota of the day is used up: asking again before its end is in vain.

    Attributes:
        until: when there is a new one, in epoch seconds.

    """

    passing = False

    def __init__(self, message: str, *, until: float, error: str = "") -> None:
        super().__init__(message, error=error)
        self.until = until


class ClientError(ApiError):
    """An HTTP 4xx that is neither about the key nor about the pace: asking again mostly changes nothing."""

    reason = "client_error"

    def __init__(
        self, message: str, *, status: int | None = None, error: str = "", passing: bool = False
    ) -> None:
        super().__init__(message, status=status, error=error)
        self.passing = passing

    @property
    def absent(self) -> bool:
        """Whether the API does not have what was asked for."""
        return self.status in _ABSENT


class ServerError(ApiError):
    """HTTP 5xx."""

    reason = "server_error"


class SlowError(ApiError):
    """The reply was not there, to its last byte, within the configured timeout."""

    reason = "timeout"


class NetworkError(ApiError):
    """No connection (name, route, refusal, TLS), or a reply that broke off."""

    reason = "network"


class BadReplyError(ApiError):
    """A reply that is no JSON object, says `success: false`, is too large or redirects to another host."""

    reason = "bad_reply"


class IncompleteError(ApiError):
    """Pages that lead to no end: a repeated token, an empty page with a token, a page that is too long."""

    reason = "incomplete"
    passing = False
