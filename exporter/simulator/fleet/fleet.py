"""The living fleet of one simulated account: its instances, its money, its incidents.

The same seed, size and start give the same fleet at the same simulated time, however often and whenever
it is asked. A test may interfere: `inject` and `clear` incidents, set the credit, rent, destroy, and
override fields of rows. All public methods may be called from any thread.
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

#: Instances of the first moment that don't run: state, the user's intention, share of the fleet.
FIRST_STATES: tuple[tuple[str | None, str, float], ...] = (
    ("exited", "stopped", 0.10),
    ("stopped", "stopped", 0.03),
    ("loading", "running", 0.04),
    (None, "running", 0.02),
    ("frozen", "frozen", 0.015),
)


class Fleet:
    """The instances of one account and what they cost.

    Args:
        seed: everything that looks random follows from it.
        size: about how many instances there are, at every time.
        start: the simulated time, seconds since the epoch, at which it begins.
        incidents: whether something goes wrong by itself now and then.

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
        """The simulated time that was last asked for."""
        return self._agenda.now

    @property
    def roster(self) -> Roster:
        """The instances in order of id; hold `lock` while iterating."""
        return self._life.books.roster

    @property
    def ledger(self) -> Ledger:
        """What was spent on every day; hold `lock` while using it."""
        return self._life.books.ledger

    @property
    def notices(self) -> Notices:
        """What the inbox says; hold `lock` while using it."""
        return self._life.books.notices

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The incidents under way."""
        with self.lock:
            return self._incidents.active

    def advance(self, now: float) -> None:
        """Let happen what is due up to `now`."""
        with self.lock:
            self._agenda.advance(now)

    def ids(self) -> list[int]:
        """The ids of all instances, ascending."""
        with self.lock:
            return self.roster.ids()

    def instance(self, instance_id: int) -> Instance:
        """One instance; KeyError when there is none with that id."""
        with self.lock:
            found = self.roster.get(instance_id)
        if found is None:
            raise KeyError(instance_id)
        return found

    def inject(
        self, incident_type: IncidentType, instance_id: int | None = None, duration: float = 900.0
    ) -> Incident:
        """Let something go wrong now, for `duration` seconds; without an id, somewhere it can happen.

        An instance that does not run is set running first, unless its host goes offline; for a bid that is
        too low one more is rented.

        Raises:
            LookupError: there is no such instance, or none that this can happen to.
            ValueError: it can't happen to this instance: only interruptible ones are outbid, only new ones
                underbid.

        """
        with self.lock:
            return self._incidents.inject(incident_type, instance_id, duration)

    def clear(self, incident_type: IncidentType | None = None, instance_id: int | None = None) -> None:
        """End incidents: of one type or all, of one instance or all."""
        with self.lock:
            self._incidents.clear(incident_type, instance_id)

    def set_status(self, instance_id: int, status: str | None, intended: str = "running") -> None:
        """Set the container's state; it stays until something else is done to the instance."""
        with self.lock:
            self._life.books.change(self.instance(instance_id), status, intended)

    def rent(self) -> Instance:
        """Rent one more instance, as the user does now and then."""
        with self.lock:
            return self._life.rent()

    def destroy(self, instance_id: int) -> None:
        """Destroy an instance; nothing is rented in its place."""
        with self.lock:
            self._life.rental.end(self.instance(instance_id))

    def override(self, instance_id: int, **fields: object) -> None:
        """Let an instance's rows show these values, whatever they are, instead of its own."""
        with self.lock:
            self.instance(instance_id).overrides.update(fields)

    def restore(self, instance_id: int) -> None:
        """Undo every `override` of an instance."""
        with self.lock:
            self.instance(instance_id).overrides.clear()

    def credit(self) -> float:
        """What can be spent."""
        with self.lock:
            return self.billing.wallet.at(self.now)

    def set_credit(self, dollars: float) -> None:
        """Set what can be spent; at 0 or less all instances are stopped within a minute."""
        with self.lock:
            self.billing.wallet.set(self.now, dollars)

    def set_autobill(self, threshold: float | None, amount: float | None) -> None:
        """Below `threshold`, `amount` is added within a minute; None switches that off."""
        with self.lock:
            self.billing.autobill_threshold = threshold
            self.billing.autobill_amount = amount

    def set_balance_threshold(self, dollars: float | None) -> None:
        """Let the user want a mail below so much credit; None follows the automatic billing's."""
        with self.lock:
            self.billing.threshold = dollars

    def burn(self, *, reserved: bool = True) -> float:
        """Dollars an hour now, with or without what reserved instances spend of their own credit."""
        with self.lock:
            return sum(i.burn() for i in self.roster if reserved or i.reserve is None)

    def traffic_cost(self) -> float:
        """Dollars an hour for traffic now, which `burn` knows nothing of."""
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
        """Give an instance of the first moment a past."""
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
