"""Prices that hosts want to raise when contracts end: one row a contract, until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.replies import Reply, json_reply
from exporter.simulator.fleet.ledger import DAY
from exporter.simulator.fleet.sensors import noise

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

PRICE_INCREASES = "/api/v0/instances/pending-price-increases/"
#: Share of contracts whose host wants more, how long before the end that is told at most, and after how much.
RAISED_SHARE = 0.08
NOTICE_SECONDS = 30 * DAY
TOLD_AFTER_SHARE = 0.2
MONTH_SECONDS = 30 * DAY


def list_price_increases(question: Question) -> Reply:
    """All that are pending."""
    fleet = question.account.fleet
    with fleet.lock:
        rows = [describe(instance) for instance in fleet.roster if is_pending(instance, fleet.now)]
    return json_reply(
        {"success": True, "count": len(rows), "truncated": False, "pending_price_increases": rows}
    )


def told_at(instance: Instance) -> float:
    """When the user is told of it."""
    start = instance.contract.start_date
    length = instance.end_date - start
    return max(instance.end_date - NOTICE_SECONDS, start + length * TOLD_AFTER_SHARE)


def is_pending(instance: Instance, now: float) -> bool:
    """Whether its host wants more and has said so."""
    raised = noise(instance.contract.profile.phase + 0.61, 1) < RAISED_SHARE
    return raised and not instance.contract.is_bid and told_at(instance) <= now < instance.end_date


def describe(instance: Instance) -> dict[str, object]:
    """One row: prices of a second, for one GPU and for a GB; null where nothing changes."""
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
