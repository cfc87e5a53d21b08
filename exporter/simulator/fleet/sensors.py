"""Compute the readings of GPU, memory and disk as pure functions of profile and time."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor, pi, sin
from typing import TYPE_CHECKING

from exporter.simulator.fleet.catalog import Workload

if TYPE_CHECKING:
    from random import Random

#: Share of five-minute slots without a GPU reading, and without a disk reading.
GPU_GAP_SHARE = 0.004
DISK_GAP_SHARE = 0.015
#: Share of a training period spent on a checkpoint, while the GPU waits.
CHECKPOINT_SHARE = 0.06
#: Final values of a filling disk and an overheating GPU.
FULL = 0.993
HOT_CELSIUS = 91.0
#: A filling disk is full after this share of the incident.
FILLING_SHARE = 0.5


#: Seconds between two reports of a host's agent, and share of five-minute slots without a report.
REPORT_SECONDS = 60.0
SILENT_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Profile:
    """Usage pattern of one instance, drawn once at its rental."""

    workload: Workload
    base: float
    wave: float
    period: float
    phase: float
    memory_share: float
    vram_share: float
    cpu_share: float
    warmth: float
    disk_share: float
    disk_growth: float


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Effects of incidents on an instance's readings: start of each, or None if not active."""

    idle_since: float | None = None
    hot_since: float | None = None
    filling_since: float | None = None
    filling_seconds: float = 1.0


CALM = Disturbance()

#: Base load, wave and longest period in seconds, by workload.
SHAPES = {
    Workload.TRAINING: (0.96, 0.03, 1800.0),
    Workload.SERVING: (0.5, 0.35, 7200.0),
    Workload.NOTEBOOK: (0.24, 0.3, 1500.0),
    Workload.RENDERING: (0.7, 0.32, 420.0),
}


def draw_profile(rng: Random, workload: Workload) -> Profile:
    """Return the usage pattern of a new instance."""
    base, wave, period = SHAPES[workload]
    return Profile(
        workload=workload,
        base=base * rng.uniform(0.85, 1.03),
        wave=wave * rng.uniform(0.7, 1.2),
        period=period * rng.uniform(0.6, 1.4),
        phase=rng.random(),
        memory_share=rng.uniform(0.08, 0.7),
        vram_share=rng.uniform(0.35, 0.95),
        cpu_share=rng.uniform(0.1, 0.6),
        warmth=rng.uniform(-4, 6),
        disk_share=rng.uniform(0.12, 0.7),
        disk_growth=rng.uniform(0.0, 0.2),
    )


def noise(phase: float, slot: float) -> float:
    """Return a pseudo-random number in [0, 1) that is the same for equal arguments."""
    value = sin(phase * 1013.7 + floor(slot) * 12.9898) * 43758.5453
    return value - floor(value)


def load(profile: Profile, now: float) -> float:
    """Return the GPU's load from 0 to 1, without disturbances."""
    turn = now / profile.period + profile.phase
    if profile.workload is Workload.TRAINING and turn % 1.0 < CHECKPOINT_SHARE:
        return 0.04
    wave = sin(2 * pi * turn) + 0.4 * sin(2 * pi * (turn * 5.3 + profile.phase))
    busy = profile.base + profile.wave * wave + 0.05 * (noise(profile.phase, now / 15) - 0.5)
    return max(0.0, min(1.0, busy))


def gpu_util(profile: Profile, now: float, disturbance: Disturbance) -> float:
    """Return the GPU utilisation in percent; -1 if there is no reading."""
    if noise(profile.phase + 0.31, now / 300) < GPU_GAP_SHARE:
        return -1.0
    if disturbance.idle_since is not None:
        return 0.0
    return round(100 * load(profile, now), 1)


def gpu_celsius(profile: Profile, now: float, span: tuple[float, float], disturbance: Disturbance) -> float:
    """Return the temperature of the hottest GPU; `span` is the model's idle and busy temperature."""
    idle, busy = span
    recent = 0.0
    if disturbance.idle_since is None:
        recent = (load(profile, now) + load(profile, now - 20) + load(profile, now - 40)) / 3
    celsius = idle + (busy - idle) * recent + profile.warmth + 1.5 * sin(2 * pi * now / 86400)
    if disturbance.hot_since is not None:
        risen = 1 - exp(-(now - disturbance.hot_since + 60) / 45)
        celsius += max(0.0, HOT_CELSIUS + profile.warmth / 3 - celsius) * risen
    return round(celsius, 1)


def vram_share(profile: Profile, now: float, disturbance: Disturbance) -> float:
    """Return the share of GPU memory in use, 0 to 1."""
    if disturbance.idle_since is not None:
        return 0.012
    return min(0.99, profile.vram_share * (0.9 + 0.1 * load(profile, now)))


def memory_share(profile: Profile, now: float) -> float:
    """Return the share of the instance's main memory in use, 0 to 1."""
    return min(0.98, profile.memory_share * (1 + 0.08 * sin(2 * pi * now / (profile.period * 3))))


def cpu_util(profile: Profile, now: float, disturbance: Disturbance) -> float:
    """Return the percentage in use of the rented share of the processor."""
    busy = 0.02 if disturbance.idle_since is not None else load(profile, now)
    return round(100 * profile.cpu_share * busy + noise(profile.phase, now / 10), 2)


def disk_util(profile: Profile, now: float, started: float, disturbance: Disturbance) -> float:
    """Return the share of the disk in use, 0 to 1; -1 if there is no reading."""
    if noise(profile.phase + 0.77, now / 300) < DISK_GAP_SHARE:
        return -1.0
    age = max(0.0, now - started)
    used = profile.disk_share + profile.disk_growth * (1 - exp(-age / 86400))
    used += 0.01 * ((now / profile.period + profile.phase) % 1.0)
    if disturbance.filling_since is not None:
        passed = (now - disturbance.filling_since) / (disturbance.filling_seconds * FILLING_SHARE)
        used += (FULL - used) * max(0.0, min(1.0, passed))
    return round(used, 4)


def reports_zeros(phase: float, now: float) -> bool:
    """Return whether an agent that misses every second reading misses this one and sends 0."""
    return floor(now / REPORT_SECONDS + 2 * phase) % 2 == 1


def reports_nothing(phase: float, now: float) -> bool:
    """Return whether an agent that sometimes has no readings has none now."""
    return noise(phase + 0.11, now / 300) < SILENT_SHARE
