"""Simulate the market's offers, whose prices and number change through the day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import pi, sin
from random import Random

from exporter.simulator.fleet.catalog import GPU_MODELS
from exporter.simulator.fleet.machines import Machine, describe_machine
from exporter.simulator.fleet.sensors import noise

DAY = 86400.0
#: Number of machines of the most popular model.
MOST_MACHINES = 160
#: Seconds for which an offer stays available or unavailable, and the share of available ones.
SLOT_SECONDS = 1800.0
OFFERED_SHARE = 0.6
#: Amplitude of prices through the day.
SWING = 0.06


@dataclass(frozen=True, slots=True)
class Offer:
    """GPUs of a machine that can be rented together."""

    id: int
    machine: Machine
    num_gpus: int
    phase: float

    def gpu_price(self, now: float) -> float:
        """Return the dollars per hour for one GPU."""
        return self.machine.gpu_price * (1 + SWING * sin(2 * pi * (now / DAY + self.phase)))


@lru_cache(maxsize=8)
def all_offers(seed: int) -> tuple[Offer, ...]:
    """Return all offers that ever exist; they are the same for all accounts of a seed."""
    rng = Random(f"offers {seed}")
    heaviest = max(model.weight for model in GPU_MODELS)
    found: list[Offer] = []
    for model in GPU_MODELS:
        for _ in range(MOST_MACHINES * model.weight // heaviest):
            number = 50_000 + len(found)
            machine = describe_machine(rng, number, 2_000 + number * 7 % 89_989, gpu=model)
            for num_gpus in sorted({1, machine.num_gpus}):
                found.append(Offer(9_000_000 + len(found), machine, num_gpus, rng.random()))
    return tuple(found)


def offers_at(seed: int, now: float) -> list[Offer]:
    """Return the offers available now."""
    return [one for one in all_offers(seed) if noise(one.phase, now / SLOT_SECONDS) < OFFERED_SHARE]
