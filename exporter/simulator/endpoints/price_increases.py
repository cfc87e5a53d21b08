"""List price increases that hosts request for the end of contracts: one row per contract until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.replies import Reply, json_reply
from exporter.simulator.fleet.ledger import DAY
from exporter.simulator.fleet.sensors import noise

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

PRICE_INCREASES = "/api/v0/instances/pending-price-increases/"
#: Share of contracts with an increase, maximum seconds of notice before the end, and minimum share of the
#: contract before the notice.
RAISED_SHARE = 0.08
NOTICE_SECONDS = 30 * DAY
TOLD_AFTER_SHARE = 0.2
MONTH_SECONDS = 30 * DAY


def list_price_increases(question: Question) -> Reply:
    """Return all pending increases."""
    fleet = question.account.fleet
    with fleet.lock:
        rows = [describe(instance) for instance in fleet.roster if is_pending(instance, fleet.now)]
    return json_reply(
        {"success": True, "count": len(rows), "truncated": False, "pending_price_increases": rows}
    )


def told_at(instance: Instance) -> float:
    """Return when the user is notified."""
    start = instance.contract.start_date
    length = instance.end_date - start
    return max(instance.end_date - NOTICE_SECONDS, start + length * TOLD_AFTER_SHARE)


def is_pending(instance: Instance, now: float) -> bool:
    """Return whether the host has requested an increase."""
    raised = noise(instance.contract.profile.phase + 0.61, 1) < RAISED_SHARE
    return raised and not instance.contract.is_bid and told_at(instance) <= now < instance.end_date


def describe(instance: Instance) -> dict[str, object]:
    """Return one row with prices per second, for one GPU and one GB; null means unchanged."""
    contract, machine = instance.contract, instance.contract.machine
    phase = contract.profile.phase
    gpu = contract.dph_base / contract.num_gpus / 3600
    disk = machine.storage_cost / MONTH_SECONDS
    return {
        "pending_price_increase_id": contract.id % 1_000_000,
        "contract_id": contract.id,
        "host_id": machine.host_id,
        "new_gpu_costpersec": gpu * (1.05 + 0.4 * noise(phase, 2)),
        "new_disk_ram_costpersec": disk * 1.5 if noise(phase, 3) < TOLD_AFTER_SHARE else None,
        "new_bwu_cost": None,
        "new_bwd_cost": None,
        "new_platform_fee": None,
        "old_gpu_costpersec": gpu,
        "old_disk_ram_costpersec": disk,
        "old_bwu_cost": machine.inet_up_cost,
        "old_bwd_cost": machine.inet_down_cost,
        "old_platform_fee": 0.25,
        "contract_end_date": instance.end_date,
        "ask_end_date": instance.end_date + MONTH_SECONDS,
        "created_at": told_at(instance),
    }


ENDPOINTS = (SimulatedEndpoint(PRICE_INCREASES, list_price_increases),)
