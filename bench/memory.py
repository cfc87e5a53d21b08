"""The memory of the exporter's process after walks and scrapes, compared with its limit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.client import Connection
from bench.figures import Figure
from bench.processes import exporter, simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

MEGABYTE = 1e6
#: Megabytes.
LIMIT = 200.0
SMALL = 25
WALKS = 4


def measure(instances: int) -> Iterator[Figure]:
    """Measure a small and a large fleet, each in its own process."""
    for size in (SMALL, instances):
        now, most = _memory(size)
        for name, value in (("after", now), ("at most", most)):
            yield Figure(
                part="memory",
                what=f"{size:,} instances, {WALKS} walks, {WALKS * 2} scrapes: RSS {name}",
                ours=f"{value / MEGABYTE:.1f} MB",
                beside=f"limit {LIMIT:g} MB",
                ratio=value / MEGABYTE / LIMIT,
                target=1.0,
            )


def _memory(instances: int) -> tuple[int, int]:
    """Return the exporter's memory in bytes: at the end, and its maximum."""
    with (
        tempfile.TemporaryDirectory() as name,
        simulator(instances) as simulated,
        exporter(simulated, Path(name), interval="1s") as ours,
    ):
        for _ in range(WALKS):
            ours.wait_for_walk()
            for compressed in (True, False):
                with Connection(ours.port, gzip=compressed) as connection:
                    connection.scrape()
        return ours.memory("VmRSS"), ours.memory("VmHWM")
