"""Provide simulated time: a clock that follows real time at a chosen speed, and a manual one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Start of a manual clock: 2026-01-15 12:00:00 UTC.
DEFAULT_START = 1_768_478_400.0


class SimulatedClock:
    """Returns simulated seconds since the epoch when called.

    Args:
        start: simulated time at the start.
        speed: simulated seconds per real second; 0 stops the clock.
        monotonic: the real clock that it follows.

    """

    def __init__(
        self, start: float, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._start = start
        self._speed = speed
        self._monotonic = monotonic
        self._origin = monotonic()

    def __call__(self) -> float:
        """Return the simulated time."""
        return self._start + (self._monotonic() - self._origin) * self._speed


class ManualClock:
    """Returns simulated time when called; it changes only with `advance`."""

    def __init__(self, start: float = DEFAULT_START) -> None:
        self.time = start

    def __call__(self) -> float:
        """Return the simulated time."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self.time += seconds
