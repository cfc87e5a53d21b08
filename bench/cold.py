"""A scrape right after new data, compared with prometheus_client for the same samples."""

from __future__ import annotations

import gc
import gzip
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bench.client import Connection
from bench.figures import Figure, compared
from bench.inside import served
from bench.processes import exporter, simulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from bench.processes import Simulator

TARGET = 1 / 10
ROUNDS = 5
#: Instances whose walk ends within a second; a scrape must fall into the pause after it.
A_SECOND = 2_000
SCRAPES = 4


def measure(instances: int) -> Iterator[Figure]:
    """Render and compress in turns in this process, then scrape the exporter's process after each walk."""
    with simulator(instances) as simulated:
        own, other, samples = _inside(simulated)
        scrape = _over_http(simulated, instances)
    what = f"{samples:,} samples, gzip"
    yield compared("cold", f"{what}: rendering", own, other, "prometheus_client", TARGET)
    yield compared("cold", f"{what}: whole scrape", scrape, other, "prometheus_client", None)


def _inside(simulated: Simulator) -> tuple[float, float, int]:
    """Return the minimum seconds of the exporter and of prometheus_client, and the number of samples."""
    fleet = served(simulated)
    text = fleet.plain().decode()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Ready(text_string_to_metric_families(text)))
    samples = _samples(text)
    if _samples(generate_latest(registry).decode()) != samples:
        raise AssertionError("prometheus_client renders something else")
    gc.collect()
    gc.freeze()  # neither side pays for the other's objects
    own, other = [], []
    for _ in range(ROUNDS):
        fleet.renew()
        started = time.perf_counter()
        fleet.exposition.body(openmetrics=False, gzip=True)
        between = time.perf_counter()
        gzip.compress(generate_latest(registry))  # at its default level, as prometheus_client does
        own.append(between - started)
        other.append(time.perf_counter() - between)
    return min(own), min(other), samples


def _over_http(simulated: Simulator, instances: int) -> float:
    """Return the minimum seconds of scrapes of the exporter's process, each right after a walk."""
    interval = f"{1 + instances // A_SECOND}s"
    times = []
    with (
        tempfile.TemporaryDirectory() as name,
        exporter(simulated, Path(name), interval=interval) as ours,
    ):
        for _ in range(SCRAPES):
            ours.wait_for_walk()
            with Connection(ours.port) as connection:
                times.append(connection.scrape())
    return min(times)


class Ready(Collector):
    """Prepared families: prometheus_client only has to render them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families


def _samples(text: str) -> int:
    return sum(not line.startswith("#") for line in text.splitlines())
