"""What happens to instances in the ordinary way: rented, started, stopped, restarted, expired, destroyed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.fleet.books import Books
from exporter.simulator.fleet.rental import Rental

if TYPE_CHECKING:
    from exporter.simulator.fleet.agenda import Agenda
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.wallet import Wallet

HOUR = 3600.0
#: Mean time between the user's decisions about one instance: one a minute in a fleet of 60.
DECISION_SECONDS = 1.2 * HOUR
#: Mean time that a stopped instance is left alone.
STOPPED_SECONDS = 0.6 * HOUR
#: What happens to a running instance when its user looks at it, and how often.
DECISIONS = {"keep": 50, "stop": 22, "reboot": 10, "freeze": 3, "destroy": 15}
#: KB of an image.
IMAGE_KB = (3e6, 16e6)


class Lifecycle:
    """What the user and the hosts do with the account's instances as long as nothing is wrong."""

    def __init__(self, seed: int, size: int, agenda: Agenda, account: Wallet) -> None:
        self.size = size
        self.rng = Random(f"fleet {seed}")
        self.books = Books(seed, agenda, account)
        self.rental = Rental(seed, self.books, self.rng)

    def sign(self, age: float = 0.0, *, is_bid: bool | None = None) -> Instance:
        """A new instance whose contract will end one day; see `Rental.sign`."""
        instance = self.rental.sign(age, is_bid=is_bid)
        self.plan_expiry(instance)
        return instance

    def rent(self) -> Instance:
        """The user rents one more instance."""
        instance = self.sign()
        self.books.notices.about(instance, "instance_created")
        self.books.later(instance, self.rng.uniform(4, 40), self.create)
        return instance

    def create(self, instance: Instance) -> None:
        """The host has taken the contract."""
        self.books.change(instance, "created")
        self.books.later(instance, self.rng.uniform(3, 20), self.load)

    def load(self, instance: Instance) -> None:
        """The image is being pulled."""
        self.books.change(instance, "loading", message=f"Pulling from {instance.contract.template.image}")
        seconds = self.rng.uniform(20, 420)
        self.books.flow(instance, 0.0, self.rng.uniform(*IMAGE_KB) * HOUR / seconds)
        self.books.later(instance, seconds, self.run)

    def resume(self, instance: Instance) -> None:
        """The container starts again where its image already is."""
        self.books.change(instance, "loading", message=running_message(instance))
        self.books.later(instance, self.rng.uniform(10, 30), self.run)

    def run(self, instance: Instance) -> None:
        """The container runs from now on."""
        self.books.notices.about(
            instance, "instance_resumed" if instance.ever_ran else "instance_started", actual_status="running"
        )
        self.books.change(instance, "running", message=running_message(instance))
        self.books.later(instance, self.rng.expovariate(1 / DECISION_SECONDS), self.decide)

    def decide(self, instance: Instance) -> None:
        """The user looks at a running instance and does something about it, or nothing."""
        decision = self.rng.choices(list(DECISIONS), list(DECISIONS.values()))[0]
        if decision == "stop":
            self.stop(instance)
        elif decision == "destroy":
            self.destroy(instance)
        elif decision == "reboot":
            self.books.change(instance, "rebooting")
            self.books.later(instance, self.rng.uniform(15, 60), self.run)
        elif decision == "freeze":
            self.books.change(instance, "frozen", intended="frozen", message=running_message(instance))
            self.books.later(instance, self.rng.uniform(300, 1800), self.run)
        else:
            self.books.later(instance, self.rng.expovariate(1 / DECISION_SECONDS), self.decide)

    def stop(self, instance: Instance) -> None:
        """The user stops it: the container exits, the disk stays and is paid for."""
        self.books.notices.about(instance, "instance_stopped")
        self.books.change(instance, "exited", intended="stopped", message=exited_message(instance, 0))
        self.books.later(instance, self.rng.expovariate(1 / STOPPED_SECONDS), self.reconsider)

    def reconsider(self, instance: Instance) -> None:
        """The user wants a stopped instance again, or no longer."""
        if self.rng.random() < 0.25:  # noqa: PLR2004 - a share
            self.destroy(instance)
        elif instance.end_date > self.books.now and self.books.account.at(self.books.now) > 0:
            self.load(instance)
        else:
            self.books.later(instance, self.rng.expovariate(1 / STOPPED_SECONDS), self.reconsider)

    def plan_expiry(self, instance: Instance) -> None:
        """Let the contract end at its present end_date."""
        end_date = instance.end_date

        def run() -> None:
            if self.books.roster.get(instance.id) is instance and instance.end_date == end_date:
                self.expire(instance)

        self.books.agenda.at(end_date, run)

    def expire(self, instance: Instance) -> None:
        """The contract has ended: it stops, can't be started, and is deleted some hours later."""
        self.books.change(instance, "exited", intended="stopped", message="Contract expired")
        self.books.later(instance, self.rng.uniform(0.5, 3) * HOUR, self.destroy)

    def stop_all(self) -> None:
        """The account has no credit left."""
        for instance in list(self.books.roster):
            if instance.intended != "stopped":
                self.stop(instance)

    def destroy(self, instance: Instance) -> None:
        """The user destroys it; before long something else is rented, so that the fleet keeps its size."""
        self.books.notices.about(instance, "instance_deleted")
        self.rental.end(instance)
        self.books.agenda.after(self.rng.uniform(20, 400), self.replenish)

    def replenish(self) -> None:
        """Rent none, one or two, whatever brings the fleet nearer to its size."""
        present = len(self.books.roster)
        wanted = self.rng.choice((0, 1, 2)) if present == self.size else 2 if present < self.size else 0
        if self.books.account.at(self.books.now) > 0:
            for _ in range(wanted):
                self.rent()
        elif present < self.size:
            self.books.agenda.after(DECISION_SECONDS, self.replenish)


def running_message(instance: Instance) -> str:
    """What the host says of a container that runs."""
    template = instance.contract.template
    return f"success, running {template.image.replace(':', '_', 1)}/{template.runtype.split('_', 1)[0]}"


def exited_message(instance: Instance, code: int) -> str:
    """What the host says of a container that has ended."""
    return f"Exited ({code}) {instance.contract.template.image}"
