"""Log the requests to the simulator, so that tests can check a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Logged status of a request whose connection was dropped without a reply.
DROPPED = 0


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A logged request, without the key unless it was in the query or body."""

    #: Time of arrival on the monotonic clock.
    time: float
    #: Path of the endpoint, with {id} in place of a number.
    endpoint: str
    #: Account name; "" if the key belongs to no account.
    account: str
    params: Mapping[str, str]
    user_agent: str
    #: Status of the reply, or DROPPED.
    status: int
    method: str = "GET"
    #: JSON value of the body, or None.
    body: object = None


def starts(requests: Iterable[LoggedRequest], endpoint: str) -> list[float]:
    """Return when the requests to an endpoint arrived, so that a test can check a client's pace."""
    return [request.time for request in requests if request.endpoint == endpoint]
