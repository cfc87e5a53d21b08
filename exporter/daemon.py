"""The exporter as one thing: the loops of a configuration, and what the web side asks of them."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.collectors import COLLECTORS
from exporter.exposition import Exposition, Source
from exporter.scheduler import Job, Loop, World
from exporter.telemetry import Telemetry
from exporter.vast.client import Options
from exporter.vast.pace import Paces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.collectors.base import Progress
    from exporter.config import CollectorSettings
    from exporter.loading import Loaded
    from exporter.logs import Redactor

USER_AGENT = f"vastai-exporter/{__version__}"


class Daemon:
    """Loops, telemetry and exposition of one configuration.

    Args:
        loaded: the configuration.
        redact: told of every key before it is used.
        revision: of the source, for the build info.
        progress: told after each reply how far a run is.
        intervals: seconds between runs, by collector, instead of the configured ones.

    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        redact: Redactor,
        revision: str = "",
        progress: Callable[[Job, Progress], None] = lambda _job, _progress: None,
        intervals: Mapping[str, float] | None = None,
    ) -> None:
        self.telemetry = Telemetry(revision=revision)
        self.telemetry.reloaded(at=time.time())
        world = World(
            options=_options(loaded),
            telemetry=self.telemetry,
            learn_secret=redact.learn,
            progress=progress,
        )
        self.loops: Sequence[Loop] = [Loop(job, world) for job in jobs(loaded, intervals or {})]
        sources = [
            Source(loop.job.account, loop.job.collector, loop.known, loop.job.stale_after)
            for loop in self.loops
        ]
        self.exposition = Exposition(
            lambda: sources,
            self.telemetry,
            clock=time.monotonic,
            most_labels=loaded.config.limits.labels,
        )

    def start(self) -> None:
        """Begin with the first runs at once."""
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        """End all loops; requests that are under way are not waited for."""
        for loop in self.loops:
            loop.stop()


def jobs(loaded: Loaded, intervals: Mapping[str, float]) -> list[Job]:
    """Return what has to be collected: each enabled collector for each account."""
    settings: dict[str, CollectorSettings] = {
        collector.name: getattr(loaded.config.collectors, collector.name) for collector in COLLECTORS
    }
    return [
        Job(
            account=account.name,
            key=account.key,
            filters=account.select_filters,
            collector=collector,
            interval=intervals.get(collector.name, settings[collector.name].interval),
            stale_after=settings[collector.name].stale_after,
        )
        for account in loaded.accounts
        for collector in COLLECTORS
        if settings[collector.name].enabled
    ]


def _options(loaded: Loaded) -> Options:
    api = loaded.config.api
    return Options(
        url=api.url,
        timeout=api.timeout,
        user_agent=USER_AGENT,
        paces=Paces(clock=time.monotonic, min_interval=api.min_interval),
        clock=time.monotonic,
        wall_clock=time.time,
        jitter=random.random,
    )
