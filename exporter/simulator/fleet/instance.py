"""Define a rented instance: its contract, its state and its cost."""

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

#: Hours per month for which storage prices are quoted.
MONTH_HOURS = 720
#: Statuses in which the GPU is billed, according to the vendor's billing page, which omits the last two.
GPU_BILLED = frozenset({"running", "frozen", "rebooting", "unknown"})
#: Statuses in which the machine usually no longer holds the instance's GPUs.
RELEASED = frozenset({"stopped", "exited"})
KB_OF_GB = 1e6
#: Traffic of a busy GPU in KB per hour, out and in, by workload.
USUAL_TRAFFIC = {
    Workload.TRAINING: (0.9e6, 2.4e6),
    Workload.SERVING: (3.2e6, 0.8e6),
    Workload.NOTEBOOK: (0.1e6, 0.4e6),
    Workload.RENDERING: (1.6e6, 0.5e6),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """Terms of the rental."""

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
        """Dollars per hour for the disk."""
        return self.machine.storage_cost * self.disk_space / MONTH_HOURS

    @property
    def dph_total(self) -> float:
        """Dollars per hour for GPU and disk."""
        return self.dph_base + self.storage_total_cost

    def usual_traffic(self) -> tuple[float, float]:
        """Return the average KB per hour, out and in, while it runs."""
        up, down = USUAL_TRAFFIC[self.profile.workload]
        size = self.num_gpus**0.5 * (0.3 + self.profile.cpu_share)
        return up * size, down * size

    def traffic_cost(self, up_kb: float, down_kb: float) -> tuple[float, float]:
        """Return the dollars for this much traffic, out and in."""
        machine = self.machine
        return up_kb * machine.inet_up_cost / KB_OF_GB, down_kb * machine.inet_down_cost / KB_OF_GB


@dataclass(slots=True)
class Instance:
    """Current state of an instance; changed by `exporter.simulator.fleet.lifecycle`."""

    contract: Contract
    end_date: float
    traffic: Traffic
    spending: Spending
    #: Stored state of the container; None while it is being provisioned.
    status: str | None = None
    intended: str = "running"
    #: "offline" or "unknown" while its host is lost: shown instead of `status`.
    lost: str | None = None
    status_msg: str | None = None
    running_since: float | None = None
    #: Time of the last telemetry; None while it is live.
    read_until: float | None = None
    ever_ran: bool = False
    #: Whether the machine holds GPUs for it.
    holds_gpus: bool = True
    #: Whether somebody has bid more; until they leave, or something else happens to the instance.
    outbid: bool = False
    disturbance: Disturbance = CALM
    #: Prepaid credit of a reserved instance.
    reserve: Wallet | None = None
    discount: float = 0.0
    #: Dollars per hour currently charged for GPU and disk.
    rate: float = 0.0
    #: Incremented by every state change, which cancels earlier plans.
    version: int = 0
    #: Row fields set by a test.
    overrides: dict[str, object] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """Number of the contract."""
        return self.contract.id

    @property
    def shown_status(self) -> str | None:
        """The API's actual_status."""
        return self.lost or self.status

    @property
    def cur_state(self) -> str:
        """Whether the machine currently holds the instance's GPUs."""
        return "running" if self.holds_gpus else "stopped"

    @property
    def next_state(self) -> str:
        """Next value of `cur_state`; running after stopped means waiting for GPUs that others have."""
        return "stopped" if self.intended == "stopped" else "running"

    def gpu_rate(self) -> float:
        """Return the dollars per hour for the GPU in the current state, before any discount."""
        return self.contract.dph_base if self.shown_status in GPU_BILLED else 0.0

    def disk_rate(self) -> float:
        """Return the dollars per hour for the disk in the current state, before any discount."""
        return 0.0 if self.shown_status == "offline" else self.contract.storage_total_cost

    def spent_rates(self) -> tuple[float, float]:
        """Return the current dollars per hour for GPU and disk; the disk alone gets no discount."""
        gpu, disk = self.gpu_rate(), self.disk_rate()
        share = 1 - self.discount if gpu else 1.0
        return gpu * share, disk * share

    def burn(self) -> float:
        """Return the dollars per hour in the current state."""
        return sum(self.spent_rates())
