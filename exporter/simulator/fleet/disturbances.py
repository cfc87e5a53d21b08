"""Simulate problems inside an instance, visible only in its readings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.simulator.fleet.incident_types import IncidentType, Trouble
from exporter.simulator.fleet.sensors import CALM

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.books import Books
    from exporter.simulator.fleet.incident_types import Incident
    from exporter.simulator.fleet.instance import Instance


def heat(instance: Instance, incident: Incident) -> None:
    """Overheat the GPU."""
    instance.disturbance = replace(instance.disturbance, hot_since=incident.began)


def fill(instance: Instance, incident: Incident) -> None:
    """Fill the disk."""
    seconds = max(1.0, incident.until - incident.began)
    instance.disturbance = replace(
        instance.disturbance, filling_since=incident.began, filling_seconds=seconds
    )


def idle(instance: Instance, incident: Incident) -> None:
    """Stop the work while the instance keeps running."""
    instance.disturbance = replace(instance.disturbance, idle_since=incident.began)


def troubles(books: Books) -> dict[IncidentType, Trouble]:
    """Return the effects of each type on instances of `books`."""

    def ended(**calm: object) -> Callable[[Incident], None]:
        def end(incident: Incident) -> None:
            instance = books.roster.get(incident.instance_id)
            if instance is not None:
                instance.disturbance = replace(instance.disturbance, **calm)  # type: ignore[arg-type]

        return end

    def noticed(
        notice_type: str, begin: Callable[[Instance, Incident], None]
    ) -> Callable[[Instance, Incident], None]:
        def both(instance: Instance, incident: Incident) -> None:
            books.notices.about(instance, notice_type)
            begin(instance, incident)

        return both

    return {
        IncidentType.OVERHEATING: Trouble(heat, ended(hot_since=CALM.hot_since)),
        IncidentType.DISK_FILLING: Trouble(
            noticed("storage_full", fill),
            ended(filling_since=CALM.filling_since, filling_seconds=CALM.filling_seconds),
        ),
        IncidentType.IDLE: Trouble(noticed("idle_gpu", idle), ended(idle_since=CALM.idle_since)),
    }
