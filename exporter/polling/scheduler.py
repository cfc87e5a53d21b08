"""Give each loop a thread when its run is due."""

from __future__ import annotations

import heapq
import threading
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from exporter.polling.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.polling.loop import Loop


class Scheduler:
    """Waits in one thread for the next due loop, and runs its step in a lane.

    Args:
        clock: returns monotonic seconds.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lanes = Lanes()
        self._news = threading.Condition()
        self._numbers = count()
        self._entries: list[tuple[float, int, Loop]] = []
        #: Number of the valid entry of each loop; older entries are skipped.
        self._valid: dict[Loop, int] = {}
        self._busy: set[Loop] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Start the scheduler."""
        self._thread.start()

    def stop(self) -> None:
        """Start no further step."""
        with self._news:
            self._stopped = True
            self._news.notify()

    def add(self, loop: Loop) -> None:
        """Run `loop` whenever it is due until it is stopped; a new `due` takes effect at once."""
        with self._news:
            if loop in self._busy:
                return  # it is added again when its step has ended
            number = next(self._numbers)
            self._valid[loop] = number
            heapq.heappush(self._entries, (loop.due, number, loop))
            self._news.notify()

    def begin_due(self) -> None:
        """Start the steps of all due loops."""
        with self._news:
            due: list[Loop] = []
            while self._seconds_left() <= 0:
                _, number, loop = heapq.heappop(self._entries)
                if self._valid.get(loop) == number:
                    del self._valid[loop]
                    self._busy.add(loop)
                    due.append(loop)
        for loop in due:
            self._begin(loop)

    def _begin(self, loop: Loop) -> None:
        def step() -> None:
            try:
                loop.step()
            finally:
                self._ended(loop)

        loop.queue()
        try:
            self._lanes.of(loop.job).submit(step, loop.name)
        except RuntimeError as error:
            loop.fail(f"no thread for it: {error}")
            self._ended(loop)

    def _ended(self, loop: Loop) -> None:
        with self._news:
            self._busy.discard(loop)
        if not loop.stopped:
            self.add(loop)

    def _seconds_left(self) -> float:
        """Return the seconds until the next entry is due: 0 or less if due, infinity if there is none."""
        return self._entries[0][0] - self._clock() if self._entries else inf

    def _run(self) -> None:
        while not self._stopped:
            self.begin_due()
            with self._news:
                left = self._seconds_left()
                if left > 0 and not self._stopped:
                    self._news.wait(None if left == inf else left)
