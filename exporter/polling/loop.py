"""One collector of one account: when its next run is due, what a run does, and how it went."""

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

#: In intervals: the pause after the first failed run; doubled with each further one.
FIRST_PAUSE = 0.25
#: In intervals: the longest pause after a failed run, and the one after the key was refused.
LONGEST_PAUSE = 4.0
#: Seconds between two looks at the key while runs fail.
KEY_LOOK = 1.0
#: Seconds beyond what it is known to wait for, after which a loop that gives no sign is taken for hung.
HUNG_AFTER = 60.0
#: Seconds for which a server may be expected to keep an idle connection. Where the next run comes later, its
#: connection is closed: with 200 accounts and ten collectors they would be 2,000.
KEEP_CONNECTION = 75.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all loops share.

    Attributes:
        options: of the API's clients; clocks and random numbers among them.
        self_metrics: where runs, requests and useless values are counted.
        redact: told of each key before it is used; takes it out of the errors that are shown.
        progress: told after each reply how far a run is.
        limits: of the number of series.
        event: makes what a run waits on until it is stopped.
        exposed: key files that were warned of because others can read them.
        set_by: seconds by which the wall clock was set since the start.
        fleet: the instances of all accounts, waited for with the given function.

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
    """One job, run again and again when it is due; the scheduler's threads call `step`.

    Attributes:
        job: what it does.
        context: what it shares with others.
        runs: how it is doing.
        store: what it has found.
        due: when `step` has something to do next, in monotonic seconds.
        asks_since: since when it asks for what it asks for now, in monotonic seconds.

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
        self._watch: KeyWatch | None = None  # while runs fail
        self._next_run = self.due = self.asks_since = self._clock()
        self._queued = self._running = False
        self._sign_until = 0.0
        self._alive(0)

    @property
    def name(self) -> str:
        """What its threads are called."""
        return f"{self.job.collector.name} {self.job.account}".strip()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End a run at its next wait, and begin no other; a request that is under way is not waited for."""
        self._stop.set()
        self.due = self._clock()  # to close the connection

    def update(self, job: Job, context: Context) -> bool:
        """Go on with a job that asks the same, and what is known; return whether anything is new."""
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
            self._next_run = self._clock()  # what failed may work by now
        elif self._last_start is not None and not self._running:
            self._next_run = self._last_start + job.settings.interval
        self.due = self._next_run
        return True

    def warn_of_exposed_key(self) -> None:
        """Say once of each key file that every user of this machine can read it."""
        path = self.job.key.path
        if path is not None and path not in self.context.exposed and self.job.key.exposed():
            self.context.exposed.add(path)
            fields = {"account": self.job.account, "file": path, "do": f"chmod 600 {path}"}
            _log.warning("every user of this machine can read the key file", extra={"fields": fields})

    def trouble(self) -> str:
        """Return what is wrong with the loop itself, not with what it asks; "" if nothing is."""
        if self._queued:
            return ""  # those that it waits for tell of themselves
        late = self._clock() - (self._sign_until if self._running else self.due + HUNG_AFTER)
        return f"stalled, {late:.0f} s overdue" if late > 0 else ""

    def queue(self) -> None:
        """Note that a thread will soon call `step`, or later, where all that it may have are busy."""
        self._queued = True

    def step(self) -> None:
        """Run the job if its time has come, or its key has changed; then set when the next step is due."""
        if self.stopped:
            self._client.close()
            return
        self._queued = False
        if self._clock() < self._next_run:
            if self._watch is None or not self._watch.changed():
                self.due = self._next_look()
                return
            _log.info("the key has changed, trying again", extra={"fields": self._fields()})
        self._running = True
        try:
            self._step()
        except Stopped:
            self._client.close()
        finally:
            self._running = False

    def fail(self, error: str) -> None:
        """Note a run that could not even begin, as `internal`."""
        self._queued = False
        self._failed(self._clock(), None, "internal", error)
        self._next_run = self.due = self._clock() + self._failure_pause()

    def run_once(self) -> bool:
        """Run the job once, count and log how it went, and return whether it succeeded.

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
        except Exception as error:  # noqa: BLE001 - the last guard: whatever it is, the loop goes on
            _log.exception("unexpected error", extra={"fields": self._fields()})
            self._failed(started, last, "internal", f"unexpected {type(error).__name__}, see the log")
            return False
        self._succeeded(started, last)
        return True

    def _step(self) -> None:
        self._last_start = self._clock()
        self._next_run = self.due = self._last_start + self.job.settings.interval  # whatever happens now
        self._alive(0)
        watch = KeyWatch(self.job.key)  # before the run, as the key may change while that fails
        if self.run_once():
            self._watch = None
            self.due = self._next_run = self._last_start + self.job.settings.interval
        else:
            self._watch = watch
            self._next_run = self._clock() + self._failure_pause()
            self.due = self._clock()  # for a first look at the key: it may have changed meanwhile
        if self.job.settings.interval > KEEP_CONNECTION or self.stopped:
            self._client.close()

    def _next_look(self) -> float:
        """Return when to look at the key again, or to run."""
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
                "the run took longer than its interval, the next follows at once", extra={"fields": fields}
            )

    def _told_of_absence(self, started: float, error: str) -> None:
        """Note that the API does not have what was asked for; that is a warning once, while it lasts."""
        seconds = self._clock() - started
        error = self.context.redact(error)
        level = logging.INFO if self.runs.absence else logging.WARNING
        self.runs.told_of_absence(at=self._clock(), duration=seconds, absence=error)
        fields = self._outcome("not available", seconds, None) | {"error": error}
        _log.log(level, "run finished", extra={"fields": fields})

    def _tell_of_filters(self, objects: int) -> None:
        """Say once, while it lasts, that nothing is found where something is looked for."""
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
        # The API may say back another account's key.
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
