"""The exporter as one thing: the loops of a configuration, and what the web side asks of them."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.collectors import COLLECTORS
from exporter.config.mistakes import ConfigError
from exporter.exposition.body import Exposition, Source
from exporter.exposition.self_metrics import Telemetry
from exporter.polling.loop import Job, Loop, World
from exporter.vast.client import Options
from exporter.vast.pace import Paces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from exporter.collectors.base import Progress
    from exporter.config.loading import Loaded
    from exporter.config.models import CollectorSettings
    from exporter.logs import Redactor

USER_AGENT = f"vastai-exporter/{__version__}"


class Daemon:
    """Loops, telemetry and exposition of one configuration, and of those that replace it.

    Args:
        loaded: the configuration to begin with.
        redact: told of every key before it is used.
        revision: of the source, for the build info.
        progress: told after each reply how far a run is.
        intervals: seconds between runs, by collector, instead of the configured ones.
        clock: monotonic seconds, by which runs are scheduled and data age.

    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        redact: Redactor,
        revision: str = "",
        progress: Callable[[Job, Progress], None] = lambda _job, _progress: None,
        intervals: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.telemetry = Telemetry(revision=revision)
        self._redact = redact
        self._progress = progress
        self._intervals = intervals or {}
        self._clock = clock
        self._paces = Paces(clock=clock)
        self._loaded = loaded
        self._exposed: set[Path] = set()
        self._started = False
        self._loops: dict[tuple[str, str], Loop] = {}
        self._replace(loaded)

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs at present, in the order of the configuration."""
        return tuple(self._loops.values())

    def start(self) -> None:
        """Begin with the first runs at once."""
        self._started = True
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        """End all loops; requests that are under way are not waited for."""
        for loop in self.loops:
            loop.stop()

    def apply(self, loaded: Loaded) -> None:
        """Go on with another configuration; what did not change keeps its data and its schedule.

        Raises:
            ConfigError: it needs a restart; nothing has changed.

        """
        before, after = self._loaded.config.web, loaded.config.web
        changed = [name for name in type(after).model_fields if getattr(after, name) != getattr(before, name)]
        if changed:
            raise ConfigError(
                f"web.{name}: {getattr(after, name)}: a change needs a restart" for name in changed
            )
        self._replace(loaded)

    def _replace(self, loaded: Loaded) -> None:
        world = self._world(loaded)
        same_api = loaded.config.api.url == self._loaded.config.api.url
        before, self._loops = self._loops, {}
        accounts = {account.name for account in loaded.accounts}
        wanted = {(job.account, job.collector.name): job for job in jobs(loaded, self._intervals)}
        for key, loop in before.items():
            if key not in wanted or not same_api or not loop.job.asks_the_same(wanted[key]):
                loop.stop()
                self.telemetry.remove(*key, last=loop.job.account not in accounts)
        for key, job in wanted.items():
            kept = before.get(key)
            if kept is not None and same_api and kept.job.asks_the_same(job):
                kept.update(job, world)
                self._loops[key] = kept
                continue
            self._loops[key] = Loop(job, world)
            if self._started:
                self._loops[key].start()
        self._loaded = loaded
        self.exposition = self._exposition(loaded)
        self.telemetry.reloaded(at=time.time())

    def _world(self, loaded: Loaded) -> World:
        api = loaded.config.api
        self._paces.set_min_interval(api.min_interval)
        options = Options(
            url=api.url,
            timeout=api.timeout,
            user_agent=USER_AGENT,
            paces=self._paces,
            clock=self._clock,
            wall_clock=time.time,
            jitter=random.random,
        )
        return World(
            options=options,
            telemetry=self.telemetry,
            redact=self._redact,
            progress=self._progress,
            exposed=self._exposed,
        )

    def _exposition(self, loaded: Loaded) -> Exposition:
        sources = [
            Source(loop.job.account, loop.job.collector, loop.known, loop.job.stale_after)
            for loop in self.loops
        ]
        return Exposition(
            lambda: sources, self.telemetry, clock=self._clock, most_labels=loaded.config.limits.labels
        )


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
