"""What goes wrong now and then: which incidents there are, how each begins and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.instance import RELEASED
from exporter.simulator.telemetry import CALM

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.events import EventQueue
    from exporter.simulator.instance import Instance
    from exporter.simulator.lifecycle import Lifecycle

#: Mean time between incidents that happen by themselves in a fleet of 60.
MEAN_SECONDS = 300.0
USUAL_SIZE = 60
#: Share of the fleet that is in trouble from the first moment, and at least how many.
FIRST_SHARE = 0.05
FIRST_LEAST = 2


class Kind(Enum):
    """The kinds of incident."""

    STUCK_LOADING = "stuck_loading"
    HOST_OFFLINE = "host_offline"
    NO_HEARTBEAT = "no_heartbeat"
    OUTBID = "outbid"
    OVERHEATING = "overheating"
    DISK_FILLING = "disk_filling"
    IDLE = "idle"
    CONTRACT_ENDING = "contract_ending"


#: How long each kind lasts when it happens by itself, in seconds.
LASTS = {
    Kind.STUCK_LOADING: (600.0, 2400.0),
    Kind.HOST_OFFLINE: (180.0, 1200.0),
    Kind.NO_HEARTBEAT: (60.0, 400.0),
    Kind.OUTBID: (300.0, 1800.0),
    Kind.OVERHEATING: (300.0, 1500.0),
    Kind.DISK_FILLING: (900.0, 3600.0),
    Kind.IDLE: (1800.0, 7200.0),
    Kind.CONTRACT_ENDING: (1800.0, 21600.0),
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident; `instance_id` is where it was noticed, `host_id` whom it belongs to."""

    kind: Kind
    instance_id: int
    host_id: int
    began: float
    until: float


class Incidents:
    """Begins and ends incidents in the fleet of a `Lifecycle`."""

    def __init__(self, seed: int, lifecycle: Lifecycle, events: EventQueue) -> None:
        self._life = lifecycle
        self._events = events
        self._rng = Random(f"incidents {seed}")
        self._active: dict[tuple[Kind, int], Incident] = {}
        self._contract_ends: dict[int, float] = {}
        self._begin: dict[Kind, Callable[[Instance, Incident], None]] = {
            Kind.STUCK_LOADING: self._stick,
            Kind.HOST_OFFLINE: self._lose_host,
            Kind.NO_HEARTBEAT: self._silence,
            Kind.OUTBID: self._outbid,
            Kind.OVERHEATING: self._heat,
            Kind.DISK_FILLING: self._fill,
            Kind.IDLE: self._idle,
            Kind.CONTRACT_ENDING: self._end_contract,
        }

    @property
    def active(self) -> tuple[Incident, ...]:
        """Those under way."""
        return tuple(self._active.values())

    def inject(self, kind: Kind, instance_id: int | None, duration: float) -> Incident:
        """Begin one now.

        Raises:
            LookupError: there is no such instance, or none that this can happen to.
            ValueError: it can't happen to this instance (only interruptible ones are outbid).

        """
        instance = self._pick(kind) if instance_id is None else self._life.roster.get(instance_id)
        if instance is None:
            raise LookupError(f"no instance for {kind.value}: {instance_id}")
        if kind is Kind.OUTBID and not instance.contract.is_bid:
            raise ValueError(f"instance {instance.id} is not interruptible")
        self.clear(kind, instance.id)
        if instance.status != "running" and kind is not Kind.HOST_OFFLINE:
            self._life.run(instance)
        return self._start(kind, instance, duration)

    def clear(self, kind: Kind | None = None, instance_id: int | None = None) -> None:
        """End those of this kind (None: every kind) of this instance (None: every instance)."""
        for incident in self.active:
            if kind in (None, incident.kind) and instance_id in (None, incident.instance_id):
                self._finish(incident)

    def begin_first(self) -> None:
        """Have a few under way already, no two of one kind before every kind has happened."""
        number = min(len(self._life.roster), max(FIRST_LEAST, round(len(self._life.roster) * FIRST_SHARE)))
        kinds = [kind for kind in Kind if kind is not Kind.NO_HEARTBEAT]
        self._rng.shuffle(kinds)
        for index in range(number):
            self._happen(kinds[index % len(kinds)])

    def plan_next(self) -> None:
        """Let them happen from time to time, the more often the larger the fleet."""
        mean = MEAN_SECONDS * USUAL_SIZE / max(1, self._life.size)
        self._events.after(self._rng.expovariate(1 / mean), self._next)

    def _next(self) -> None:
        self._happen(self._rng.choice(list(Kind)))
        self.plan_next()

    def _happen(self, kind: Kind) -> None:
        instance = self._pick(kind)
        duration = self._rng.uniform(*LASTS[kind])
        if instance is not None:
            self._start(kind, instance, duration)

    def _pick(self, kind: Kind) -> Instance | None:
        """A running instance without trouble that this can happen to, if a few tries find one."""
        roster = self._life.roster
        for _ in range(min(200, 4 * len(roster))):
            instance = roster.at(self._rng.randrange(len(roster)))
            fits = instance.contract.is_bid or kind is not Kind.OUTBID
            if fits and instance.shown_status == "running" and instance.disturbance is CALM:
                return instance
        return None

    def _start(self, kind: Kind, instance: Instance, duration: float) -> Incident:
        now = self._events.now
        incident = Incident(kind, instance.id, instance.contract.machine.host_id, now, now + duration)
        self._active[kind, instance.id] = incident
        self._begin[kind](instance, incident)
        self._events.at(incident.until, lambda: self._expire(incident))
        return incident

    def _expire(self, incident: Incident) -> None:
        if self._active.get((incident.kind, incident.instance_id)) is not incident:
            return
        if incident.kind is Kind.CONTRACT_ENDING:
            self._contract_ends.pop(incident.instance_id, None)
            del self._active[incident.kind, incident.instance_id]
        else:
            self._finish(incident)

    def _finish(self, incident: Incident) -> None:
        del self._active[incident.kind, incident.instance_id]
        if incident.kind is Kind.HOST_OFFLINE:
            self._restore_host(incident.host_id)
        instance = self._life.roster.get(incident.instance_id)
        if instance is None:
            self._contract_ends.pop(incident.instance_id, None)
        elif incident.kind is Kind.STUCK_LOADING and instance.status == "loading":
            self._life.later(instance, self._rng.uniform(2, 10), self._life.run)
        elif incident.kind is Kind.NO_HEARTBEAT and instance.lost == "unknown":
            self._life.find(instance)
        elif incident.kind is Kind.OUTBID:
            self._win(instance)
        elif incident.kind is Kind.CONTRACT_ENDING:
            instance.end_date = self._contract_ends.pop(instance.id)
            self._life.plan_expiry(instance)
        else:
            self._calm(instance, incident.kind)

    def _stick(self, instance: Instance, _: Incident) -> None:
        image = instance.contract.template.image
        self._life.change(instance, "loading", message=f"Pulling from {image}: 0B/s, retrying in 10 seconds")

    def _lose_host(self, _: Instance, incident: Incident) -> None:
        self._life.lost_hosts.add(incident.host_id)
        for other in self._life.roster:
            if other.contract.machine.host_id == incident.host_id:
                self._life.lose(other, "offline")

    def _restore_host(self, host_id: int) -> None:
        if any(other.kind is Kind.HOST_OFFLINE and other.host_id == host_id for other in self.active):
            return
        self._life.lost_hosts.discard(host_id)
        for other in self._life.roster:
            if other.contract.machine.host_id == host_id and other.lost == "offline":
                self._life.find(other)

    def _silence(self, instance: Instance, _: Incident) -> None:
        self._life.lose(instance, "unknown")

    def _outbid(self, instance: Instance, _: Incident) -> None:
        instance.outbid = True
        self._life.change(instance, "stopped", message="Outbid: waiting for the price to fall")

    def _win(self, instance: Instance) -> None:
        instance.outbid = False
        if instance.status in RELEASED and instance.intended == "running":
            self._life.load(instance)

    def _heat(self, instance: Instance, incident: Incident) -> None:
        instance.disturbance = replace(instance.disturbance, hot_since=incident.began)

    def _fill(self, instance: Instance, incident: Incident) -> None:
        seconds = max(1.0, incident.until - incident.began)
        instance.disturbance = replace(
            instance.disturbance, filling_since=incident.began, filling_seconds=seconds
        )

    def _idle(self, instance: Instance, incident: Incident) -> None:
        instance.disturbance = replace(instance.disturbance, idle_since=incident.began)

    def _calm(self, instance: Instance, kind: Kind) -> None:
        now = instance.disturbance
        if kind is Kind.OVERHEATING:
            now = replace(now, hot_since=None)
        elif kind is Kind.DISK_FILLING:
            now = replace(now, filling_since=None)
        elif kind is Kind.IDLE:
            now = replace(now, idle_since=None)
        instance.disturbance = CALM if now == replace(CALM, filling_seconds=now.filling_seconds) else now

    def _end_contract(self, instance: Instance, incident: Incident) -> None:
        self._contract_ends.setdefault(instance.id, instance.end_date)
        instance.end_date = incident.until
        self._life.plan_expiry(instance)
