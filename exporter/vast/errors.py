"""Define the errors of an API request as one small tree.

    ApiError
    |-- AuthError          the key is missing, unknown, revoked or lacks a permission
    |-- RateLimitedError   HTTP 429
    |   `-- QuotaError     the daily quota is used up
    |-- ClientError        any other HTTP 4xx, including a refused page token
    |-- ServerError        HTTP 5xx
    |-- SlowError          no complete reply in time
    |-- NetworkError       no connection, or a connection lost mid-reply
    |-- BadReplyError      a reply that the API does not document
    `-- IncompleteError    pagination without an end

`Stopped` is not part of the tree: it means that the exporter is shutting down, not that a request failed.
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


#: Statuses that mean that a resource does not exist, or no longer exists.
_ABSENT = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class Stopped(Exception):  # noqa: N818 - a request to end, not an error
    """Raised from a wait when the waiting loop must end."""


class ApiError(Exception):
    """A failed API request.

    The message is for an operator. It never contains a key, a URL's query or a row of a reply.

    Attributes:
        reason: value of the label `reason` of `vastai_collector_failures_total`.
        passing: whether the failure may be transient, so that a retry may succeed.
        status: HTTP status of the reply, or None if there was none.
        error: error code from the reply's field `error`, or "".

    """

    reason: ClassVar[Reason]
    passing: bool = True

    def __init__(self, message: str, *, status: int | None = None, error: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error = error

    @property
    def absent(self) -> bool:
        """Whether the API reports that the resource does not exist or is not available to this key."""
        return False


class AuthError(ApiError):
    """The API rejected the key; the status may be 401, 403 or, for an unknown key, 404.

    Attributes:
        permission: whether the key may be valid and only lack a permission.

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
        """Whether the key appears valid and lacks only the permission for this resource."""
        return self.permission


class RateLimitedError(ApiError):
    """HTTP 429.

    Attributes:
        threshold: minimum seconds between requests according to the reply, or None.
        retry_after: seconds from the Retry-After header, or None.

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
    """HTTP 429 because the daily quota is used up; retries fail until it resets.

    Attributes:
        until: when the quota resets, in epoch seconds.

    """

    passing = False

    def __init__(self, message: str, *, until: float, error: str = "") -> None:
        super().__init__(message, error=error)
        self.until = until


class ClientError(ApiError):
    """HTTP 4xx unrelated to the key or the pace; a retry rarely helps."""

    reason = "client_error"

    def __init__(
        self, message: str, *, status: int | None = None, error: str = "", passing: bool = False
    ) -> None:
        super().__init__(message, status=status, error=error)
        self.passing = passing

    @property
    def absent(self) -> bool:
        """Whether the API reports that the resource does not exist."""
        return self.status in _ABSENT


class ServerError(ApiError):
    """HTTP 5xx."""

    reason = "server_error"


class SlowError(ApiError):
    """No complete reply within the configured timeout."""

    reason = "timeout"


class NetworkError(ApiError):
    """No connection (name, route, refusal, TLS), or a connection lost mid-reply."""

    reason = "network"


class BadReplyError(ApiError):
    """A reply that is not a JSON object, says `success: false`, is too large or redirects to another host."""

    reason = "bad_reply"


class IncompleteError(ApiError):
    """Endless pagination: a repeated token, an empty page with a token, or a page with too many rows."""

    reason = "incomplete"
    passing = False
