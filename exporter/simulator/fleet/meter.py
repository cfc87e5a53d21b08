"""Count a quantity that grows at a known rate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Meter:
    """A total at any time, computed without work as time passes.

    `total` is the count at `settled`; since then, it grows by `rate` per hour.
    """

    settled: float
    total: float = 0.0
    rate: float = 0.0

    def at(self, now: float) -> float:
        """Return the total at `now`."""
        return self.total + self.rate * (now - self.settled) / 3600

    def set_rate(self, now: float, rate: float) -> None:
        """Grow by `rate` per hour from `now` on."""
        self.total = self.at(now)
        self.settled = now
        self.rate = rate
