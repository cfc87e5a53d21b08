"""What happens to instances by themselves: rented, started, stopped, restarted, expired, destroyed.

Every change of an instance's state goes through `Lifecycle.change`, `lose` or `find`, which keep the
account's spending in step with it.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.fleet.catalog import LABELS, TEMPLATES
from exporter.simulator.fleet.instance import Contract, Instance
from exporter.simulator.fleet.machines import Market
from exporter.simulator.fleet.roster import Roster
from exporter.simulator.fleet.sensors import draw_profile
from exporter.simulator.fleet.wallet import Wallet

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.agenda import Agenda

HOUR = 3600.0
DAY = 24 * HOUR
#: Mean time between the user's decisions about one instance: one a minute in a fleet of 60.
DECISION_SECONDS = 1.2 * HOUR
#: Mean time that a stopped instance is left alone.
STOPPED_SECONDS = 0.6 * HOUR
#: A lost instance's own plans wait until its host is back.
LOST_PAUSE_SECONDS = 30.0
BID_SHARE = 0.22
RESERVED_SHARE = 0.05
DISK_SIZES = (10.08, 20.0, 32.0, 50.0, 64.0, 100.0, 200.0, 500.0)
#: What a user decides about a running instance, and how often.
DECISIONS = {"keep": 50, "stop": 22, "reboot": 10, "freeze": 3, "destroy": 15}


class Lifecycle:
    """The account's instances, and what the user and the hosts do with them in the ordinary way."""

    def __init__(self, seed: int, size: int, agenda: Agenda, account: Wallet) -> None:
        self.roster = Roster()
        self.size = size
        self.agenda = agenda
        self.account = account
        self.rng = Random(f"fleet {seed}")
        self.market = Market(Random(f"market {seed}"))
        self.lost_hosts: set[int] = set()
        self.reserved: dict[int, Instance] = {}
        self._seed = seed
        self._last_id = self.rng.randrange(23_000_000, 26_000_000)

    @property
    def now(self) -> float:
        """The simulated time."""
        return self.agenda.now

    def later(self, instance: Instance, seconds: float, step: Callable[[Instance], None]) -> None:
        """Plan a step of an instance; it is dropped when the instance's state changes before."""
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
        self, instance: Instance, status: str | None, intended: str = "running", message: str | None = None
    ) -> None:
        """Set the container's state."""
        instance.status = status
        instance.intended = intended
        instance.status_msg = message
        instance.version += 1
        self.refresh(instance)

    def refresh(self, instance: Instance) -> None:
        """Bring uptime, telemetry and spending in step with the state shown."""
        if instance.shown_status == "running":
            if instance.running_since is None:
                instance.running_since = self.now
            instance.ever_ran = True
            instance.read_until = None
        else:
            if instance.running_since is not None:
                instance.read_until = self.now
            instance.running_since = None
        purse = instance.reserve or self.account
        rate = instance.burn()
        purse.change_rate(self.now, rate - instance.rate)
        instance.rate = rate

    def lose(self, instance: Instance, status: str) -> None:
        """Its host is not heard of: `status` is shown until `find`."""
        instance.lost = status
        self.refresh(instance)

    def find(self, instance: Instance) -> None:
        """Its host is back."""
        instance.lost = None
        self.refresh(instance)

    def draw_contract(self, age: float) -> Contract:
        """Rent from the market what was rented `age` seconds ago."""
        rng = self.rng
        self._last_id += rng.randint(3, 700)
        machine, num_gpus = self.market.rent(self.lost_hosts)
        is_bid = rng.random() < BID_SHARE
        price = machine.gpu_price * num_gpus * (rng.uniform(0.5, 0.75) if is_bid else 1.0)
        template = rng.choice(TEMPLATES)
        return Contract(
            id=self._last_id,
            machine=machine,
            num_gpus=num_gpus,
            template=template,
            label=rng.choice(LABELS),
            is_bid=is_bid,
            dph_base=round(price, 6),
            disk_space=rng.choice(DISK_SIZES),
            start_date=round(self.now - age, 6),
            profile=draw_profile(Random(f"{self._seed} {self._last_id}"), template.workload),
        )

    def sign(self, age: float = 0.0) -> Instance:
        """A new instance that is still being provisioned."""
        contract = self.draw_contract(age)
        days = self.rng.choice((1, 2, 7, 30, 90, 330)) * self.rng.uniform(0.6, 1.4)
        instance = Instance(contract, end_date=round(self.now + days * DAY))
        self.roster.add(instance)
        if not contract.is_bid and self.rng.random() < RESERVED_SHARE:
            instance.discount = round(self.rng.uniform(0.1, 0.4), 2)
            instance.reserve = Wallet(round(contract.dph_total * self.rng.uniform(200, 3000), 2), self.now)
            self.reserved[instance.id] = instance
        self.refresh(instance)
        self.plan_expiry(instance)
        return instance

    def rent(self) -> Instance:
        """The user rents one more instance."""
        instance = self.sign()
        self.later(instance, self.rng.uniform(4, 40), self.create)
        return instance

    def create(self, instance: Instance) -> None:
        """The host has taken the contract."""
        self.change(instance, "created")
        self.later(instance, self.rng.uniform(3, 20), self.load)

    def load(self, instance: Instance) -> None:
        """The image is being pulled."""
        self.change(instance, "loading", message=f"Pulling from {instance.contract.template.image}")
        self.later(instance, self.rng.uniform(20, 420), self.run)

    def run(self, instance: Instance) -> None:
        """The container runs from now on."""
        self.change(instance, "running", message=running_message(instance))
        self.later(instance, self.rng.expovariate(1 / DECISION_SECONDS), self.decide)

    def decide(self, instance: Instance) -> None:
        """The user looks at a running instance and does something about it, or nothing."""
        decision = self.rng.choices(list(DECISIONS), list(DECISIONS.values()))[0]
        if decision == "stop":
            self.stop(instance)
        elif decision == "destroy":
            self.destroy(instance)
        elif decision == "reboot":
            self.change(instance, "rebooting")
            self.later(instance, self.rng.uniform(15, 60), self.run)
        elif decision == "freeze":
            self.change(instance, "frozen", intended="frozen", message=running_message(instance))
            self.later(instance, self.rng.uniform(300, 1800), self.run)
        else:
            self.later(instance, self.rng.expovariate(1 / DECISION_SECONDS), self.decide)

    def stop(self, instance: Instance) -> None:
        """The user stops it: the container exits, the disk stays and is paid for."""
        self.change(instance, "exited", intended="stopped", message=stopped_message(instance))
        self.later(instance, self.rng.expovariate(1 / STOPPED_SECONDS), self.reconsider)

    def reconsider(self, instance: Instance) -> None:
        """The user wants a stopped instance again, or no longer."""
        if self.rng.random() < 0.25:  # noqa: PLR2004 - a share
            self.destroy(instance)
        elif instance.end_date > self.now and self.account.at(self.now) > 0:
            self.load(instance)
        else:
            self.later(instance, self.rng.expovariate(1 / STOPPED_SECONDS), self.reconsider)

    def plan_expiry(self, instance: Instance) -> None:
        """Let the contract end at its present end_date."""
        end_date = instance.end_date

        def run() -> None:
            if self.roster.get(instance.id) is instance and instance.end_date == end_date:
                self.expire(instance)

        self.agenda.at(end_date, run)

    def expire(self, instance: Instance) -> None:
        """The contract has ended: it stops, can't be started, and is deleted some hours later."""
        instance.outbid = False
        self.change(instance, "exited", intended="stopped", message="Contract expired")
        self.later(instance, self.rng.uniform(0.5, 3) * HOUR, self.destroy)

    def stop_all(self) -> None:
        """The account has no credit left."""
        for instance in list(self.roster):
            if instance.intended != "stopped":
                self.stop(instance)

    def destroy(self, instance: Instance) -> None:
        """The user destroys it; before long something else is rented, so that the fleet keeps its size."""
        self.forget(instance)
        self.agenda.after(self.rng.uniform(20, 400), self.replenish)

    def forget(self, instance: Instance) -> None:
        """It is gone, and nothing is paid for it any more."""
        purse = instance.reserve or self.account
        purse.change_rate(self.now, -instance.rate)
        instance.version += 1
        self.reserved.pop(instance.id, None)
        self.market.give_back(instance.contract.machine, instance.contract.num_gpus)
        self.roster.remove(instance)

    def replenish(self) -> None:
        """Rent none, one or two, whatever brings the fleet nearer to its size."""
        present = len(self.roster)
        wanted = self.rng.choice((0, 1, 2)) if present == self.size else 2 if present < self.size else 0
        if self.account.at(self.now) > 0:
            for _ in range(wanted):
                self.rent()
        elif present < self.size:
            self.agenda.after(DECISION_SECONDS, self.replenish)

    def lapse(self, instance: Instance) -> None:
        """A reserved instance has used up its prepaid credit; from now on the account pays."""
        if instance.reserve is not None:
            self.account.change_rate(self.now, instance.rate)
            instance.reserve = None
            instance.discount = 0.0
            del self.reserved[instance.id]
            self.refresh(instance)


def running_message(instance: Instance) -> str:
    """What the host says of a container that runs."""
    template = instance.contract.template
    return f"success, running {template.image.replace(':', '_', 1)}/{template.runtype.split('_', 1)[0]}"


def stopped_message(instance: Instance) -> str:
    """What the host says of a container that was stopped."""
    return f"Exited (0) {instance.contract.template.image}"
