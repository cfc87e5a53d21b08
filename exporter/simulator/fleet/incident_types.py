"""Define the types of incidents and their durations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.simulator.fleet.instance import Instance


class IncidentType(Enum):
    """Types of incidents."""

    STUCK_LOADING = "stuck_loading"
    BOOT_FAILURE = "boot_failure"
    CRASHED = "crashed"
    ABANDONED = "abandoned"
    HOST_OFFLINE = "host_offline"
    NO_HEARTBEAT = "no_heartbeat"
    OUTBID = "outbid"
    UNDERBID = "underbid"
    QUEUED = "queued"
    OVERHEATING = "overheating"
    DISK_FILLING = "disk_filling"
    IDLE = "idle"
    CONTRACT_ENDING = "contract_ending"


#: Duration of a spontaneous incident in seconds.
LASTS = {
    IncidentType.STUCK_LOADING: (600.0, 2400.0),
    IncidentType.BOOT_FAILURE: (300.0, 1800.0),
    IncidentType.ABANDONED: (600.0, 5400.0),
    IncidentType.CRASHED: (15.0, 60.0),
    IncidentType.HOST_OFFLINE: (180.0, 1200.0),
    IncidentType.NO_HEARTBEAT: (60.0, 400.0),
    IncidentType.OUTBID: (300.0, 1800.0),
    IncidentType.UNDERBID: (120.0, 900.0),
    IncidentType.QUEUED: (120.0, 2400.0),
    IncidentType.OVERHEATING: (300.0, 1500.0),
    IncidentType.DISK_FILLING: (900.0, 3600.0),
    IncidentType.IDLE: (1800.0, 7200.0),
    IncidentType.CONTRACT_ENDING: (1800.0, 21600.0),
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident; `instance_id` is where it was noticed, `host_id` is the instance's host."""

    type: IncidentType
    instance_id: int
    host_id: int
    began: float
    until: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Effects of one type of incident; at its end the instance may be gone or changed."""

    begin: Callable[[Instance, Incident], None]
    end: Callable[[Incident], None]
    #: Replaces `end` if the incident was not ended early.
    expire: Callable[[Incident], None] | None = None
