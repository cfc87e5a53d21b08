"""Hold an amount of money that is spent at a known rate."""

from __future__ import annotations

from exporter.simulator.fleet.meter import Meter


class Wallet:
    """The balance and total spending at any time; `put` and `set` do not count as spending."""

    def __init__(self, dollars: float, now: float) -> None:
        self._spent = Meter(now)
        self._put = dollars

    @property
    def rate(self) -> float:
        """Current spending in dollars per hour."""
        return self._spent.rate

    def at(self, now: float) -> float:
        """Return the balance at `now`."""
        return self._put - self._spent.at(now)

    def spent_at(self, now: float) -> float:
        """Return the total spending up to `now`."""
        return self._spent.at(now)

    def change_rate(self, now: float, difference: float) -> None:
        """Spend `difference` dollars per hour more (or less) from `now` on."""
        self._spent.set_rate(now, self._spent.rate + difference)

    def begin(self, dollars: float, spent: float) -> None:
        """Set the past: `spent` dollars spent before the start, and `dollars` left."""
        self._spent.total += spent
        self._put = dollars + self._spent.total

    def put(self, dollars: float) -> None:
        """Add `dollars`."""
        self._put += dollars

    def set(self, now: float, dollars: float) -> None:
        """Set the balance to `dollars`."""
        self._put = dollars + self._spent.at(now)
