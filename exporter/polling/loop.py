"""Run one collector of one account: when its next run is due, what the run does, and its result."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from exporter.collectors.base import Run, Store
from exporter.config.models import Limits
from exporter.vast.client import Client
from exporter.vast.errors import ApiError, AuthError, Reason, Stopped
from exporter.vast.keys import KeyWatch, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from exporter.collectors.base import Progress
    from exporter.collectors.fleet import Rented
    from exporter.exposition.self_metrics import Runs, SelfMetrics
    from exporter.logs import Redactor
    from exporter.polling.job import Job
    from exporter.vast.client import Attempt, Options

#: Pause after the first failed run, in intervals; doubles with each further failure.
FIRST_PAUSE = 0.25
#: Maximum pause after a failed run, in intervals; also the pause after the key was rejected.
LONGEST_PAUSE = 4.0
#: Seconds between checks of the key while runs fail.
KEY_LOOK = 1.0
#: Seconds beyond its known waits after which a loop without a sign of life counts as stalled.
HUNG_AFTER = 60.0
#: Seconds for which a server can be expected to keep an idle connection. If the next run is later, the
#: connection is closed: with 200 accounts and ten collectors there would be 2,000.
KEEP_CONNECTION = 75.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """State shared by all loops.

    Attributes:
        options: options of the API clients, including clocks and random numbers.
        self_metrics: counts runs, requests and unusable values.
        redact: learns each key before its use, and removes it from errors.
        progress: called with a run's progress after each reply.
        limits: limits on the number of series.
        event: creates the event that ends a run's waits.
        exposed: key files that have been reported as readable by others.
        set_by: returns the seconds by which the wall clock has been set since the start.
        fleet: returns the instances of all accounts, waiting with the given function.

    """

    options: Options
    self_metrics: SelfMetrics
    redact: Redactor
    progress: Callable[[Job, Progress], None]
    limits: Limits = field(default_factory=Limits)
    event: Callable[[], threading.Event] = threading.Event
    exposed: set[Path] = field(default_factory=set)
    set_by: Callable[[], float] = lambda: 0.0
    fleet: Callable[[Callable[[float], None]], Iterable[Rented]] = lambda _wait: ()


class Loop:
    """One job, run whenever it is due; the scheduler's threads call `step`.

    Attributes:
        job: the job.
        context: state shared with other loops.
        runs: state of its runs.
        store: its data.
        due: when `step` next has something to do, in monotonic seconds.
        asks_since: since when it has requested the current fields, in monotonic seconds.

    """

    def __init__(self, job: Job, context: Context) -> None:
        self.job = job
        self.runs: Runs = context.self_metrics.add(job.account, job.collector, job.settings.interval)
        self.store = Store()
        self.context = context
        self._clock = context.options.clock
        self._stop = context.event()
        self._requests: Counter[str] = Counter()
        key = reader(job.key, context.redact.learn)
        self._client = Client(context.options, key=key, wait=self._wait, observe=self._observe)
        self._last_start: float | None = None
        self._matches = True
        self._watch: KeyWatch | None = None  # set while runs fail
        self._next_run = self.due = self.asks_since = self._clock()
        self._queued = self._running = False
        self._sign_until = 0.0
        self._alive(0)

    @property
    def name(self) -> str:
        """Name of its threads."""
        return f"{self.job.collector.name} {self.job.account}".strip()

    @property
    def stopped(self) -> bool:
        """Whether it has been told to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End the current run at its next wait and start no other; a request in progress is not awaited."""
        self._stop.set()
        self.due = self._clock()  # to close the connection

    def update(self, job: Job, context: Context) -> bool:
        """Continue with a compatible job, keeping the data; return whether anything has changed."""
        if job == self.job and (context.options, context.limits) == (
            self.context.options,
            self.context.limits,
        ):
            return False
        if job.collector != self.job.collector:
            self.asks_since = self._clock()
            context.self_metrics.update(job.account, job.collector)
        self.job, self.context = job, context
        self.runs.interval = job.settings.interval
        self._client.options = context.options
        if self._watch is not None:
            self._next_run = self._clock()  # the failure may be fixed by now
        elif self._last_start is not None and not self._running:
            self._next_run = self._last_start + job.settings.interval
        self.due = self._next_run
        return True

    def warn_of_exposed_key(self) -> None:
        """Warn once per key file that every user of this machine can read it."""
        path = self.job.key.path
        if path is not None and path not in self.context.exposed and self.job.key.exposed():
            self.context.exposed.add(path)
            fields = {"account": self.job.account, "file": path, "do": f"chmod 600 {path}"}
            _log.warning("every user of this machine can read the key file", extra={"fields": fields})

    def trouble(self) -> str:
        """Return what is wrong with the loop itself, as opposed to the API; "" if nothing is."""
        if self._queued:
            return ""  # the loops ahead of it report for themselves
        late = self._clock() - (self._sign_until if self._running else self.due + HUNG_AFTER)
        return f"stalled, {late:.0f} s overdue" if late > 0 else ""

    def queue(self) -> None:
        """Record that a thread will call `step`, as soon as one is free."""
        self._queued = True

    def step(self) -> None:
        """Run the job if it is due or its key has changed; then set when the next step is due."""
        if self.stopped:
            self._client.close()
            return
        self._queued = False
        if self._clock() < self._next_run:
            if self._watch is None or not self._watch.changed():
                self.due = self._next_look()
                return
            _log.info("API key changed, retrying", extra={"fields": self._fields()})
        self._running = True
        try:
            self._step()
        except Stopped:
            self._client.close()
        finally:
            self._running = False

    def fail(self, error: str) -> None:
        """Record a run that could not start, with the reason `internal`."""
        self._queued = False
        self._failed(self._clock(), None, "internal", error)
        self._next_run = self.due = self._clock() + self._failure_pause()

    def run_once(self) -> bool:
        """Run the job once, count and log the result, and return whether it succeeded.

        Raises:
            Stopped: the loop was stopped.

        """
        self._requests.clear()
        started = self._clock()
        last: Progress | None = None
        try:
            for last in self.job.collector.collect(self._run()):
                self.context.progress(self.job, last)
        except ApiError as error:
            if error.absent and self.job.collector.undocumented:
                self._told_of_absence(started, self._words(error))
                return True
            self._failed(started, last, error.reason, self._words(error))
            return False
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - last resort: the loop must go on
            _log.exception("unexpected error", extra={"fields": self._fields()})
            self._failed(started, last, "internal", f"unexpected {type(error).__name__}, see the log")
            return False
        self._succeeded(started, last)
        return True

    def _step(self) -> None:
        self._last_start = self._clock()
        self._next_run = self.due = self._last_start + self.job.settings.interval  # even if the run fails
        self._alive(0)
        watch = KeyWatch(self.job.key)  # created before the run, since the key may change while the run fails
        if self.run_once():
            self._watch = None
            self.due = self._next_run = self._last_start + self.job.settings.interval
        else:
            self._watch = watch
            self._next_run = self._clock() + self._failure_pause()
            self.due = self._clock()  # for a first check of the key, which may have changed during the run
        if self.job.settings.interval > KEEP_CONNECTION or self.stopped:
            self._client.close()

    def _next_look(self) -> float:
        """Return when to check the key again or to run."""
        return self._next_run if self._watch is None else min(self._next_run, self._clock() + KEY_LOOK)

    def _failure_pause(self) -> float:
        doublings = min(self.runs.failing - 1, 10)
        intervals = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << doublings))
        if self.runs.refused:
            intervals = LONGEST_PAUSE
        return self.job.settings.interval * intervals * (0.75 + self.context.options.jitter() / 4)

    def _run(self) -> Run:
        return Run(
            account=self.job.account,
            client=self._client,
            filters=self.job.filters,
            settings=self.job.settings,
            limits=self.context.limits,
            store=self.store,
            clock=self._clock,
            wall_clock=self.context.options.wall_clock,
            set_by=self.context.set_by,
            fleet=lambda: self.context.fleet(self._wait),
            report=lambda problems: self.context.self_metrics.problems(*self.job.id, problems),
        )

    def _wait(self, seconds: float) -> None:
        self._alive(seconds)
        if self._stop.wait(seconds):
            raise Stopped

    def _observe(self, attempt: Attempt) -> None:
        self._alive(0)
        self._requests[attempt.code] += 1
        self.context.self_metrics.request(self.job.account, attempt)

    def _alive(self, waiting: float) -> None:
        self._sign_until = self._clock() + waiting + self.context.options.timeout + HUNG_AFTER

    def _succeeded(self, started: float, last: Progress | None) -> None:
        seconds = self._clock() - started
        failing = self.runs.failing
        pages, objects = (last.pages, last.objects) if last is not None else (0, 0)
        self.runs.succeeded(at=self._clock(), duration=seconds, pages=pages, objects=objects)
        _log.info("run finished", extra={"fields": self._outcome("success", seconds, last)})
        self._tell_of_filters(objects)
        if failing:
            _log.info("recovered", extra={"fields": self._fields() | {"failures": failing}})
        if seconds > self.job.settings.interval:
            fields = self._fields() | {"seconds": seconds, "interval": self.job.settings.interval}
            _log.warning(
                "run took longer than its interval; the next one starts at once", extra={"fields": fields}
            )

    def _told_of_absence(self, started: float, error: str) -> None:
        """Record that the API does not have the resource; warn only the first time."""
        seconds = self._clock() - started
        error = self.context.redact(error)
        level = logging.INFO if self.runs.absence else logging.WARNING
        self.runs.told_of_absence(at=self._clock(), duration=seconds, absence=error)
        fields = self._outcome("not available", seconds, None) | {"error": error}
        _log.log(level, "run finished", extra={"fields": fields})

    def _tell_of_filters(self, objects: int) -> None:
        """Warn once if the filters match no instance, until they match again."""
        matches = objects > 0 or not self.job.filters or not self.job.collector.filtered
        if self._matches and not matches:
            fields = self._fields() | {"select_filters": dict(self.job.filters)}
            _log.warning(
                "no instance matches select_filters; the account may have other instances",
                extra={"fields": fields},
            )
        self._matches = matches

    def _failed(self, started: float, last: Progress | None, reason: Reason, error: str) -> None:
        seconds = self._clock() - started
        # The API may echo another account's key.
        error = self.context.redact(error)
        self.runs.failed(reason, error)
        fields = self._outcome("failure", seconds, last)
        fields |= {"reason": reason, "error": error, "failing": self.runs.failing}
        _log.warning("run failed", extra={"fields": fields})

    def _words(self, error: ApiError) -> str:
        if not isinstance(error, AuthError) or not error.permission:
            return str(error)
        permission = self.job.collector.permission
        lacks = f"the permission {permission}" if permission else "a permission that is not documented"
        return f"{error}: the key may lack {lacks}"

    def _fields(self) -> dict[str, object]:
        return {"account": self.job.account, "collector": self.job.collector.name}

    def _outcome(self, outcome: str, seconds: float, last: Progress | None) -> dict[str, object]:
        return self._fields() | {
            "outcome": outcome,
            "pages": last.pages if last is not None else 0,
            self.job.collector.objects: last.objects if last is not None else 0,
            "seconds": seconds,
            "requests": self._requests.total(),
            "throttled": self._requests[str(HTTPStatus.TOO_MANY_REQUESTS.value)],
        }
