"""Compute the price fields of an instance's row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

#: Factor of the rate for `time_remaining_isbid`, which is otherwise the same runway.
BID_SURCHARGE = 1.08
#: Factor of the minimum raise of the user's own bid.
LEAST_RAISE = 1.2


def search_prices(instance: Instance) -> dict[str, float]:
    """Return the cost of the instance while it runs."""
    contract = instance.contract
    return {
        "gpuCostPerHour": contract.dph_base,
        "diskHour": contract.storage_total_cost,
        "totalHour": contract.dph_total,
        "discountTotalHour": 0,
        "discountedTotalPerHour": contract.dph_total,
    }


def instance_prices(instance: Instance) -> dict[str, float]:
    """Return the cost of the instance in its current state."""
    gpu, disk = instance.gpu_rate(), instance.disk_rate()
    return {
        "gpuCostPerHour": gpu,
        "diskHour": disk,
        "totalHour": gpu + disk,
        "discountTotalHour": 0,
        "discountedTotalPerHour": instance.burn(),
    }


def min_bid(instance: Instance) -> float:
    """Return the minimum bid, which says nothing about the bids of others.

    It is the larger of the host's minimum and the minimum raise of the user's own bid. While somebody else
    has the GPU, it is the host's minimum.
    """
    contract = instance.contract
    floor = contract.machine.floor * contract.num_gpus
    raised = contract.dph_base * LEAST_RAISE if contract.is_bid and not instance.outbid else 0.0
    return round(max(floor, raised), 4)


def credit_balance(instance: Instance, now: float) -> float | None:
    """Return the prepaid credit of a reserved instance, or None for others."""
    return None if instance.reserve is None else round(instance.reserve.at(now), 6)


def time_remaining(instance: Instance, now: float, surcharge: float = 1.0) -> str:
    """Return how long the prepaid credit lasts, in months of 31 days; "" if there is none."""
    rate = instance.burn() * surcharge
    if instance.reserve is None or rate <= 0:
        return ""
    hours = int(max(0.0, instance.reserve.at(now)) / rate)
    days, hours = divmod(hours, 24)
    months, days = divmod(days, 31)
    parts = ((months, "Mon"), (days, "D"), (hours, "Hr"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
