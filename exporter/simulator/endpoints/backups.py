"""List backups that Vast.ai makes of instances, for example before it removes a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.replies import Reply, error_reply, json_reply
from exporter.simulator.fleet.sensors import noise

if TYPE_CHECKING:
    from exporter.simulator.fleet.fleet import Fleet
    from exporter.simulator.fleet.instance import Instance

BACKUPS = "/api/v0/instance_backups/"
#: Share of contracts with a backup, and maximum seconds between the contract's start and its backup.
COPIED_SHARE = 0.08
LATEST_SECONDS = 6 * 3600.0
#: Duration of a backup, and share of backups that fail.
PENDING_SECONDS = 1200.0
FAILED_SHARE = 0.2


def list_backups(question: Question) -> Reply:
    """List all backups, or those of one contract, newest first."""
    wanted = question.params.get("contract_id")
    if wanted is not None and not wanted.isdecimal():
        return error_reply(400, "invalid_args", f"Invalid contract_id: {wanted}")
    fleet = question.account.fleet
    with fleet.lock:
        made = [instance for instance in fleet.roster if is_copied(instance, fleet.now)]
        made.sort(key=copied_at, reverse=True)
        rows = [describe(fleet, one) for one in made if wanted is None or one.id == int(wanted)]
    return json_reply({"backups": rows})


def copied_at(instance: Instance) -> float:
    """Return when an instance's backup was started."""
    contract = instance.contract
    return contract.start_date + 600 + LATEST_SECONDS * noise(contract.profile.phase + 0.41, 1)


def is_copied(instance: Instance, now: float) -> bool:
    """Return whether an instance has a backup."""
    return noise(instance.contract.profile.phase + 0.71, 1) < COPIED_SHARE and copied_at(instance) <= now


def describe(fleet: Fleet, instance: Instance) -> dict[str, object]:
    """Return one row; a type of null means unknown."""
    phase = instance.contract.profile.phase
    ended = "error" if noise(phase, 5) < FAILED_SHARE else "success"
    status = "pending" if fleet.now < copied_at(instance) + PENDING_SECONDS else ended
    error = {"error": "no space left on /var/lib/backups"} if status == "error" else {}
    return {
        "id": instance.id % 100_000,
        "contract_id": instance.id,
        "type": ("instance", None)[int(2 * noise(phase, 6))],
        "machine_id": instance.contract.machine.machine_id,
        "status": status,
        "created_at": copied_at(instance),
        "info": {"bucket": f"backups-{instance.id}", **error},
    }


ENDPOINTS = (SimulatedEndpoint(BACKUPS, list_backups),)
