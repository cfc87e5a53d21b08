"""What goes over an instance's network, in the API's unit of 1000 bytes, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.simulator.fleet.catalog import Workload
from exporter.simulator.fleet.meter import Meter
from exporter.simulator.fleet.sensors import noise

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Contract

KB_OF_GB = 1e6
#: Seconds for which traffic flows alike.
STEADY_SECONDS = 900.0
#: What a busy GPU moves, in KB an hour out and in, by workload.
USUAL = {
    Workload.TRAINING: (0.9e6, 2.4e6),
    Workload.SERVING: (3.2e6, 0.8e6),
    Workload.NOTEBOOK: (0.1e6, 0.4e6),
    Workload.RENDERING: (1.6e6, 0.5e6),
}


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
        return self.cost(self.up.rate, self.down.rate)

    def cost(self, up_kb: float, down_kb: float) -> float:
        """Dollars for so much."""
        machine = self.contract.machine
        return (up_kb * machine.inet_up_cost + down_kb * machine.inet_down_cost) / KB_OF_GB

    def usual(self) -> tuple[float, float]:
        """KB an hour out and in that flow on an average while it runs."""
        up, down = USUAL[self.contract.profile.workload]
        size = self.contract.num_gpus**0.5 * (0.3 + self.contract.profile.cpu_share)
        return up * size, down * size

    def next_flow(self) -> tuple[float, float]:
        """KB an hour out and in that come next: more or less than before."""
        self.changes += 1
        up, down = self.usual()
        phase = self.contract.profile.phase
        return up * 2 * noise(phase, self.changes), down * 2 * noise(phase + 0.5, self.changes)

    def remember(self, hours: float) -> None:
        """Have had traffic for so many hours before."""
        up, down = self.usual()
        self.up.total += up * hours
        self.down.total += down * hours

    def flow(self, now: float, up: float, down: float) -> None:
        """Let so many KB an hour flow from now on."""
        self.up.set_rate(now, up)
        self.down.set_rate(now, down)


def new_traffic(contract: Contract, now: float) -> Traffic:
    """Nothing has flown yet."""
    return Traffic(contract, Meter(now), Meter(now))
