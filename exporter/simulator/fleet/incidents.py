"""Start and end incidents, spontaneously and for tests."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from exporter.simulator.fleet import disturbances
from exporter.simulator.fleet.incident_types import LASTS, Incident, IncidentType
from exporter.simulator.fleet.interruptions import Interruptions
from exporter.simulator.fleet.outages import Outages
from exporter.simulator.fleet.sensors import CALM

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.lifecycle import Lifecycle

#: Mean time between spontaneous incidents in a fleet of 60.
MEAN_SECONDS = 240.0
USUAL_SIZE = 60
#: Initial share of the fleet with an incident, and the minimum number.
FIRST_SHARE = 0.05
FIRST_LEAST = 2
#: Types not used initially: nobody would notice them, or they change the number of instances.
NOT_FIRST = frozenset({IncidentType.NO_HEARTBEAT, IncidentType.CRASHED, IncidentType.UNDERBID})


class Incidents:
    """Starts and ends incidents in the fleet of a `Lifecycle`."""

    def __init__(self, seed: int, lifecycle: Lifecycle) -> None:
        self._life = lifecycle
        self._agenda = lifecycle.books.agenda
        self._roster = lifecycle.books.roster
        self._rng = Random(f"incidents {seed}")
        self._active: dict[tuple[IncidentType, int], Incident] = {}
        self._troubles = {
            **Outages(lifecycle).troubles(),
            **Interruptions(lifecycle, self._rng).troubles(),
            **disturbances.troubles(lifecycle.books),
        }

    @property
    def active(self) -> tuple[Incident, ...]:
        """Active incidents."""
        return tuple(self._active.values())

    def inject(self, incident_type: IncidentType, instance_id: int | None, duration: float) -> Incident:
        """Start an incident now.

        Raises:
            LookupError: the instance does not exist, or none is suitable.
            ValueError: the instance is not suitable.

        """
        if instance_id is not None and incident_type is IncidentType.UNDERBID:
            raise ValueError("an instance is rented for it: no other can be underbid")
        instance = self._pick(incident_type) if instance_id is None else self._roster.get(instance_id)
        if instance is None:
            raise LookupError(f"no instance for {incident_type.value}: {instance_id}")
        if incident_type is IncidentType.OUTBID and not instance.contract.is_bid:
            raise ValueError(f"instance {instance.id} is not interruptible")
        self.clear(incident_type, instance.id)
        settled = (IncidentType.HOST_OFFLINE, IncidentType.UNDERBID)
        if instance.status != "running" and incident_type not in settled:
            self._life.run(instance)
        return self._start(incident_type, instance, duration)

    def clear(self, incident_type: IncidentType | None = None, instance_id: int | None = None) -> None:
        """End the incidents of this type (None: all types) on this instance (None: all instances)."""
        for incident in self.active:
            if incident_type in (None, incident.type) and instance_id in (None, incident.instance_id):
                del self._active[incident.type, incident.instance_id]
                self._troubles[incident.type].end(incident)

    def begin_first(self) -> None:
        """Start a few initial incidents, using every type once before any is repeated."""
        number = min(len(self._roster), max(FIRST_LEAST, round(len(self._roster) * FIRST_SHARE)))
        types = [one for one in IncidentType if one not in NOT_FIRST]
        self._rng.shuffle(types)
        for index in range(number):
            self._happen(types[index % len(types)])

    def plan_next(self) -> None:
        """Plan the next spontaneous incident; larger fleets have more."""
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
        """Return a suitable running instance without incident, if a few attempts find one."""
        if incident_type is IncidentType.UNDERBID:
            return self._life.sign(is_bid=True)
        for _ in range(min(200, 4 * len(self._roster))):
            instance = self._roster.at(self._rng.randrange(len(self._roster)))
            fits = instance.contract.is_bid or incident_type is not IncidentType.OUTBID
            running = (instance.shown_status, instance.intended) == ("running", "running")
            if fits and running and instance.disturbance == CALM:
                return instance
        return None

    def _start(self, incident_type: IncidentType, instance: Instance, duration: float) -> Incident:
        now = self._agenda.now
        host_id = instance.contract.machine.host_id
        incident = Incident(incident_type, instance.id, host_id, now, now + duration)
        self._active[incident_type, instance.id] = incident
        self._troubles[incident_type].begin(instance, incident)
        self._agenda.at(incident.until, lambda: self._expire(incident))
        return incident

    def _expire(self, incident: Incident) -> None:
        if self._active.get((incident.type, incident.instance_id)) is incident:
            del self._active[incident.type, incident.instance_id]
            trouble = self._troubles[incident.type]
            (trouble.expire or trouble.end)(incident)
