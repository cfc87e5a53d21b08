"""Tell the time of day of past events, correctly even if the system clock is set later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds by which the clocks may drift apart before that counts as a clock change. Following every
#: microsecond would change the timestamps with each scrape.
TOLERANCE = 1.0


class WallClock:
    """Converts moments of the monotonic clock to the time of day, and follows when the clock is set.

    A freshly booted machine is often years behind until it syncs with the network. The exporter therefore
    stores the monotonic moment, which no correction invalidates.

    Args:
        clock: returns monotonic seconds.
        wall_clock: returns the system's current seconds since the epoch.

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
        """Return the seconds by which the clock has been set forward since the start."""
        return self._now() - self._first

    def _now(self) -> float:
        before = self._clock()
        offset = self._wall_clock() - before
        # If the thread was suspended between reading the two clocks, the readings do not match.
        if self._clock() - before < TOLERANCE / 2 and abs(offset - self._offset) > TOLERANCE:
            self._offset = offset
        return self._offset
