"""Compares each group of metrics with the whole page, and an exporter without some groups with a full one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.client import Connection
from bench.figures import Figure
from bench.inside import served
from bench.processes import exporter, simulator
from exporter.collectors.instances import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.inside import Served
    from bench.processes import Simulator

MEGABYTE = 1e6
WALKS = 4
#: Groups that many users leave out, because no alert reads them.
UNREAD = ("hardware", "network")


def measure(instances: int) -> Iterator[Figure]:
    """Request each group of one fleet, then run the exporter with all groups and with fewer."""
    with simulator(instances) as simulated:
        fleet = served(simulated)
        for group in (*GROUPS, "exporter"):
            yield from _size(fleet, group)
        yield from _without(simulated, instances)


def _size(fleet: Served, group: str) -> Iterator[Figure]:
    """Return the share of one group of the whole page."""
    for what, part, whole in (
        ("plain", fleet.plain(group), fleet.plain()),
        ("gzip", fleet.compressed(group), fleet.compressed()),
    ):
        yield Figure(
            part="groups",
            what=f"{group}: {what}",
            ours=f"{len(part) / MEGABYTE:.2f} MB",
            beside=f"all {len(whole) / MEGABYTE:.2f} MB",
            ratio=len(part) / len(whole),
        )
    part, whole = fleet.plain(group), fleet.plain()
    yield Figure(
        part="groups",
        what=f"{group}: samples",
        ours=f"{_samples(part):,}",
        beside=f"all {_samples(whole):,}",
        ratio=_samples(part) / _samples(whole),
    )


def _without(simulated: Simulator, instances: int) -> Iterator[Figure]:
    """Return the exporter's use of resources without some groups, compared with all."""
    memory, cpu = _process(simulated, tuple(GROUPS))
    kept = tuple(group for group in GROUPS if group not in UNREAD)
    less_memory, less_cpu = _process(simulated, kept)
    without = f"{instances:,} instances without {' and '.join(UNREAD)}"
    yield Figure(
        part="groups",
        what=f"{without}: RSS after {WALKS} walks",
        ours=f"{less_memory / MEGABYTE:.1f} MB",
        beside=f"all {memory / MEGABYTE:.1f} MB",
        ratio=less_memory / memory,
    )
    yield Figure(
        part="groups",
        what=f"{without}: CPU of a walk and a scrape",
        ours=f"{less_cpu:.2f} s",
        beside=f"all {cpu:.2f} s",
        ratio=less_cpu / cpu,
    )


def _process(simulated: Simulator, groups: tuple[str, ...]) -> tuple[int, float]:
    """Return the memory in bytes of an exporter that keeps some groups, and the minimum CPU of a walk."""
    with (
        tempfile.TemporaryDirectory() as name,
        exporter(simulated, Path(name), interval="1s", groups=groups) as ours,
    ):
        times = []
        ours.wait_for_walk()
        for _ in range(WALKS):
            began = ours.cpu()
            ours.wait_for_walk()
            with Connection(ours.port) as connection:
                connection.scrape()
            times.append(ours.cpu() - began)
        return ours.memory("VmRSS"), min(times)


def _samples(text: bytes) -> int:
    return sum(not line.startswith(b"#") for line in text.splitlines())
