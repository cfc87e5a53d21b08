"""Simulate the fleet of one account: its instances, money and incidents.

Equal seed, size and start give the same fleet at the same simulated time, however often it is read. A test
may intervene: `inject` and `clear` incidents, set the credit, rent, destroy, and override row fields. All
public methods are thread-safe.
"""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.fleet.agenda import Agenda
from exporter.simulator.fleet.billing import Billing
from exporter.simulator.fleet.incidents import Incidents
from exporter.simulator.fleet.lifecycle import (
    DECISION_SECONDS,
    HOUR,
    Lifecycle,
    exited_message,
    running_message,
)
from exporter.simulator.fleet.rental import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.incident_types import Incident, IncidentType
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.ledger import Ledger
    from exporter.simulator.fleet.notices import Notices
    from exporter.simulator.fleet.roster import Roster

#: Initial instances that do not run: status, intended status, share of the fleet.
FIRST_STATES: tuple[tuple[str | None, str, float], ...] = (
    ("exited", "stopped", 0.10),
    ("stopped", "stopped", 0.03),
    ("loading", "running", 0.04),
    (None, "running", 0.02),
    ("frozen", "frozen", 0.015),
)


class Fleet:
    """The instances of one account and their cost.

    Args:
        seed: seed of all random behaviour.
        size: approximate number of instances at all times.
        start: simulated start time, in seconds since the epoch.
        incidents: whether incidents also happen spontaneously.

    """

    def __init__(self, seed: int, size: int, start: float, *, incidents: bool = True) -> None:
        self.seed = seed
        self.size = size
        self.lock = threading.RLock()
        self._agenda = Agenda(start)
        self.billing = Billing(seed, self._agenda)
        self._life = Lifecycle(seed, size, self._agenda, self.billing.wallet)
        self._incidents = Incidents(seed, self._life)
        self._populate()
        self.billing.begin(self._life, self.burn(reserved=False))
        if incidents and size:
            self._incidents.begin_first()
            self._incidents.plan_next()

    @property
    def now(self) -> float:
        """Simulated time of the last `advance`."""
        return self._agenda.now

    @property
    def roster(self) -> Roster:
        """Instances in order of id; hold `lock` while iterating."""
        return self._life.books.roster

    @property
    def ledger(self) -> Ledger:
        """Spending by day; hold `lock` while using it."""
        return self._life.books.ledger

    @property
    def notices(self) -> Notices:
        """The inbox; hold `lock` while using it."""
        return self._life.books.notices

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Active incidents."""
        with self.lock:
            return self._incidents.active

    def advance(self, now: float) -> None:
        """Run everything due up to `now`."""
        with self.lock:
            self._agenda.advance(now)

    def ids(self) -> list[int]:
        """Return the ids of all instances in ascending order."""
        with self.lock:
            return self.roster.ids()

    def instance(self, instance_id: int) -> Instance:
        """Return one instance; raise KeyError if the id does not exist."""
        with self.lock:
            found = self.roster.get(instance_id)
        if found is None:
            raise KeyError(instance_id)
        return found

    def inject(
        self, incident_type: IncidentType, instance_id: int | None = None, duration: float = 900.0
    ) -> Incident:
        """Start an incident now, for `duration` seconds; without an id, on any suitable instance.

        A stopped instance is first set running, unless its host goes offline. For an underbid, a new instance
        is rented.

        Raises:
            LookupError: the instance does not exist, or none is suitable.
            ValueError: the instance is not suitable: only interruptible ones are outbid, and only new ones
                underbid.

        """
        with self.lock:
            return self._incidents.inject(incident_type, instance_id, duration)

    def clear(self, incident_type: IncidentType | None = None, instance_id: int | None = None) -> None:
        """End incidents: of one type or all, of one instance or all."""
        with self.lock:
            self._incidents.clear(incident_type, instance_id)

    def set_status(self, instance_id: int, status: str | None, intended: str = "running") -> None:
        """Set the container's state; it stays until something else happens to the instance."""
        with self.lock:
            self._life.books.change(self.instance(instance_id), status, intended)

    def rent(self) -> Instance:
        """Rent another instance, as the user sometimes does."""
        with self.lock:
            return self._life.rent()

    def destroy(self, instance_id: int) -> None:
        """Destroy an instance without a replacement."""
        with self.lock:
            self._life.rental.end(self.instance(instance_id))

    def override(self, instance_id: int, **fields: object) -> None:
        """Replace fields in an instance's rows with any values."""
        with self.lock:
            self.instance(instance_id).overrides.update(fields)

    def restore(self, instance_id: int) -> None:
        """Undo every `override` of an instance."""
        with self.lock:
            self.instance(instance_id).overrides.clear()

    def credit(self) -> float:
        """Return the credit that can be spent."""
        with self.lock:
            return self.billing.wallet.at(self.now)

    def set_credit(self, dollars: float) -> None:
        """Set the credit; at 0 or less, all instances are stopped within a minute."""
        with self.lock:
            self.billing.wallet.set(self.now, dollars)

    def set_autobill(self, threshold: float | None, amount: float | None) -> None:
        """Set automatic billing: below `threshold`, `amount` is added within a minute; None disables it."""
        with self.lock:
            self.billing.autobill_threshold = threshold
            self.billing.autobill_amount = amount

    def set_balance_threshold(self, dollars: float | None) -> None:
        """Set the mail threshold; None derives it from automatic billing."""
        with self.lock:
            self.billing.threshold = dollars

    def burn(self, *, reserved: bool = True) -> float:
        """Return the current dollars per hour, with or without reserved instances on their own credit."""
        with self.lock:
            return sum(i.burn() for i in self.roster if reserved or i.reserve is None)

    def traffic_cost(self) -> float:
        """Return the current dollars per hour for traffic, which `burn` excludes."""
        with self.lock:
            return sum(i.traffic.dollars_per_hour for i in self.roster)

    def _populate(self) -> None:
        rng = Random(f"first {self.seed}")
        ages = sorted((90 * DAY * rng.random() ** 4 + 600 for _ in range(self.size)), reverse=True)
        states = [
            (status, intended)
            for status, intended, share in FIRST_STATES
            for _ in range(round(share * self.size))
        ]
        states += [("running", "running")] * (self.size - len(states))
        rng.shuffle(states)
        for age, (status, intended) in zip(ages, states, strict=True):
            instance = self._life.sign(age)
            self._settle_in(instance, status, intended, rng)
            self.ledger.remember(instance)

    def _settle_in(self, instance: Instance, status: str | None, intended: str, rng: Random) -> None:
        """Give an initial instance a past."""
        life = self._life
        message = running_message(instance) if intended != "stopped" else exited_message(instance, 0)
        wait = rng.expovariate(1 / DECISION_SECONDS)
        steps: dict[str | None, Callable[[Instance], None]] = {
            "running": life.decide,
            "frozen": life.run,
            "loading": life.run,
            None: life.create,
        }
        instance.ever_ran = status not in (None, "loading")
        life.books.change(instance, status, intended, message if instance.ever_ran else None)
        if status == "running":
            instance.running_since = max(
                instance.contract.start_date + 120, self.now - rng.uniform(60, 9 * DAY)
            )
        elif instance.ever_ran:
            instance.read_until = max(instance.contract.start_date + 120, self.now - rng.uniform(60, 5 * DAY))
        if instance.ever_ran:
            instance.traffic.remember((self.now - instance.contract.start_date) / HOUR)
        quick = status in (None, "loading")
        life.books.later(
            instance, rng.uniform(10, 240) if quick else wait, steps.get(status, life.reconsider)
        )
