"""What goes wrong now and then: how each incident begins and how it ends."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.fleet.incident_types import LASTS, Incident, IncidentType
from exporter.simulator.fleet.instance import RELEASED
from exporter.simulator.fleet.sensors import CALM

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.agenda import Agenda
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.lifecycle import Lifecycle

#: Mean time between incidents that happen by themselves in a fleet of 60.
MEAN_SECONDS = 300.0
USUAL_SIZE = 60
#: Share of the fleet that is in trouble from the first moment, and at least how many.
FIRST_SHARE = 0.05
FIRST_LEAST = 2


class Incidents:
    """Begins and ends incidents in the fleet of a `Lifecycle`."""

    def __init__(self, seed: int, lifecycle: Lifecycle, agenda: Agenda) -> None:
        self._life = lifecycle
        self._agenda = agenda
        self._rng = Random(f"incidents {seed}")
        self._active: dict[tuple[IncidentType, int], Incident] = {}
        self._contract_ends: dict[int, float] = {}
        self._begin: dict[IncidentType, Callable[[Instance, Incident], None]] = {
            IncidentType.STUCK_LOADING: self._stick,
            IncidentType.HOST_OFFLINE: self._lose_host,
            IncidentType.NO_HEARTBEAT: self._silence,
            IncidentType.OUTBID: self._outbid,
            IncidentType.OVERHEATING: self._heat,
            IncidentType.DISK_FILLING: self._fill,
            IncidentType.IDLE: self._idle,
            IncidentType.CONTRACT_ENDING: self._end_contract,
        }

    @property
    def active(self) -> tuple[Incident, ...]:
        """Those under way."""
        return tuple(self._active.values())

    def inject(self, incident_type: IncidentType, instance_id: int | None, duration: float) -> Incident:
        """Begin one now.

        Raises:
            LookupError: there is no such instance, or none that this can happen to.
            ValueError: it can't happen to this instance (only interruptible ones are outbid).

        """
        instance = self._pick(incident_type) if instance_id is None else self._life.roster.get(instance_id)
        if instance is None:
            raise LookupError(f"no instance for {incident_type.value}: {instance_id}")
        if incident_type is IncidentType.OUTBID and not instance.contract.is_bid:
            raise ValueError(f"instance {instance.id} is not interruptible")
        self.clear(incident_type, instance.id)
        if instance.status != "running" and incident_type is not IncidentType.HOST_OFFLINE:
            self._life.run(instance)
        return self._start(incident_type, instance, duration)

    def clear(self, incident_type: IncidentType | None = None, instance_id: int | None = None) -> None:
        """End those of this type (None: every type) of this instance (None: every instance)."""
        for incident in self.active:
            if incident_type in (None, incident.type) and instance_id in (None, incident.instance_id):
                self._finish(incident)

    def begin_first(self) -> None:
        """Have a few under way already, no two of one type before every type has happened."""
        number = min(len(self._life.roster), max(FIRST_LEAST, round(len(self._life.roster) * FIRST_SHARE)))
        types = [
            incident_type for incident_type in IncidentType if incident_type is not IncidentType.NO_HEARTBEAT
        ]
        self._rng.shuffle(types)
        for index in range(number):
            self._happen(types[index % len(types)])

    def plan_next(self) -> None:
        """Let them happen from time to time, the more often the larger the fleet."""
        mean = MEAN_SECONDS * USUAL_SIZE / max(1, self._life.size)
        self._agenda.after(self._rng.expovariate(1 / mean), self._next)

    def _next(self) -> None:
        self._happen(self._rng.choice(list(IncidentType)))
        self.plan_next()

    def _happen(self, incident_type: IncidentType) -> None:
        instance = self._pick(incident_type)
        duration = self._rng.uniform(*LASTS[incident_type])
        if instance is not None:
            self._start(incident_type, instance, duration)

    def _pick(self, incident_type: IncidentType) -> Instance | None:
        """A running instance without trouble that this can happen to, if a few tries find one."""
        roster = self._life.roster
        for _ in range(min(200, 4 * len(roster))):
            instance = roster.at(self._rng.randrange(len(roster)))
            fits = instance.contract.is_bid or incident_type is not IncidentType.OUTBID
            if fits and instance.shown_status == "running" and instance.disturbance is CALM:
                return instance
        return None

    def _start(self, incident_type: IncidentType, instance: Instance, duration: float) -> Incident:
        now = self._agenda.now
        incident = Incident(
            incident_type, instance.id, instance.contract.machine.host_id, now, now + duration
        )
        self._active[incident_type, instance.id] = incident
        self._begin[incident_type](instance, incident)
        self._agenda.at(incident.until, lambda: self._expire(incident))
        return incident

    def _expire(self, incident: Incident) -> None:
        if self._active.get((incident.type, incident.instance_id)) is not incident:
            return
        if incident.type is IncidentType.CONTRACT_ENDING:
            self._contract_ends.pop(incident.instance_id, None)
            del self._active[incident.type, incident.instance_id]
        else:
            self._finish(incident)

    def _finish(self, incident: Incident) -> None:
        del self._active[incident.type, incident.instance_id]
        if incident.type is IncidentType.HOST_OFFLINE:
            self._restore_host(incident.host_id)
        instance = self._life.roster.get(incident.instance_id)
        if instance is None:
            self._contract_ends.pop(incident.instance_id, None)
        elif incident.type is IncidentType.STUCK_LOADING and instance.status == "loading":
            self._life.later(instance, self._rng.uniform(2, 10), self._life.run)
        elif incident.type is IncidentType.NO_HEARTBEAT and instance.lost == "unknown":
            self._life.find(instance)
        elif incident.type is IncidentType.OUTBID:
            self._win(instance)
        elif incident.type is IncidentType.CONTRACT_ENDING:
            instance.end_date = self._contract_ends.pop(instance.id)
            self._life.plan_expiry(instance)
        else:
            self._calm(instance, incident.type)

    def _stick(self, instance: Instance, _: Incident) -> None:
        image = instance.contract.template.image
        self._life.change(instance, "loading", message=f"Pulling from {image}: 0B/s, retrying in 10 seconds")

    def _lose_host(self, _: Instance, incident: Incident) -> None:
        self._life.lost_hosts.add(incident.host_id)
        for other in self._life.roster:
            if other.contract.machine.host_id == incident.host_id:
                self._life.lose(other, "offline")

    def _restore_host(self, host_id: int) -> None:
        if any(other.type is IncidentType.HOST_OFFLINE and other.host_id == host_id for other in self.active):
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

    def _calm(self, instance: Instance, incident_type: IncidentType) -> None:
        now = instance.disturbance
        if incident_type is IncidentType.OVERHEATING:
            now = replace(now, hot_since=None)
        elif incident_type is IncidentType.DISK_FILLING:
            now = replace(now, filling_since=None)
        elif incident_type is IncidentType.IDLE:
            now = replace(now, idle_since=None)
        instance.disturbance = CALM if now == replace(CALM, filling_seconds=now.filling_seconds) else now

    def _end_contract(self, instance: Instance, incident: Incident) -> None:
        self._contract_ends.setdefault(instance.id, instance.end_date)
        instance.end_date = incident.until
        self._life.plan_expiry(instance)
