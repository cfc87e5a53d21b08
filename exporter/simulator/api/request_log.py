"""What was asked of the simulator: what tests look at to judge a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What the log says of a request whose connection was dropped before any answer.
DROPPED = 0


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request, as the log keeps it: never with the key, unless that came in query or body."""

    #: When it arrived, by the monotonic clock.
    time: float
    #: The path of its endpoint, with {id} where a number stands.
    endpoint: str
    #: The name of the account; "" where the key is no account's.
    account: str
    params: Mapping[str, str]
    user_agent: str
    #: The status of the answer, or DROPPED.
    status: int
    method: str = "GET"
    #: What the JSON in its body says; None without any.
    body: object = None


def starts(requests: Iterable[LoggedRequest], endpoint: str) -> list[float]:
    """When the requests to an endpoint arrived: what a test looks at to judge a client's pace."""
    return [request.time for request in requests if request.endpoint == endpoint]
