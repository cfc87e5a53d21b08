"""What goes wrong inside an instance, and shows in its readings only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.simulator.fleet.incident_types import IncidentType, Trouble
from exporter.simulator.fleet.sensors import CALM

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.incident_types import Incident
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.roster import Roster


def heat(instance: Instance, incident: Incident) -> None:
    """The GPU gets too hot."""
    instance.disturbance = replace(instance.disturbance, hot_since=incident.began)


def fill(instance: Instance, incident: Incident) -> None:
    """The disk fills up."""
    seconds = max(1.0, incident.until - incident.began)
    instance.disturbance = replace(
        instance.disturbance, filling_since=incident.began, filling_seconds=seconds
    )


def idle(instance: Instance, incident: Incident) -> None:
    """The work has ended, and the instance runs on."""
    instance.disturbance = replace(instance.disturbance, idle_since=incident.began)


def troubles(roster: Roster) -> dict[IncidentType, Trouble]:
    """What each type does to instances of `roster`."""

    def ended(**calm: object) -> Callable[[Incident], None]:
        def end(incident: Incident) -> None:
            instance = roster.get(incident.instance_id)
            if instance is not None:
                instance.disturbance = replace(instance.disturbance, **calm)  # type: ignore[arg-type]

        return end

    return {
        IncidentType.OVERHEATING: Trouble(heat, ended(hot_since=CALM.hot_since)),
        IncidentType.DISK_FILLING: Trouble(
            fill, ended(filling_since=CALM.filling_since, filling_seconds=CALM.filling_seconds)
        ),
        IncidentType.IDLE: Trouble(idle, ended(idle_since=CALM.idle_since)),
    }
