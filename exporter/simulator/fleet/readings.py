"""Compute the readings of an instance's host agent at one moment, including missing ones.

For an instance that does not run, the last readings are repeated.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from exporter.simulator.fleet import sensors
from exporter.simulator.fleet.machines import Quirk

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

#: The API's unit of main memory, 1e6 KiB, in MiB.
MIB_OF_MEMORY = 1e6 / 1024
UNKNOWN = -1.0
#: Value of a missing GPU reading.
NO_READING: dict[Quirk | None, float | None] = {None: None, Quirk.NULLS: None, Quirk.ZEROS: 0.0}
#: Seconds by which a slow clock is behind.
CLOCK_BEHIND_SECONDS = 240.0


class View:
    """One instance at one moment, as the columns read it."""

    def __init__(self, instance: Instance, now: float) -> None:
        self.instance = instance
        self.contract = instance.contract
        self.machine = instance.contract.machine
        self.gpu = instance.contract.machine.gpu
        self.template = instance.contract.template
        self.now = now
        live = instance.read_until is None
        self.running = instance.shown_status == "running"
        #: Time of the telemetry; None if there never was any.
        self.read_at = (now if live else instance.read_until) if instance.ever_ran else None

    @cached_property
    def share(self) -> float:
        """Rented share of the machine."""
        return self.contract.num_gpus / self.machine.num_gpus

    @cached_property
    def gap(self) -> Quirk | None:
        """How the host's agent reports missing readings, if they are missing."""
        phase = self.contract.profile.phase
        if self.read_at is None:
            return None
        if self.machine.quirk is Quirk.ZEROS and sensors.reports_zeros(phase, self.read_at):
            return Quirk.ZEROS
        if self.machine.quirk is Quirk.NULLS and sensors.reports_nothing(phase, self.read_at):
            return Quirk.NULLS
        return None

    @cached_property
    def disk_util(self) -> float | None:
        """Ratio of the disk in use, -1 for unknown."""
        if self.gap is Quirk.NULLS or self.instance.shown_status == "loading":
            return UNKNOWN
        if self.read_at is None:
            return None
        contract = self.contract
        return sensors.disk_util(
            contract.profile, self.read_at, contract.start_date, self.instance.disturbance
        )

    def secret(self, purpose: str) -> str:
        """Return a fake token."""
        return sha256(f"{purpose} {self.contract.id}".encode()).hexdigest()


def gpu_util(view: View) -> float | None:
    """Return the mean utilisation of its GPUs in percent; negative for unknown."""
    if view.read_at is None or view.gap is not None:
        return NO_READING[view.gap]
    return sensors.gpu_util(view.contract.profile, view.read_at, view.instance.disturbance)


def gpu_temp(view: View) -> float | None:
    """Return degrees Celsius, one value for all its GPUs."""
    if view.read_at is None or view.gap is not None or not view.machine.has_sensor:
        return NO_READING[view.gap]
    span = view.gpu.idle_celsius, view.gpu.busy_celsius
    return sensors.gpu_celsius(view.contract.profile, view.read_at, span, view.instance.disturbance)


def cpu_util(view: View) -> float:
    """Return the percentage of the rented share; 0 if unknown."""
    if view.read_at is None or view.gap is not None:
        return 0.0
    return sensors.cpu_util(view.contract.profile, view.read_at, view.instance.disturbance)


def vmem_usage(view: View) -> float | None:
    """Return the GPU memory in use in GiB."""
    if view.read_at is None or view.gap is not None:
        return NO_READING[view.gap]
    share = sensors.vram_share(view.contract.profile, view.read_at, view.instance.disturbance)
    return round(view.gpu.ram_mib * view.contract.num_gpus * share / 1024, 6)


def mem_limit(view: View) -> float | None:
    """Return the main memory in the API's unit."""
    return None if view.read_at is None else round(view.machine.ram_mib * view.share / MIB_OF_MEMORY, 8)


def mem_usage(view: View) -> float | None:
    """Return the main memory in use in the API's unit."""
    if view.read_at is None or view.gap is Quirk.NULLS:
        return None
    share = sensors.memory_share(view.contract.profile, view.read_at)
    return round(view.machine.ram_mib * view.share / MIB_OF_MEMORY * share, 8)


def disk_usage(view: View) -> float | None:
    """Return the disk space in use in GB, -1 for unknown."""
    util = view.disk_util
    return util if util is None or util < 0 else round(view.contract.disk_space * util, 3)


def uptime_mins(view: View) -> float | None:
    """Return the minutes since the container started, by its host's clock."""
    since = view.instance.running_since
    if since is None or not view.running:
        return None
    behind = CLOCK_BEHIND_SECONDS if view.machine.quirk is Quirk.CLOCK_BEHIND else 0.0
    return round((view.now - since - behind) / 60, 2)
