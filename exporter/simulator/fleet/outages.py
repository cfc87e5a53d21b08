"""Simulate failures of hosts: stuck images, crashed containers, lost contact, ending contracts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.simulator.fleet.incident_types import IncidentType, Trouble
from exporter.simulator.fleet.lifecycle import exited_message, running_message

if TYPE_CHECKING:
    from exporter.simulator.fleet.incident_types import Incident
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.lifecycle import Lifecycle

#: Exit code of a killed container.
KILLED = 137


class Outages:
    """Starts and ends outages."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._life = lifecycle
        self._books = lifecycle.books
        self._lost_hosts: Counter[int] = Counter()
        self._contract_ends: dict[int, float] = {}

    def troubles(self) -> dict[IncidentType, Trouble]:
        """Return the effects of each type."""
        return {
            IncidentType.STUCK_LOADING: Trouble(self._stick, self._loosen),
            IncidentType.ABANDONED: Trouble(self._abandon, self._notice),
            IncidentType.CRASHED: Trouble(self._crash, self._restart),
            IncidentType.HOST_OFFLINE: Trouble(self._lose_host, self._restore_host),
            IncidentType.NO_HEARTBEAT: Trouble(self._silence, self._hear),
            IncidentType.CONTRACT_ENDING: Trouble(
                self._end_contract, self._extend_contract, self._forget_contract
            ),
        }

    def _stick(self, instance: Instance, _: Incident) -> None:
        image = instance.contract.template.image
        message = f"Pulling from {image}: 0B/s, retrying in 10 seconds"
        self._books.change(instance, "loading", message=message)

    def _loosen(self, incident: Incident) -> None:
        instance = self._books.roster.get(incident.instance_id)
        if instance and (instance.status, instance.intended) == ("loading", "running"):
            self._life.resume(instance)

    def _crash(self, instance: Instance, _: Incident) -> None:
        message = exited_message(instance, KILLED)
        self._books.change(instance, "exited", message=message, holds_gpus=True)

    def _restart(self, incident: Incident) -> None:
        instance = self._books.roster.get(incident.instance_id)
        if instance and (instance.status, instance.intended) == ("exited", "running"):
            self._life.run(instance)

    def _abandon(self, instance: Instance, _: Incident) -> None:
        """Lose the container silently: it looks as if its user had stopped it."""
        self._books.change(instance, "exited", "stopped", running_message(instance))

    def _notice(self, incident: Incident) -> None:
        instance = self._books.roster.get(incident.instance_id)
        stopped = instance and (instance.status, instance.intended) == ("exited", "stopped")
        if instance and stopped and instance.status_msg == running_message(instance) and not instance.outbid:
            self._life.load(instance)

    def _lose_host(self, _: Instance, incident: Incident) -> None:
        self._lost_hosts[incident.host_id] += 1
        self._life.rental.lost_hosts.add(incident.host_id)
        for instance in self._books.roster:
            if instance.contract.machine.host_id == incident.host_id:
                self._books.notices.about(instance, "instance_offline")
                self._books.lose(instance, "offline")

    def _restore_host(self, incident: Incident) -> None:
        self._lost_hosts[incident.host_id] -= 1
        if self._lost_hosts[incident.host_id]:
            return
        self._life.rental.lost_hosts.discard(incident.host_id)
        for instance in self._books.roster:
            if instance.contract.machine.host_id == incident.host_id and instance.lost == "offline":
                self._books.notices.about(instance, "instance_online")
                self._books.find(instance)

    def _silence(self, instance: Instance, _: Incident) -> None:
        self._books.lose(instance, "unknown")

    def _hear(self, incident: Incident) -> None:
        instance = self._books.roster.get(incident.instance_id)
        if instance and instance.lost == "unknown":
            self._books.find(instance)

    def _end_contract(self, instance: Instance, incident: Incident) -> None:
        self._contract_ends.setdefault(instance.id, instance.end_date)
        instance.end_date = incident.until
        self._books.notices.about(instance, "near_end_date")
        self._life.plan_expiry(instance)

    def _extend_contract(self, incident: Incident) -> None:
        end_date = self._contract_ends.pop(incident.instance_id, None)
        instance = self._books.roster.get(incident.instance_id)
        if instance and end_date is not None:
            instance.end_date = end_date
            self._life.plan_expiry(instance)

    def _forget_contract(self, incident: Incident) -> None:
        self._contract_ends.pop(incident.instance_id, None)
