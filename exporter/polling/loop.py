"""When each collector of each account runs: a thread each, so that none waits for or fails with another."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from exporter.collectors.base import Known, Run
from exporter.vast.client import Client
from exporter.vast.errors import ApiError, Reason, Stopped
from exporter.vast.keys import KeyWatch, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from exporter.collectors import Collector
    from exporter.collectors.base import Progress
    from exporter.exposition.self_metrics import Runs, Telemetry
    from exporter.logs import Redactor
    from exporter.vast.client import Attempt, Options
    from exporter.vast.keys import Key

#: In intervals: the pause after the first failed run; doubled with each further one.
FIRST_PAUSE = 0.25
#: In intervals: the longest pause after a failed run, and the one after the key was refused.
LONGEST_PAUSE = 4.0
#: Seconds between two looks at the key while runs fail.
KEY_LOOK = 1.0
#: Seconds beyond what it is known to wait for, after which a loop that gives no sign is taken for hung.
HUNG_AFTER = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a loop has to do.

    Attributes:
        account: the account's name.
        key: where its key comes from.
        filters: `select_filters` of the account.
        collector: what is collected.
        interval: seconds from the start of one run to that of the next.
        stale_after: seconds for which what was found may be shown.

    """

    account: str
    key: Key
    filters: Mapping[str, Any]
    collector: Collector
    interval: float
    stale_after: float

    def asks_the_same(self, other: Job) -> bool:
        """Return whether `other` differs at most in when it asks, so that what is known stays true."""
        return replace(other, interval=self.interval, stale_after=self.stale_after) == self


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all loops share.

    Attributes:
        options: of the API's clients; clocks and random numbers among them.
        telemetry: where runs, requests and unreadable values are counted.
        redact: told of each key before it is used; takes it out of the errors that are shown.
        progress: told after each reply how far a run is.
        event: makes what a loop waits on until it is stopped.
        exposed: key files that were warned of because others can read them.

    """

    options: Options
    telemetry: Telemetry
    redact: Redactor
    progress: Callable[[Job, Progress], None]
    event: Callable[[], threading.Event] = threading.Event
    exposed: set[Path] = field(default_factory=set)


class Loop:
    """Runs one job on schedule, in a thread of its own, until it is stopped.

    Attributes:
        job: what it does.
        runs: how it is doing.
        known: what it has found.

    """

    def __init__(self, job: Job, world: World) -> None:
        self.job = job
        self.runs: Runs = world.telemetry.add(job.account, job.collector, job.interval)
        self.known = Known()
        self._world = world
        self._clock = world.options.clock
        self._stop = world.event()
        self._changed = world.event()
        self._requests: Counter[str] = Counter()
        key = reader(job.key, world.redact.learn)
        self._client = Client(world.options, key=key, wait=self._wait, observe=self._observe)
        self._thread = threading.Thread(
            target=self.run, name=f"{job.collector.name} {job.account}", daemon=True
        )
        self._sign_until = 0.0
        self._alive(0)

    def start(self) -> None:
        """Begin with a first run at once."""
        self._warn_of_exposed_key()
        self._thread.start()

    def stop(self) -> None:
        """End the loop at its next wait; a request that is under way is not waited for."""
        self._stop.set()
        self._changed.set()

    def update(self, job: Job, world: World) -> None:
        """Go on with a job that asks the same, and what is known; another interval counts at once."""
        if job == self.job and world.options == self._world.options:
            return
        self.job, self._world = job, world
        self.runs.interval = job.interval
        self._client.options = world.options
        self._changed.set()

    def trouble(self) -> str:
        """Return what is wrong with the loop itself, not with what it asks; "" if nothing is."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stop.is_set():
            return "has died"
        late = self._clock() - self._sign_until
        return f"gives no sign, {late:.0f} s overdue" if late > 0 else ""

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
                self._world.progress(self.job, last)
        except ApiError as error:
            self._failed(started, last, error.reason, str(error))
            return False
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - the last guard: whatever it is, the loop goes on
            _log.exception("unexpected error", extra={"fields": self._fields()})
            self._failed(started, last, "internal", f"unexpected {type(error).__name__}, see the log")
            return False
        self._succeeded(started, last)
        return True

    def run(self) -> None:
        """Run the job again and again, until the loop is stopped."""
        try:
            while True:
                started = self._clock()
                watch = KeyWatch(self.job.key)  # before the run, as the key may change while that fails
                if self.run_once():
                    self._pause(started)
                else:
                    self._pause_after_failure(watch)
        except Stopped:
            return
        finally:
            self._client.close()

    def _pause(self, started: float) -> None:
        """Wait until an interval has passed since the last run `started`."""
        while (left := started + self.job.interval - self._clock()) > 0:
            self._alive(left)
            self._changed.wait(left)
            if self._stop.is_set():
                raise Stopped
            self._changed.clear()
        if self._stop.is_set():
            raise Stopped

    def _pause_after_failure(self, watch: KeyWatch) -> None:
        """Wait ever longer, but no longer than until the key or the configuration changes."""
        until = self._clock() + self._failure_pause()
        while (left := until - self._clock()) > 0:
            if watch.changed():
                _log.info("the key has changed, trying again", extra={"fields": self._fields()})
                return
            self._wait(min(left, KEY_LOOK))
            if self._changed.is_set():
                self._changed.clear()
                return

    def _failure_pause(self) -> float:
        doublings = min(self.runs.failing - 1, 10)
        intervals = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << doublings))
        if self.runs.refused:
            intervals = LONGEST_PAUSE
        return self.job.interval * intervals * (0.75 + self._world.options.jitter() / 4)

    def _warn_of_exposed_key(self) -> None:
        path = self.job.key.path
        if path is not None and path not in self._world.exposed and self.job.key.exposed():
            self._world.exposed.add(path)
            fields = {"account": self.job.account, "file": path, "do": f"chmod 600 {path}"}
            _log.warning("every user of this machine can read the key file", extra={"fields": fields})

    def _run(self) -> Run:
        account = self.job.account
        return Run(
            account=account,
            client=self._client,
            filters=self.job.filters,
            known=self.known,
            clock=self._clock,
            wall_clock=self._world.options.wall_clock,
            unreadable=lambda fields: self._world.telemetry.unreadable(account, fields),
        )

    def _wait(self, seconds: float) -> None:
        self._alive(seconds)
        if self._stop.wait(seconds):
            raise Stopped

    def _observe(self, attempt: Attempt) -> None:
        self._alive(0)
        self._requests[attempt.code] += 1
        self._world.telemetry.request(self.job.account, attempt)

    def _alive(self, waiting: float) -> None:
        self._sign_until = self._clock() + waiting + self._world.options.timeout + HUNG_AFTER

    def _succeeded(self, started: float, last: Progress | None) -> None:
        seconds = self._clock() - started
        failing = self.runs.failing
        pages, objects = (last.pages, last.objects) if last is not None else (0, 0)
        self.runs.succeeded(
            at=self._world.options.wall_clock(), duration=seconds, pages=pages, objects=objects
        )
        _log.info("run finished", extra={"fields": self._outcome("success", seconds, last)})
        if failing:
            _log.info("recovered", extra={"fields": self._fields() | {"failures": failing}})
        if seconds > self.job.interval:
            fields = self._fields() | {"seconds": seconds, "interval": self.job.interval}
            _log.warning(
                "the run took longer than its interval, the next follows at once", extra={"fields": fields}
            )

    def _failed(self, started: float, last: Progress | None, reason: Reason, error: str) -> None:
        seconds = self._clock() - started
        # The API may say back another account's key.
        error = self._world.redact(error)
        self.runs.failed(reason, error)
        fields = self._outcome("failure", seconds, last)
        fields |= {"reason": reason, "error": error, "failing": self.runs.failing}
        _log.warning("run failed", extra={"fields": fields})

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
