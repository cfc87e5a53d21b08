"""The time of day of what has happened: right even if the machine's clock is set afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds by which both clocks may drift apart before that counts as a clock that was set. Following each
#: microsecond would give every scrape other timestamps.
TOLERANCE = 1.0


class WallClock:
    """Tells the time of day, now and at moments of the monotonic clock; follows when the clock is set.

    A machine that has just started often thinks that it is years ago, until the network tells it better. What
    is kept is the monotonic moment, which no correction makes wrong.

    Args:
        clock: monotonic seconds.
        wall_clock: seconds since the epoch, as the system says at present.

    """

    def __init__(self, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._first = self._offset = wall_clock() - clock()

    def __call__(self) -> float:
        """Return the seconds since the epoch."""
        return self.at(self._clock())

    def at(self, moment: float) -> float:
        """Return the seconds since the epoch at a moment of the monotonic clock."""
        return moment + self._now()

    def set_by(self) -> float:
        """Return the seconds by which the clock was set forwards since the beginning."""
        return self._now() - self._first

    def _now(self) -> float:
        before = self._clock()
        offset = self._wall_clock() - before
        # Where the thread had to wait between both clocks, they say nothing of each other.
        if self._clock() - before < TOLERANCE / 2 and abs(offset - self._offset) > TOLERANCE:
            self._offset = offset
        return self._offset
