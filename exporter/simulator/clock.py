"""Simulated time: one clock that follows real time at a chosen speed, one that a test moves by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Where a clock that is moved by hand begins: 2026-01-15 12:00:00 UTC.
DEFAULT_START = 1_768_478_400.0


class SimulatedClock:
    """Seconds since the epoch in simulated time; call it to read it.

    Args:
        start: the simulated time at which it begins.
        speed: simulated seconds in a real one; 0 stands still.
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
        """The simulated time."""
        return self._start + (self._monotonic() - self._origin) * self._speed


class ManualClock:
    """A clock that stands still until `advance` is called; call it to read it."""

    def __init__(self, start: float = DEFAULT_START) -> None:
        self.time = start

    def __call__(self) -> float:
        """The simulated time."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Move it on by `seconds`."""
        self.time += seconds
