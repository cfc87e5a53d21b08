"""Queue future events by simulated time."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Agenda:
    """Runs planned actions when they are due; actions due at the same time run in the order planned."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._numbers = count()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan `action` for `seconds` from now."""
        self.at(self.now + seconds, action)

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Plan `action` for `moment`, but not before now."""
        heapq.heappush(self._heap, (max(moment, self.now), next(self._numbers), action))

    def advance(self, now: float) -> None:
        """Run everything due up to `now`; an earlier time has no effect."""
        while self._heap and self._heap[0][0] <= now:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = max(self.now, now)
