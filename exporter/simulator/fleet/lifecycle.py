"""Simulate the normal life of instances: rent, start, stop, restart, expire, destroy."""

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
#: Mean time between the user's decisions about one instance: one per minute in a fleet of 60.
DECISION_SECONDS = 1.2 * HOUR
#: Mean time for which an instance stays stopped.
STOPPED_SECONDS = 0.6 * HOUR
#: Decisions about a running instance, with their weights.
DECISIONS = {"keep": 50, "stop": 22, "reboot": 10, "freeze": 3, "destroy": 15}
#: Size range of an image in KB.
IMAGE_KB = (3e6, 16e6)


class Lifecycle:
    """Normal actions of the user and the hosts."""

    def __init__(self, seed: int, size: int, agenda: Agenda, account: Wallet) -> None:
        self.size = size
        self.rng = Random(f"fleet {seed}")
        self.books = Books(seed, agenda, account)
        self.rental = Rental(seed, self.books, self.rng)

    def sign(self, age: float = 0.0, *, is_bid: bool | None = None) -> Instance:
        """Return a new instance with a planned end of its contract; see `Rental.sign`."""
        instance = self.rental.sign(age, is_bid=is_bid)
        self.plan_expiry(instance)
        return instance

    def rent(self) -> Instance:
        """Rent another instance."""
        instance = self.sign()
        self.books.notices.about(instance, "instance_created")
        self.books.later(instance, self.rng.uniform(4, 40), self.create)
        return instance

    def create(self, instance: Instance) -> None:
        """Let the host accept the contract."""
        self.books.change(instance, "created")
        self.books.later(instance, self.rng.uniform(3, 20), self.load)

    def load(self, instance: Instance) -> None:
        """Pull the image."""
        self.books.change(instance, "loading", message=f"Pulling from {instance.contract.template.image}")
        seconds = self.rng.uniform(20, 420)
        self.books.flow(instance, 0.0, self.rng.uniform(*IMAGE_KB) * HOUR / seconds)
        self.books.later(instance, seconds, self.run)

    def resume(self, instance: Instance) -> None:
        """Restart the container; the image is already present."""
        self.books.change(instance, "loading", message=running_message(instance))
        self.books.later(instance, self.rng.uniform(10, 30), self.run)

    def run(self, instance: Instance) -> None:
        """Start to run the container."""
        self.books.notices.about(
            instance, "instance_resumed" if instance.ever_ran else "instance_started", actual_status="running"
        )
        self.books.change(instance, "running", message=running_message(instance))
        self.books.later(instance, self.rng.expovariate(1 / DECISION_SECONDS), self.decide)

    def decide(self, instance: Instance) -> None:
        """Let the user decide about a running instance."""
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
        """Stop an instance: the container exits, and the disk stays and is billed."""
        self.books.notices.about(instance, "instance_stopped")
        self.books.change(instance, "exited", intended="stopped", message=exited_message(instance, 0))
        self.books.later(instance, self.rng.expovariate(1 / STOPPED_SECONDS), self.reconsider)

    def reconsider(self, instance: Instance) -> None:
        """Let the user restart or destroy a stopped instance."""
        if self.rng.random() < 0.25:  # noqa: PLR2004 - a ratio
            self.destroy(instance)
        elif instance.end_date > self.books.now and self.books.account.at(self.books.now) > 0:
            self.load(instance)
        else:
            self.books.later(instance, self.rng.expovariate(1 / STOPPED_SECONDS), self.reconsider)

    def plan_expiry(self, instance: Instance) -> None:
        """End the contract at its current end_date."""
        end_date = instance.end_date

        def run() -> None:
            if self.books.roster.get(instance.id) is instance and instance.end_date == end_date:
                self.expire(instance)

        self.books.agenda.at(end_date, run)

    def expire(self, instance: Instance) -> None:
        """End the contract: the instance stops, cannot be started, and is deleted some hours later."""
        self.books.change(instance, "exited", intended="stopped", message="Contract expired")
        self.books.later(instance, self.rng.uniform(0.5, 3) * HOUR, self.destroy)

    def stop_all(self) -> None:
        """Stop all instances, because the account has no credit left."""
        for instance in list(self.books.roster):
            if instance.intended != "stopped":
                self.stop(instance)

    def destroy(self, instance: Instance) -> None:
        """Destroy an instance; a replacement is soon rented, so that the fleet keeps its size."""
        self.books.notices.about(instance, "instance_deleted")
        self.rental.end(instance)
        self.books.agenda.after(self.rng.uniform(20, 400), self.replenish)

    def replenish(self) -> None:
        """Rent up to two instances to bring the fleet closer to its size."""
        present = len(self.books.roster)
        wanted = self.rng.choice((0, 1, 2)) if present == self.size else 2 if present < self.size else 0
        if self.books.account.at(self.books.now) > 0:
            for _ in range(wanted):
                self.rent()
        elif present < self.size:
            self.books.agenda.after(DECISION_SECONDS, self.replenish)


def running_message(instance: Instance) -> str:
    """Return the host's message for a running container."""
    template = instance.contract.template
    return f"success, running {template.image.replace(':', '_', 1)}/{template.runtype.split('_', 1)[0]}"


def exited_message(instance: Instance, code: int) -> str:
    """Return the host's message for an exited container."""
    return f"Exited ({code}) {instance.contract.template.image}"
