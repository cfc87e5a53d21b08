"""The exporter's inner parts in this process, on a simulated Vast.ai."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.collectors import instances
from exporter.collectors.base import Run, Store
from exporter.config.models import CollectorSettings, Limits
from exporter.exposition.body import Exposition, Source
from exporter.exposition.self_metrics import SelfMetrics
from exporter.vast.client import Client, Options
from exporter.vast.network import Network
from exporter.vast.pace import Paces

if TYPE_CHECKING:
    from bench.processes import Simulator

ACCOUNT = "bench"


def run(simulated: Simulator) -> Run:
    """Return the context of a first run of the collector instances."""
    options = Options(
        urls={"api": simulated.url},
        timeout=30.0,
        user_agent="bench",
        network=Network(),
        paces=Paces(clock=time.monotonic, min_interval=0.0),
        clock=time.monotonic,
        wall_clock=time.time,
        jitter=random.random,
    )
    return Run(
        account=ACCOUNT,
        client=Client(options, key=lambda: simulated.key, wait=time.sleep, observe=lambda _: None),
        filters={},
        settings=CollectorSettings(),
        limits=Limits(),
        store=Store(),
        clock=time.monotonic,
        wall_clock=time.time,
        report=lambda _: None,
    )


def walk(one: Run) -> int:
    """Walk every page, and return the number of instances."""
    return [progress.objects for progress in instances.collect(one)][-1]


@dataclass(frozen=True, slots=True)
class Served:
    """The fleet that a run has found, and its exposition."""

    run: Run
    exposition: Exposition

    def renew(self) -> None:
        """Walk once more; all data is then new, though the same."""
        walk(self.run)

    def plain(self, *groups: str) -> bytes:
        """Return the uncompressed body of a scrape, of some groups or of all."""
        return self._body(groups, gzip=False)

    def compressed(self, *groups: str) -> bytes:
        """Return the body of a scrape with gzip."""
        return self._body(groups, gzip=True)

    def _body(self, groups: tuple[str, ...], *, gzip: bool) -> bytes:
        body = self.exposition.body(openmetrics=False, gzip=gzip, groups=groups or None)
        return b"".join(body.pieces)


def served(simulated: Simulator) -> Served:
    """Walk once, and return the source of scrapes."""
    one = run(simulated)
    walk(one)
    self_metrics = SelfMetrics()
    self_metrics.add(ACCOUNT, instances.COLLECTOR, 60.0)
    source = Source(ACCOUNT, instances.COLLECTOR, one.store, 3600.0)
    exposition = Exposition(
        lambda: [source],
        self_metrics,
        clock=time.monotonic,
        most_labels=200,
        metrics=instances.COLLECTOR.metrics,
    )
    return Served(one, exposition)
