"""Requests and replies: what was asked, what is answered, and what a test makes go wrong between."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

JSON_TYPE = "application/json"
#: What the log says of a request whose connection was dropped before any answer.
DROPPED = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as the log keeps it: never with the key itself, unless it came in the query."""

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


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and what happens to it on its way."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": JSON_TYPE})
    #: Seconds before anything is sent.
    delay: float = 0.0
    #: Seconds between the tenths of the body.
    pause: float = 0.0
    #: Close the connection without any answer.
    drop: bool = False
    #: Close the connection after so many bytes of the body.
    cut: int | None = None


Fault = Reply | Callable[[Mapping[str, str], Reply], Reply]


class Faults:
    """What goes wrong with the next requests to an endpoint, in the order in which it was added.

    A fault is a reply, or a function that gets the query's parameters and the reply that was due, and
    gives the reply that is sent. One that is lasting may be for the requests of one account only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: dict[str, deque[Fault]] = {}
        self._lasting: dict[tuple[str, str | None], Fault] = {}

    def add(self, endpoint: str, *faults: Fault, times: int = 1) -> None:
        """Let these happen one after another, the whole sequence `times` times."""
        with self._lock:
            self._planned.setdefault(endpoint, deque()).extend(faults * times)

    def always(self, endpoint: str, fault: Fault, account: str | None = None) -> None:
        """Let this happen whenever nothing else is planned, until `clear`; to one account, or to all."""
        with self._lock:
            self._lasting[endpoint, account] = fault

    def clear(self) -> None:
        """Forget all that is planned."""
        with self._lock:
            self._planned.clear()
            self._lasting.clear()

    def pending(self, endpoint: str) -> int:
        """How many are still to come, those that last not counted."""
        with self._lock:
            return len(self._planned.get(endpoint, ()))

    def apply(
        self, endpoint: str, account: str, params: Mapping[str, str], due: Callable[[], Reply]
    ) -> Reply:
        """The reply to send; `due` is asked for the ordinary one only where it is needed."""
        with self._lock:
            planned = self._planned.get(endpoint)
            lasting = self._lasting.get((endpoint, account), self._lasting.get((endpoint, None)))
            fault = planned.popleft() if planned else lasting
        if fault is None:
            return due()
        return fault if isinstance(fault, Reply) else fault(params, due())


class Pace:
    """Holds requests with one key to one endpoint apart; `thresholds` is in seconds, by endpoint."""

    def __init__(self, thresholds: dict[str, float]) -> None:
        self.thresholds = thresholds
        self._last: dict[tuple[str, str], float] = {}

    def refuse(self, endpoint: str, key: str, now: float) -> Reply | None:
        """The refusal of a request that comes too soon after the one before, refused or not."""
        last = self._last.get((endpoint, key))
        self._last[endpoint, key] = now
        threshold = self.thresholds.get(endpoint)
        if threshold is None or last is None or now - last >= threshold:
            return None
        body = f"API requests too frequent: endpoint threshold={threshold}"
        return Reply(429, body.encode(), {"content-type": "text/plain"})


def json_reply(value: object, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(value, ensure_ascii=False).encode())


def error_reply(status: int, error: str, message: str) -> Reply:
    """An error in the API's usual shape."""
    return json_reply({"success": False, "error": error, "msg": message}, status)


def starts(requests: Iterable[Asked], endpoint: str) -> list[float]:
    """When the requests to an endpoint arrived: what a test looks at to judge a client's pace."""
    return [asked.time for asked in requests if asked.endpoint == endpoint]
