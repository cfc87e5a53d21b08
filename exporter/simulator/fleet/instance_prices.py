"""The money fields of an instance's row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

#: `time_remaining_isbid` is the same runway at a rate this much higher.
BID_SURCHARGE = 1.08
#: A current minimum bid, as a share of the price of the GPU; the second while somebody bids more.
USUAL_BID_SHARE = 0.42
OUTBID_FACTOR = 1.15


def search_prices(instance: Instance) -> dict[str, float]:
    """What the instance costs while it runs."""
    contract = instance.contract
    return {
        "gpuCostPerHour": contract.dph_base,
        "diskHour": contract.storage_total_cost,
        "totalHour": contract.dph_total,
        "discountTotalHour": 0,
        "discountedTotalPerHour": contract.dph_total,
    }


def instance_prices(instance: Instance) -> dict[str, float]:
    """What the instance costs in its present state."""
    gpu, disk = instance.gpu_rate(), instance.disk_rate()
    return {
        "gpuCostPerHour": gpu,
        "diskHour": disk,
        "totalHour": gpu + disk,
        "discountTotalHour": 0,
        "discountedTotalPerHour": instance.burn(),
    }


def min_bid(instance: Instance) -> float:
    """The lowest bid that holds the GPU: above one's own only while one is outbid."""
    contract = instance.contract
    if instance.outbid:
        return round(contract.dph_base * OUTBID_FACTOR, 4)
    usual = contract.machine.gpu_price * contract.num_gpus * USUAL_BID_SHARE
    return round(min(usual, contract.dph_base), 4)


def credit_balance(instance: Instance, now: float) -> float | None:
    """Prepaid credit of a reserved instance; None for all others."""
    return None if instance.reserve is None else round(instance.reserve.at(now), 6)


def time_remaining(instance: Instance, now: float, surcharge: float = 1.0) -> str:
    """How long the prepaid credit lasts, in months of 31 days; "" without any."""
    rate = instance.burn() * surcharge
    if instance.reserve is None or rate <= 0:
        return ""
    hours = int(max(0.0, instance.reserve.at(now)) / rate)
    days, hours = divmod(hours, 24)
    months, days = divmod(days, 31)
    parts = ((months, "Mon"), (days, "D"), (hours, "Hr"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
