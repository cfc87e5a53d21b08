"""Run the loops of the current configuration and serve their data to the web server."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.collectors import COLLECTORS, instances
from exporter.config.mistakes import ConfigError
from exporter.discovery.targets import Fleet, Targets
from exporter.exposition import budgets
from exporter.exposition.body import Exposition, Source
from exporter.exposition.self_metrics import SelfMetrics
from exporter.polling.fleet import whole_fleet
from exporter.polling.job import jobs, urls_of
from exporter.polling.loop import Context, Loop
from exporter.polling.plan import plan
from exporter.polling.scheduler import Scheduler
from exporter.polling.wall_clock import WallClock
from exporter.vast.client import Options
from exporter.vast.network import Network
from exporter.vast.pace import Paces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from exporter.collectors import Collector
    from exporter.collectors.base import Progress
    from exporter.config.loading import Loaded
    from exporter.logs import Redactor
    from exporter.polling.job import Job

USER_AGENT = f"vastai-exporter/{__version__}"


class Poller:
    """Loops, self metrics and exposition of the current configuration.

    Args:
        loaded: the initial configuration.
        redact: learns each key before its use.
        revision: source revision, for the build info.
        progress: called with a run's progress after each reply.
        intervals: seconds between runs by collector, instead of the configured ones.
        clock: returns monotonic seconds, used for schedules and the age of data.
        wall_clock: returns seconds since the epoch.
        collectors: all collectors.

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
        wall_clock: Callable[[], float] = time.time,
        collectors: Sequence[Collector] = COLLECTORS,
    ) -> None:
        self.self_metrics = SelfMetrics(revision=revision)
        self._redact = redact
        self._progress = progress
        self._intervals = intervals or {}
        self._clock = clock
        self._wall_clock = WallClock(clock, wall_clock)
        self.self_metrics.wall = self._wall_clock.at
        self._collectors = collectors
        self._network = Network()
        self._paces = Paces(clock=clock)
        self._scheduler = Scheduler(clock)
        self._loaded = loaded
        self._exposed: set[Path] = set()
        self._started = False
        self._loops: dict[tuple[str, str], Loop] = {}
        self._replace(loaded)

    @property
    def loops(self) -> Sequence[Loop]:
        """The current loops, in the order of the configuration."""
        return tuple(self._loops.values())

    def start(self) -> None:
        """Start the first runs at once."""
        self._started = True
        for loop in self.loops:
            loop.warn_of_exposed_key()
        self._scheduler.start()

    def stop(self) -> None:
        """Stop all loops; requests in progress are not awaited."""
        self._scheduler.stop()
        for loop in self.loops:
            loop.stop()

    def apply(self, loaded: Loaded) -> None:
        """Apply another configuration; unchanged jobs keep their data and schedule.

        Raises:
            ConfigError: a change needs a restart; nothing has changed.

        """
        before, after = self._loaded.config.web, loaded.config.web
        changed = [name for name in type(after).model_fields if getattr(after, name) != getattr(before, name)]
        if changed:
            raise ConfigError(
                f"web.{name}: {getattr(after, name)}: a change requires a restart" for name in changed
            )
        self._replace(loaded)

    def _replace(self, loaded: Loaded) -> None:
        wanted = jobs(loaded, self._collectors, self._intervals)
        todo = plan([loop.job for loop in self.loops], wanted)
        context = self._context(loaded)
        loops = dict(self._loops)  # copied, since the web server may be reading the old one
        for job in todo.stop:
            loop = loops.pop(job.id)
            loop.stop()
            self._scheduler.add(loop)
            self.self_metrics.remove(job.account, job.collector)
        for job in todo.keep:
            if loops[job.id].update(job, context):
                self._scheduler.add(loops[job.id])
        for job in todo.start:
            loops[job.id] = Loop(job, context)
            if self._started:
                loops[job.id].warn_of_exposed_key()
            self._scheduler.add(loops[job.id])
        self._loops = {job.id: loops[job.id] for job in wanted}
        self._loaded = loaded
        self.exposition = self._exposition(loaded)
        self.targets = self._targets(loaded)
        self.self_metrics.reloaded(at=self._clock())

    def _context(self, loaded: Loaded) -> Context:
        api = loaded.config.api
        self._paces.set_min_interval(api.min_interval)
        self._network.renew()
        options = Options(
            urls=urls_of(api),
            timeout=api.timeout,
            user_agent=USER_AGENT,
            network=self._network,
            paces=self._paces,
            clock=self._clock,
            wall_clock=self._wall_clock,
            jitter=random.random,
        )
        return Context(
            options=options,
            self_metrics=self.self_metrics,
            redact=self._redact,
            progress=self._progress,
            limits=loaded.config.limits,
            exposed=self._exposed,
            set_by=self._wall_clock.set_by,
            fleet=lambda wait: whole_fleet(lambda: self.loops, self._clock, wait),
        )

    def _exposition(self, loaded: Loaded) -> Exposition:
        sources = [
            Source(loop.job.account, loop.job.collector, loop.store, loop.job.settings.stale_after)
            for loop in self.loops
        ]
        return Exposition(
            lambda: sources,
            self.self_metrics,
            clock=self._clock,
            most_labels=loaded.config.limits.labels,
            metrics=[
                *(metric for collector in self._collectors for metric in collector.metrics),
                *budgets.BUDGETS,
            ],
            constant=budgets.chunks(
                budgets.Budget(account.name, account.budget, account.label_budgets)
                for account in loaded.accounts
            ),
            left_out={
                metric.group
                for collector in self._collectors
                for metric in collector.metrics
                if not loaded.config.collectors.named(collector.name).shows(metric.group)
            },
        )

    def _targets(self, loaded: Loaded) -> Targets | None:
        """Return the discovery targets, or None if discovery is off."""
        if not loaded.config.discovery.enabled:
            return None
        fleets = [
            Fleet(
                account=loop.job.account,
                store=loop.store,
                stale_after=loop.job.settings.stale_after,
                asked_since=loop.asks_since,
                runs=loop.runs,
            )
            for loop in self.loops
            if loop.job.collector.name == instances.COLLECTOR.name
        ]
        return Targets(fleets, loaded.config.discovery, clock=self._clock)
