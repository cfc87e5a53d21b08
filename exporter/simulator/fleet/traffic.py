"""What goes over an instance's network, in the API's unit of 1000 bytes, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.simulator.fleet.meter import Meter
from exporter.simulator.fleet.sensors import noise

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Contract

#: Seconds for which traffic flows alike.
STEADY_SECONDS = 900.0


@dataclass(slots=True)
class Traffic:
    """The traffic of one contract since it began."""

    contract: Contract
    up: Meter
    down: Meter
    #: How often it has changed; what it changes to follows from this.
    changes: int = 0

    @property
    def dollars_per_hour(self) -> float:
        """What the present flow costs."""
        return sum(self.contract.traffic_cost(self.up.rate, self.down.rate))

    def next_flow(self) -> tuple[float, float]:
        """KB an hour out and in that come next: more or less than before."""
        self.changes += 1
        up, down = self.contract.usual_traffic()
        phase = self.contract.profile.phase
        return up * 2 * noise(phase, self.changes), down * 2 * noise(phase + 0.5, self.changes)

    def remember(self, hours: float) -> None:
        """Have had traffic for so many hours before."""
        up, down = self.contract.usual_traffic()
        self.up.total += up * hours
        self.down.total += down * hours

    def flow(self, now: float, up: float, down: float) -> None:
        """Let so many KB an hour flow from now on."""
        self.up.set_rate(now, up)
        self.down.set_rate(now, down)


def new_traffic(contract: Contract, now: float) -> Traffic:
    """Nothing has flown yet."""
    return Traffic(contract, Meter(now), Meter(now))
