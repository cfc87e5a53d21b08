"""Track the cost of one contract by purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.simulator.fleet.meter import Meter

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance


@dataclass(frozen=True, slots=True)
class Amounts:
    """Quantities and dollars of a contract over some period."""

    gpu_hours: float = 0.0
    gpu: float = 0.0
    disk_hours: float = 0.0
    disk: float = 0.0
    up_kb: float = 0.0
    down_kb: float = 0.0

    def plus(self, other: Amounts, sign: int = 1) -> Amounts:
        """Return the sum, or the difference."""
        return Amounts(
            self.gpu_hours + sign * other.gpu_hours,
            self.gpu + sign * other.gpu,
            self.disk_hours + sign * other.disk_hours,
            self.disk + sign * other.disk,
            self.up_kb + sign * other.up_kb,
            self.down_kb + sign * other.down_kb,
        )


class Spending:
    """Tracks the cost of an instance's GPU and disk; traffic is tracked separately."""

    __slots__ = ("_disk", "_disk_hours", "_gpu", "_gpu_hours")

    def __init__(self, now: float) -> None:
        self._gpu_hours, self._gpu, self._disk_hours, self._disk = (Meter(now) for _ in range(4))

    def set_rates(self, now: float, gpu: float, disk: float) -> None:
        """Spend at these rates in dollars per hour from now on."""
        self._gpu_hours.set_rate(now, float(gpu > 0))
        self._gpu.set_rate(now, gpu)
        self._disk_hours.set_rate(now, float(disk > 0))
        self._disk.set_rate(now, disk)

    def at(self, now: float, instance: Instance) -> Amounts:
        """Return the instance's total cost up to `now`, including traffic."""
        traffic = instance.traffic
        return Amounts(
            self._gpu_hours.at(now),
            self._gpu.at(now),
            self._disk_hours.at(now),
            self._disk.at(now),
            traffic.up.at(now),
            traffic.down.at(now),
        )
