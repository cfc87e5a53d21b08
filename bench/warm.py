"""A scrape when nothing is new, compared with nginx that serves the same bytes from a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.client import Connection
from bench.figures import Figure, compared, p99
from bench.processes import exporter, nginx, simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 2.0
ROUNDS = 500
WARM_UP = 20


def measure(instances: int) -> Iterator[Figure]:
    """Scrape both in turns, each on its own connection."""
    with tempfile.TemporaryDirectory() as name, simulator(instances) as simulated:
        directory = Path(name)
        with exporter(simulated, directory, interval="1h") as ours:
            ours.wait_for_walk()
            with Connection(ours.port) as mine:
                body = mine.body()
                with nginx(body, directory) as port, Connection(port) as its:
                    times = [(mine.scrape(), its.scrape()) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    own, other = zip(*times, strict=True)
    what = f"{instances:,} instances, gzip, {len(body) / 1e6:.2f} MB"
    yield compared("warm", f"{what}: median", median(own), median(other), "nginx", TARGET)
    yield compared("warm", f"{what}: p99", p99(own), p99(other), "nginx", None)
