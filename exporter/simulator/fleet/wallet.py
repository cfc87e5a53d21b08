"""An amount of money that something spends at a known rate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Wallet:
    """What is left at any time, without anything to do while time passes.

    `amount` is what there was at `settled`; since then `rate` dollars an hour have been spent.
    """

    amount: float
    settled: float
    rate: float = 0.0
    spent: float = 0.0

    def at(self, now: float) -> float:
        """What is left at `now`."""
        return self.amount - self._since(now)

    def spent_at(self, now: float) -> float:
        """All that was ever spent, up to `now`."""
        return self.spent + self._since(now)

    def change_rate(self, now: float, difference: float) -> None:
        """Spend `difference` dollars an hour more (or less) from `now` on."""
        self._settle(now)
        self.rate += difference

    def put(self, now: float, dollars: float) -> None:
        """Add `dollars`."""
        self._settle(now)
        self.amount += dollars

    def set(self, now: float, dollars: float) -> None:
        """Forget what there was: it is `dollars` now."""
        self._settle(now)
        self.amount = dollars

    def _since(self, now: float) -> float:
        return self.rate * (now - self.settled) / 3600

    def _settle(self, now: float) -> None:
        since = self._since(now)
        self.amount -= since
        self.spent += since
        self.settled = now
