"""Simulate the account's money: credit, automatic top-ups, and total spending as the API reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.fleet.wallet import Wallet

if TYPE_CHECKING:
    from exporter.simulator.fleet.agenda import Agenda
    from exporter.simulator.fleet.lifecycle import Lifecycle

BILLING_SECONDS = 60.0
#: Number of billing runs after which total spending is updated: it moves in steps.
SPEND_EVERY = 3
#: The API's threshold, enabled, for users who never asked for a warning; and one in how many seeds has it.
NO_THRESHOLD = -0.01
NO_THRESHOLD_SEEDS = 3
USUAL_THRESHOLD = 20.0
#: Mail threshold as a share of the automatic top-up's, so that the user is warned before it.
THRESHOLD_SHARE = 0.75


class Billing:
    """The account's credit and spending; nothing costs anything before `begin`."""

    def __init__(self, seed: int, agenda: Agenda) -> None:
        self.wallet = Wallet(0.0, agenda.now)
        self.autobill_threshold: float | None = None
        self.autobill_amount: float | None = None
        #: None derives it from automatic billing.
        self.threshold: float | None = None if seed % NO_THRESHOLD_SEEDS else NO_THRESHOLD
        self.topped_up = 0.0
        #: Total spending at its last update.
        self.spent = 0.0
        self._agenda = agenda
        self._bills = 0
        self._warned = False

    @property
    def balance_threshold(self) -> float:
        """Credit below which the user wants a mail."""
        if self.threshold is not None:
            return self.threshold
        return round((self.autobill_threshold or USUAL_THRESHOLD) * THRESHOLD_SHARE, 2)

    def begin(self, lifecycle: Lifecycle, burn: float) -> None:
        """Set an initial credit, and automatic billing that will soon be needed."""
        burn = max(1.0, burn)
        self.autobill_threshold = float(max(5, round(12 * burn, -1)))
        self.autobill_amount = float(max(25, round(48 * burn, -1)))
        self.topped_up = round(burn * 700, 2)
        credit = self.autobill_threshold + burn / 2
        self.wallet.begin(credit, spent=self.topped_up - credit)
        self.spent = self.wallet.spent_at(self._agenda.now)
        self._agenda.after(BILLING_SECONDS, lambda: self._bill(lifecycle))

    def _bill(self, lifecycle: Lifecycle) -> None:
        now, books = self._agenda.now, lifecycle.books
        credit = self.wallet.at(now)
        if self.autobill_amount and self.autobill_threshold is not None and credit < self.autobill_threshold:
            self.wallet.put(self.autobill_amount)
            self.topped_up += self.autobill_amount
            books.notices.about_credit("payment_receipt", self.autobill_amount)
        self._warn(lifecycle)
        if self.wallet.at(now) <= 0:
            lifecycle.stop_all()
        for instance in list(books.reserved.values()):
            if instance.reserve is not None and instance.reserve.at(now) <= 0:
                books.lapse(instance)
        self._bills += 1
        if self._bills % SPEND_EVERY == 0:
            self.spent = self.wallet.spent_at(now)
        self._agenda.after(BILLING_SECONDS, lambda: self._bill(lifecycle))

    def _warn(self, lifecycle: Lifecycle) -> None:
        """Send one mail each time the credit falls below the user's threshold."""
        credit = self.wallet.at(self._agenda.now)
        low = credit < self.balance_threshold
        if low and not self._warned:
            lifecycle.books.notices.about_credit("low_credit", credit)
        self._warned = low
