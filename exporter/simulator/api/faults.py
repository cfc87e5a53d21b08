"""Inject faults between a request and its reply, for tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from exporter.simulator.api.replies import Reply

Fault = Reply | Callable[[Mapping[str, str], Reply], Reply]


class Faults:
    """Faults for the next requests to an endpoint, in the order in which they were added.

    A fault is a reply, or a function that receives the query parameters and the regular reply, and returns
    the reply to send. A permanent fault may apply to the requests of one account only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: dict[str, deque[Fault]] = {}
        self._lasting: dict[tuple[str, str | None], Fault] = {}

    def add(self, endpoint: str, *faults: Fault, times: int = 1) -> None:
        """Add faults, to occur one after another; the whole sequence occurs `times` times."""
        with self._lock:
            self._planned.setdefault(endpoint, deque()).extend(faults * times)

    def always(self, endpoint: str, fault: Fault, account: str | None = None) -> None:
        """Add a fault for every request without a planned one, until `clear`; for one account or all."""
        with self._lock:
            self._lasting[endpoint, account] = fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._planned.clear()
            self._lasting.clear()

    def pending(self, endpoint: str) -> int:
        """Return the number of planned faults, without permanent ones."""
        with self._lock:
            return len(self._planned.get(endpoint, ()))

    def apply(
        self, endpoint: str, account: str, params: Mapping[str, str], due: Callable[[], Reply]
    ) -> Reply:
        """Return the reply to send; `due` makes the regular one and is called only if needed."""
        with self._lock:
            planned = self._planned.get(endpoint)
            lasting = self._lasting.get((endpoint, account), self._lasting.get((endpoint, None)))
            fault = planned.popleft() if planned else lasting
        if fault is None:
            return due()
        return fault if isinstance(fault, Reply) else fault(params, due())
