"""A quantity that grows at a known rate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Meter:
    """What was counted up to any time, without anything to do while time passes.

    `total` had been counted at `settled`; since then it is `rate` an hour.
    """

    settled: float
    total: float = 0.0
    rate: float = 0.0

    def at(self, now: float) -> float:
        """All that was counted up to `now`."""
        return self.total + self.rate * (now - self.settled) / 3600

    def set_rate(self, now: float, rate: float) -> None:
        """Count `rate` an hour from `now` on."""
        self.total = self.at(now)
        self.settled = now
        self.rate = rate
