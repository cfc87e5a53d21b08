"""One rented instance: what was agreed, what state it is in, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.simulator.fleet.catalog import Workload
from exporter.simulator.fleet.sensors import CALM

if TYPE_CHECKING:
    from exporter.simulator.fleet.catalog import Template
    from exporter.simulator.fleet.machines import Machine
    from exporter.simulator.fleet.sensors import Disturbance, Profile
    from exporter.simulator.fleet.spending import Spending
    from exporter.simulator.fleet.traffic import Traffic
    from exporter.simulator.fleet.wallet import Wallet

#: Hours of the month that storage prices are meant for.
MONTH_HOURS = 720
#: In these states the GPU is paid for (the vendor's billing page; of the last two it says nothing).
GPU_BILLED = frozenset({"running", "frozen", "rebooting", "unknown"})
#: In these states the machine usually holds the instance's GPUs no longer.
RELEASED = frozenset({"stopped", "exited"})
KB_OF_GB = 1e6
#: What a busy GPU moves, in KB an hour out and in, by workload.
USUAL_TRAFFIC = {
    Workload.TRAINING: (0.9e6, 2.4e6),
    Workload.SERVING: (3.2e6, 0.8e6),
    Workload.NOTEBOOK: (0.1e6, 0.4e6),
    Workload.RENDERING: (1.6e6, 0.5e6),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """What was agreed when the instance was rented."""

    id: int
    machine: Machine
    num_gpus: int
    template: Template
    label: str | None
    is_bid: bool
    dph_base: float
    disk_space: float
    start_date: float
    profile: Profile

    @property
    def storage_total_cost(self) -> float:
        """Dollars an hour for the disk."""
        return self.machine.storage_cost * self.disk_space / MONTH_HOURS

    @property
    def dph_total(self) -> float:
        """Dollars an hour for GPU and disk."""
        return self.dph_base + self.storage_total_cost

    def usual_traffic(self) -> tuple[float, float]:
        """KB an hour out and in that flow on an average while it runs."""
        up, down = USUAL_TRAFFIC[self.profile.workload]
        size = self.num_gpus**0.5 * (0.3 + self.profile.cpu_share)
        return up * size, down * size

    def traffic_cost(self, up_kb: float, down_kb: float) -> tuple[float, float]:
        """Dollars for so much out and in."""
        machine = self.machine
        return up_kb * machine.inet_up_cost / KB_OF_GB, down_kb * machine.inet_down_cost / KB_OF_GB


@dataclass(slots=True)
class Instance:
    """An instance as it is now; `exporter.simulator.fleet.lifecycle` is what changes it."""

    contract: Contract
    end_date: float
    traffic: Traffic
    spending: Spending
    #: The container's state as stored; None while it is being provisioned.
    status: str | None = None
    intended: str = "running"
    #: "offline" or "unknown" while its host is lost: shown instead of `status`.
    lost: str | None = None
    status_msg: str | None = None
    running_since: float | None = None
    #: When telemetry was last read; None while it is read live.
    read_until: float | None = None
    ever_ran: bool = False
    #: Whether the machine keeps its GPUs for it.
    holds_gpus: bool = True
    #: Somebody bids more; until they leave, or something else is done to the instance.
    outbid: bool = False
    disturbance: Disturbance = CALM
    #: Prepaid credit of a reserved instance.
    reserve: Wallet | None = None
    discount: float = 0.0
    #: Dollars an hour that are being charged for GPU and disk.
    rate: float = 0.0
    #: Raised by every change of state, so that what was planned before it does not happen.
    version: int = 0
    #: Row fields that a test has set.
    overrides: dict[str, object] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """The contract's number."""
        return self.contract.id

    @property
    def shown_status(self) -> str | None:
        """What the API calls actual_status."""
        return self.lost or self.status

    @property
    def cur_state(self) -> str:
        """Whether the machine holds the instance's GPUs now."""
        return "running" if self.holds_gpus else "stopped"

    @property
    def next_state(self) -> str:
        """What `cur_state` is about to become; running after stopped is waiting for GPUs that others have."""
        return "stopped" if self.intended == "stopped" else "running"

    def gpu_rate(self) -> float:
        """Dollars an hour for the GPU in the present state, before any discount."""
        return self.contract.dph_base if self.shown_status in GPU_BILLED else 0.0

    def disk_rate(self) -> float:
        """Dollars an hour for the disk in the present state, before any discount."""
        return 0.0 if self.shown_status == "offline" else self.contract.storage_total_cost

    def spent_rates(self) -> tuple[float, float]:
        """Dollars an hour for GPU and disk now; there is no discount while only the disk is paid for."""
        gpu, disk = self.gpu_rate(), self.disk_rate()
        share = 1 - self.discount if gpu else 1.0
        return gpu * share, disk * share

    def burn(self) -> float:
        """Dollars an hour in the present state."""
        return sum(self.spent_rates())
