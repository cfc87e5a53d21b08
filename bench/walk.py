"""The CPU of a walk: whether it grows linearly with the fleet, and where it is spent."""

from __future__ import annotations

import json
import tempfile
import time
from itertools import chain
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench import inside
from bench.figures import Figure
from bench.processes import exporter, simulator
from exporter.collectors.instances import LISTING, OBJECTS
from exporter.metrics import lines
from exporter.metrics.fields import Problems, Record
from exporter.vast.pages import Page, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.collectors.base import Run
    from exporter.collectors.instance_record import Instance

#: Size of the large fleet as a multiple of the small one.
STEP = 10
TARGET = 1.25
#: A goal for the CPU of a row in microseconds; reported only.
GOAL = 60.0
#: Exporters started for each size in turns, and walks of each.
TURNS = 3
WALKS = 5
#: Repetitions of each step in this process.
ROUNDS = 3


def measure(instances: int) -> Iterator[Figure]:
    """Walk a small and a large fleet in turns, then the large one in this process, step by step."""
    small, large = max(1, instances // STEP), instances
    costs = [(_costs_of_row(small), _costs_of_row(large)) for _ in range(TURNS)]
    # A walk's cost varies by a fifth in both directions; a minimum would favour the short walks.
    low, high = (median(chain.from_iterable(column)) for column in zip(*costs, strict=True))
    yield Figure(
        part="walk",
        what=f"CPU a row: {large:,} instances beside {small:,}",
        ours=_micro(high),
        beside=_micro(low),
        ratio=high / low,
        target=TARGET,
    )
    yield Figure(
        part="walk",
        what="CPU a row: process, beside the goal",
        ours=_micro(high),
        beside=f"{GOAL:g} us",
        ratio=high * 1e6 / GOAL,
    )
    yield from _steps(large)


def _costs_of_row(instances: int) -> list[float]:
    """Return the CPU seconds per row that the exporter's process uses in each of some walks."""
    with (
        tempfile.TemporaryDirectory() as name,
        simulator(instances) as simulated,
        exporter(simulated, Path(name), interval="1s") as ours,
    ):
        costs: list[float] = []
        ours.wait_for_walk()  # startup and connecting are not part of a walk
        before = ours.cpu()
        for _ in range(WALKS):
            rows = ours.wait_for_walk()["instances"]
            now = ours.cpu()
            costs.append((now - before) / rows)
            before = now
    return costs


def _steps(instances: int) -> Iterator[Figure]:
    """Measure each step on its own, because a profiler exaggerates the cost of code with many calls."""
    with simulator(instances) as simulated:
        run = inside.run(simulated)
        inside.walk(run)
        whole = _cpu(lambda: inside.walk(run))
        read = _cpu(lambda: _pages(run))
        pages = _pages(run)
    replies = [json.dumps({"instances": [row for _, row in page.rows]}) for page in pages]
    rows = sum(len(page.rows) for page in pages)
    parsing = _cpu(lambda: [json.loads(reply) for reply in replies])
    reading_ = _cpu(lambda: [_records(page) for page in pages])
    objects = [_objects(page) for page in pages]
    writing = _cpu(lambda: [lines.of_objects(OBJECTS.rows, some) for some in objects])
    steps = {
        "all of it": whole,
        "requests: urllib3, pace, sockets": read - parsing,
        "JSON": parsing,
        "reading values": reading_,
        "lines": writing,
        "the rest": whole - read - reading_ - writing,
    }
    for name, seconds in steps.items():
        yield Figure(
            part="walk",
            what=f"CPU a row, in this process: {name}",
            ours=_micro(seconds / rows),
            beside=f"all {_micro(whole / rows)}",
            ratio=seconds / whole,
        )


def _cpu(step: Callable[[], object]) -> float:
    """Return the minimum CPU seconds of `step`."""
    times = []
    for _ in range(ROUNDS):
        before = time.process_time()
        step()
        times.append(time.process_time() - before)
    return min(times)


def _pages(run: Run) -> list[Page[int]]:
    return list(walk(run.client, LISTING, {"select_filters": "{}"}))


def _records(page: Page[int]) -> list[Record]:
    return [OBJECTS.fields.read(row, Problems()) for _, row in page.rows]


def _objects(page: Page[int]) -> list[tuple[str, Instance]]:
    """Return the input for the lines of a page, as in the collector."""
    return [
        (
            lines.labels(OBJECTS.identity, (inside.ACCOUNT, str(key))),
            OBJECTS.complete(record, row, None, 0.0),
        )
        for (key, row), record in zip(page.rows, _records(page), strict=True)
    ]


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"
