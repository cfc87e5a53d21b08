"""Keep the account's instances and money in step: every state change goes through this module."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.fleet.instance import RELEASED
from exporter.simulator.fleet.ledger import Ledger
from exporter.simulator.fleet.notices import Notices
from exporter.simulator.fleet.roster import Roster
from exporter.simulator.fleet.traffic import STEADY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.agenda import Agenda
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.wallet import Wallet

#: Seconds by which a lost instance's own plans are postponed until its host is back.
LOST_PAUSE_SECONDS = 30.0


class Books:
    """All instances of one account, their plans and their cost."""

    def __init__(self, seed: int, agenda: Agenda, account: Wallet) -> None:
        self.roster = Roster()
        self.agenda = agenda
        self.account = account
        self.ledger = Ledger(self.roster, agenda)
        self.notices = Notices(seed, agenda)
        #: Instances with their own prepaid credit, by id.
        self.reserved: dict[int, Instance] = {}
        self._rng = Random(f"traffic {seed}")

    @property
    def now(self) -> float:
        """The simulated time."""
        return self.agenda.now

    def later(self, instance: Instance, seconds: float, step: Callable[[Instance], None]) -> None:
        """Plan a step of an instance; it is dropped if the instance's state changes first."""
        version = instance.version

        def run() -> None:
            if self.roster.get(instance.id) is not instance or instance.version != version:
                return
            if instance.lost:
                self.later(instance, LOST_PAUSE_SECONDS, step)
            else:
                step(instance)

        self.agenda.after(seconds, run)

    def change(
        self,
        instance: Instance,
        status: str | None,
        intended: str = "running",
        message: str | None = None,
        *,
        holds_gpus: bool | None = None,
    ) -> None:
        """Set the container's state; by default its GPUs are kept unless it is stopped."""
        instance.status = status
        instance.intended = intended
        instance.status_msg = message
        kept = status not in RELEASED and intended != "stopped"
        instance.holds_gpus = kept if holds_gpus is None else holds_gpus
        instance.outbid = False
        instance.version += 1
        self.refresh(instance)
        if instance.shown_status == "running":
            self._vary_traffic(instance)

    def refresh(self, instance: Instance) -> None:
        """Update uptime, telemetry, traffic and spending to match the shown state."""
        if instance.shown_status == "running":
            if instance.running_since is None:
                instance.running_since = self.now
            instance.ever_ran = True
            instance.read_until = None
        else:
            if instance.running_since is not None:
                instance.read_until = self.now
            instance.running_since = None
            self.flow(instance, 0.0, 0.0)
        instance.spending.set_rates(self.now, *instance.spent_rates())
        purse = instance.reserve or self.account
        rate = instance.burn()
        purse.change_rate(self.now, rate - instance.rate)
        instance.rate = rate

    def flow(self, instance: Instance, up: float, down: float) -> None:
        """Set the traffic in KB per hour; the account always pays for it, not the instance's own credit."""
        before = instance.traffic.dollars_per_hour
        instance.traffic.flow(self.now, up, down)
        self.account.change_rate(self.now, instance.traffic.dollars_per_hour - before)

    def lose(self, instance: Instance, status: str) -> None:
        """Lose contact with its host: `status` is shown until `find`."""
        instance.lost = status
        self.refresh(instance)

    def find(self, instance: Instance) -> None:
        """Restore contact with its host."""
        instance.lost = None
        self.refresh(instance)

    def forget(self, instance: Instance) -> None:
        """Remove an instance, and stop its cost."""
        self.flow(instance, 0.0, 0.0)
        self.ledger.end_contract(instance)
        purse = instance.reserve or self.account
        purse.change_rate(self.now, -instance.rate)
        instance.version += 1
        self.reserved.pop(instance.id, None)
        self.roster.remove(instance)

    def lapse(self, instance: Instance) -> None:
        """End the prepaid credit of a reserved instance; from now on, the account pays."""
        if instance.reserve is not None:
            self.account.change_rate(self.now, instance.rate)
            instance.reserve = None
            instance.discount = 0.0
            del self.reserved[instance.id]
            self.refresh(instance)

    def _vary_traffic(self, instance: Instance) -> None:
        """Change a running instance's traffic from time to time."""
        up, down = instance.traffic.next_flow()
        self.flow(instance, up, down)
        self.later(instance, STEADY_SECONDS * self._rng.uniform(0.5, 1.5), self._vary_traffic)
