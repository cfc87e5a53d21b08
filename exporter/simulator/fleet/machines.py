"""Simulate the machines that hosts offer, and which of their GPUs are free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from exporter.simulator.fleet.catalog import BOARDS, DISKS, DRIVERS, GPU_MODELS, OS_VERSIONS, PLACES

if TYPE_CHECKING:
    from collections.abc import Container
    from random import Random

    from exporter.simulator.fleet.catalog import Board, GpuModel, Place

#: Number of existing machines to try before another one joins the market.
ATTEMPTS = 6
#: Networks reserved for documentation (RFC 5737), not real addresses.
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
#: Share of new machines whose host already has others.
KNOWN_HOST_SHARE = 0.45


#: Dollars per GB of traffic; many hosts charge nothing.
TRAFFIC_PRICES = (0.0, 0.0, 0.002, 0.005, 0.01, 0.02)
#: A host's minimum price for a GPU, as a share of its price.
FLOOR_SHARE = 0.42


class Quirk(Enum):
    """Peculiarity of a machine."""

    #: In every second report, its agent has no GPU reading and sends 0.
    ZEROS = "zeros"
    #: Sometimes its agent has no reading at all and sends null.
    NULLS = "nulls"
    #: Its GPUs are of two models, which are named alternately.
    TWO_MODELS = "two_models"
    #: Its clock is behind, so that a container appears to start in the future.
    CLOCK_BEHIND = "clock_behind"


#: Index of a machine within QUIRK_EVERY consecutive ones, and its quirk, so that every fleet has some.
QUIRKS = {3: Quirk.ZEROS, 9: Quirk.NULLS, 15: Quirk.TWO_MODELS, 21: Quirk.CLOCK_BEHIND}
QUIRK_EVERY = 30


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of one host."""

    machine_id: int
    host_id: int
    gpu: GpuModel
    num_gpus: int
    board: Board
    ram_mib: int
    disk_name: str
    disk_mb_per_s: float
    place: Place
    ip: str
    static_ip: bool
    reliability: float
    verification: str
    #: Dollars per GB of disk for a month of 720 hours.
    storage_cost: float
    #: Dollars per hour for one GPU.
    gpu_price: float
    inet_up: float
    inet_down: float
    inet_up_cost: float
    inet_down_cost: float
    os_version: str | None
    driver_version: str
    cuda_max_good: float
    #: Whether the host's agent reads the GPU's temperature.
    has_sensor: bool
    dlperf_known: bool
    quirk: Quirk | None

    @property
    def floor(self) -> float:
        """Minimum dollars per hour for one GPU."""
        return self.gpu_price * FLOOR_SHARE


class Market:
    """Offers machines, and tracks the free GPUs of each."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._machines: list[Machine] = []
        self._free: dict[int, int] = {}
        self._hosts: list[int] = []
        self._last_id = rng.randrange(9_000, 12_000)

    def rent(self, without_hosts: Container[int]) -> tuple[Machine, int]:
        """Take GPUs of a machine, excluding some hosts; return the machine and the number."""
        machine = self._find(without_hosts)
        free = self._free[machine.machine_id]
        wanted = self._rng.choice((1, 1, 1, 2, machine.num_gpus // 2, machine.num_gpus))
        taken = max(1, min(wanted, free))
        self._free[machine.machine_id] = free - taken
        return machine, taken

    def give_back(self, machine: Machine, num_gpus: int) -> None:
        """Free GPUs that `rent` took."""
        self._free[machine.machine_id] += num_gpus

    def _find(self, without_hosts: Container[int]) -> Machine:
        for _ in range(min(ATTEMPTS, len(self._machines))):
            machine = self._rng.choice(self._machines)
            if self._free[machine.machine_id] and machine.host_id not in without_hosts:
                return machine
        return self._add(without_hosts)

    def _add(self, without_hosts: Container[int]) -> Machine:
        rng = self._rng
        self._last_id += rng.randint(1, 40)
        known = [host for host in self._hosts[-40:] if host not in without_hosts]
        if known and rng.random() < KNOWN_HOST_SHARE:
            host_id = rng.choice(known)
        else:
            host_id = 1_000 + self._last_id * 7 % 89_989
            self._hosts.append(host_id)
        quirk = QUIRKS.get(len(self._machines) % QUIRK_EVERY)
        machine = describe_machine(rng, self._last_id, host_id, quirk=quirk)
        self._machines.append(machine)
        self._free[machine.machine_id] = machine.num_gpus
        return machine


def describe_machine(
    rng: Random, machine_id: int, host_id: int, *, quirk: Quirk | None = None, gpu: GpuModel | None = None
) -> Machine:
    """Return a plausible machine, with a random popular model or the given one."""
    gpu = gpu or rng.choices(GPU_MODELS, [model.weight for model in GPU_MODELS])[0]
    num_gpus = rng.choice(gpu.sizes)
    driver_version, cuda_max_good = rng.choice(DRIVERS)
    fast = rng.uniform(0.6, 1.0) * (8_000 if gpu.datacentre else 900)
    return Machine(
        machine_id=machine_id,
        host_id=host_id,
        gpu=gpu,
        num_gpus=num_gpus,
        board=rng.choice([board for board in BOARDS if board.datacentre == gpu.datacentre]),
        ram_mib=max(32, 64 * num_gpus * (4 if gpu.datacentre else 1)) * 1000 + rng.randrange(-900, 900),
        disk_name=rng.choice(DISKS),
        disk_mb_per_s=round(rng.uniform(480, 7_200), 2),
        place=rng.choice(PLACES),
        ip=f"{rng.choice(NETWORKS)}.{rng.randint(1, 254)}",
        static_ip=gpu.datacentre or rng.random() < 0.3,  # noqa: PLR2004 - a ratio
        reliability=round(rng.choice((rng.uniform(0.97, 0.9999), rng.uniform(0.85, 0.999))), 7),
        verification=rng.choices(("verified", "unverified", "deverified"), (85, 13, 2))[0],
        storage_cost=rng.choice((0.1, 0.15, 0.15, 0.2, 0.3)),
        gpu_price=round(gpu.dollars_per_hour * rng.uniform(0.8, 1.3), 4),
        inet_up=round(fast * rng.uniform(0.4, 1.0), 1),
        inet_down=round(fast, 1),
        inet_up_cost=rng.choice(TRAFFIC_PRICES),
        inet_down_cost=rng.choice(TRAFFIC_PRICES),
        os_version=rng.choice(OS_VERSIONS),
        driver_version=driver_version,
        cuda_max_good=cuda_max_good,
        has_sensor=rng.random() < 0.98,  # noqa: PLR2004 - a ratio
        dlperf_known=rng.random() < 0.95,  # noqa: PLR2004 - a ratio
        quirk=quirk,
    )
