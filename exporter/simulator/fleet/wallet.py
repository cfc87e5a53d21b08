"""An amount of money that something spends at a known rate."""

from __future__ import annotations

from exporter.simulator.fleet.meter import Meter


class Wallet:
    """What is left at any time, and what was ever spent; `put` and `set` are no spending."""

    def __init__(self, dollars: float, now: float) -> None:
        self._spent = Meter(now)
        self._put = dollars

    @property
    def rate(self) -> float:
        """Dollars an hour that are being spent."""
        return self._spent.rate

    def at(self, now: float) -> float:
        """What is left at `now`."""
        return self._put - self._spent.at(now)

    def spent_at(self, now: float) -> float:
        """All that was ever spent, up to `now`."""
        return self._spent.at(now)

    def change_rate(self, now: float, difference: float) -> None:
        """Spend `difference` dollars an hour more (or less) from `now` on."""
        self._spent.set_rate(now, self._spent.rate + difference)

    def begin(self, dollars: float, spent: float) -> None:
        """Have had a past: `spent` was spent before it began, and `dollars` were left then."""
        self._spent.total += spent
        self._put = dollars + self._spent.total

    def put(self, dollars: float) -> None:
        """Add `dollars`."""
        self._put += dollars

    def set(self, now: float, dollars: float) -> None:
        """Forget what there was: it is `dollars` now."""
        self._put = dollars + self._spent.at(now)
