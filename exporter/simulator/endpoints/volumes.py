"""List volumes: local ones attached to some instances, and one unattached."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.replies import Reply, error_reply, json_reply

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

VOLUMES = "/api/v0/volumes"
#: Types in the vendor's client, and the types of their rows.
TYPES = {"all_volume": {"machine", "network"}, "local_volume": {"machine"}, "network_volume": {"network"}}
#: One in this many instances has a volume.
SHARE = 6
DOLLARS_PER_GB_HOUR = 0.1 / 720
DAY = 86_400.0


def list_volumes(question: Question) -> Reply:
    """Return all volumes of a type in one reply."""
    wanted = TYPES.get(question.params.get("type", "all_volume"))
    if wanted is None:
        return error_reply(400, "invalid_args", f"Invalid volume type: {question.params['type']}")
    fleet = question.account.fleet
    with fleet.lock:
        attached = [instance for instance in fleet.roster if _draw(instance.id) % SHARE == 0]
        rows = [_local(instance) for instance in attached]
    number = _draw(question.account.name)
    rows.append(_orphan(number, fleet.now))
    return json_reply({"success": True, "volumes": [row for row in rows if row["type"] in wanted]})


def _draw(seed: object) -> int:
    return crc32(str(seed).encode()) % 100_000


def _local(instance: Instance) -> dict[str, object]:
    contract = instance.contract
    row = _row(
        number=contract.id * 10,
        label=contract.label or "",
        size=50.0 + _draw(contract.id) % 20 * 50.0,
        started=contract.start_date,
        ends=instance.end_date,
    )
    machine = {"machine_id": contract.machine.machine_id, "reliability2": contract.machine.reliability}
    return {**row, **machine, "instances": [contract.id]}


def _orphan(number: int, now: float) -> dict[str, object]:
    """Return a volume without instances, which is still billed."""
    started = now - now % DAY - 40 * DAY
    row = _row(
        number=1_000 + number, label="old checkpoints", size=800.0, started=started, ends=now + 20 * DAY
    )
    return {**row, "machine_id": 9_000 + number % 1_000, "reliability2": 0.981, "instances": []}


def _row(*, number: int, label: str, size: float, started: float, ends: float) -> dict[str, object]:
    return {
        "id": number,
        "cluster_id": None,
        "label": label,
        "type": "machine",
        "status": "running",
        "disk_space": size,
        "disk_name": "SAMSUNG MZQL23T8",
        "storage_total_cost": size * DOLLARS_PER_GB_HOUR,
        "start_date": started,
        "end_date": ends,
        "driver_version": "570.86.15",
        "cuda_max_good": 12.8,
        "verification": "verified",
        "geolocation": "Sweden, SE",
        "inet_up": 801.2,
        "inet_down": 911.7,
        "static_ip": True,
        "public_ipaddr": "203.0.113.7",
    }


ENDPOINTS = (SimulatedEndpoint(VOLUMES, list_volumes, threshold=5.5),)
