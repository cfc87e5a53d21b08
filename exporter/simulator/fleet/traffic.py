"""Simulate an instance's network traffic, in the API's unit of 1000 bytes, and its cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.simulator.fleet.meter import Meter
from exporter.simulator.fleet.sensors import noise

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Contract

#: Seconds for which traffic is constant.
STEADY_SECONDS = 900.0


@dataclass(slots=True)
class Traffic:
    """The traffic of one contract since it began."""

    contract: Contract
    up: Meter
    down: Meter
    #: Number of changes so far, from which the next rate is derived.
    changes: int = 0

    @property
    def dollars_per_hour(self) -> float:
        """Cost of the current traffic."""
        return sum(self.contract.traffic_cost(self.up.rate, self.down.rate))

    def next_flow(self) -> tuple[float, float]:
        """Return the next KB per hour, out and in."""
        self.changes += 1
        up, down = self.contract.usual_traffic()
        phase = self.contract.profile.phase
        return up * 2 * noise(phase, self.changes), down * 2 * noise(phase + 0.5, self.changes)

    def remember(self, hours: float) -> None:
        """Add traffic for a number of past hours."""
        up, down = self.contract.usual_traffic()
        self.up.total += up * hours
        self.down.total += down * hours

    def flow(self, now: float, up: float, down: float) -> None:
        """Set the traffic in KB per hour from now on."""
        self.up.set_rate(now, up)
        self.down.set_rate(now, down)


def new_traffic(contract: Contract, now: float) -> Traffic:
    """Return traffic that starts at 0."""
    return Traffic(contract, Meter(now), Meter(now))
