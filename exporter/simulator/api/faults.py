"""What a test makes go wrong between a request and its answer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from exporter.simulator.api.replies import Reply

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
