"""Count and expose the exporter's own metrics: requests, collector runs, unreadable values, configuration.

Counters are plain numbers behind one lock and are formatted like all other metrics. process_* and python_info
come from prometheus_client.
"""

from __future__ import annotations

import platform
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter import __version__
from exporter.metrics import lines
from exporter.metrics.rows import Metric
from exporter.vast.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.collectors.base import Collector
    from exporter.metrics.fields import Problems
    from exporter.metrics.values import Number
    from exporter.vast.client import Attempt

REASONS: tuple[str, ...] = get_args(Reason)
#: Why a TLS handshake with one of our clients failed.
HandshakeFailure = Literal[
    "no_certificate", "bad_certificate", "old_version", "plain_http", "refused_by_client", "other"
]
HANDSHAKE_FAILURES: tuple[str, ...] = get_args(HandshakeFailure)
#: Why the connection of one of our clients was closed.
ConnectionCut = Literal[
    "slow_request", "slow_reader", "too_large", "too_many_requests", "too_many_connections"
]
CONNECTION_CUTS: tuple[str, ...] = get_args(ConnectionCut)
#: In seconds.
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

GROUP = "exporter"
ABOUT = "the exporter itself: its runs, requests and failures, its process"

_RUN = ("account", "collector")

SUCCESS = Metric(
    name="vastai_collector_success",
    help="1 if the last run of the collector succeeded, else 0; 0 before the first run.",
    labels=_RUN,
)
LAST_SUCCESS = Metric(
    name="vastai_collector_last_success_timestamp_seconds",
    help="End time of the last successful run of the collector, 0 before the first; its results are kept in"
    " memory and served until the next.",
    labels=_RUN,
)
AVAILABLE = Metric(
    name="vastai_collector_available",
    help="1 if the API provides what the collector reads, 0 if the last run was told that it does not, or"
    " not for this key.",
    labels=_RUN,
    notes="only for collectors whose endpoint is not documented for every key; 0 is not a failure: the run"
    " counts as successful and found nothing",
)
DURATION = Metric(
    name="vastai_collector_duration_seconds",
    help="Duration of the last successful run of the collector.",
    labels=_RUN,
)
PAGES = Metric(
    name="vastai_collector_pages",
    help="Number of pages that the last successful run of the collector read.",
    labels=_RUN,
)
OBJECTS = Metric(
    name="vastai_collector_objects",
    help="Number of objects that the last successful run of the collector found.",
    labels=_RUN,
)
INTERVAL = Metric(
    name="vastai_collector_interval_seconds",
    help="Configured interval between the starts of two runs of the collector; a scrape does not start a"
    " run.",
    labels=_RUN,
)
RUNS = Metric(
    name="vastai_collector_runs_total",
    help="Total number of completed runs of the collector, successful or failed.",
    type="counter",
    labels=_RUN,
)
OVERRUNS = Metric(
    name="vastai_collector_overruns_total",
    help="Total number of runs of the collector that took longer than its interval, so that the next one"
    " started at once.",
    type="counter",
    labels=_RUN,
)
FAILURES = Metric(
    name="vastai_collector_failures_total",
    help="Total number of failed runs of the collector, by reason.",
    type="counter",
    labels=(*_RUN, "reason"),
    notes="reason is one of " + ", ".join(REASONS),
)
REQUESTS = Metric(
    name="vastai_api_requests_total",
    help="Total number of API requests by HTTP status or error; each attempt counts.",
    type="counter",
    labels=("account", "path", "code"),
)
REQUEST_DURATION = Metric(
    name="vastai_api_request_duration_seconds",
    help="Duration of API requests, from the start of the request to the last byte of the reply.",
    type="histogram",
    labels=("path",),
)
UNREADABLE = Metric(
    name="vastai_unreadable_values_total",
    help="Total number of API values that could not be parsed, by field; field id counts skipped rows.",
    type="counter",
    labels=(*_RUN, "field"),
)
OUT_OF_RANGE = Metric(
    name="vastai_out_of_range_values_total",
    help="Total number of API values dropped because they were out of range, by field.",
    type="counter",
    labels=(*_RUN, "field"),
    notes="the valid ranges are listed with the metrics",
)
TLS_FAILURES = Metric(
    name="vastai_exporter_tls_handshake_failures_total",
    help="Total number of failed TLS handshakes with clients of the exporter, by reason.",
    type="counter",
    labels=("reason",),
    notes="reason is one of " + ", ".join(HANDSHAKE_FAILURES),
)
CONNECTIONS_CUT = Metric(
    name="vastai_exporter_connections_cut_total",
    help="Total number of client connections that the exporter closed because they exceeded a limit, by"
    " reason.",
    type="counter",
    labels=("reason",),
    notes="reason is one of " + ", ".join(CONNECTION_CUTS),
)
LOG_LINES_DROPPED = Metric(
    name="vastai_log_lines_dropped_total",
    help="Total number of log lines dropped because standard error was full, closed or not being read.",
    type="counter",
    labels=(),
)
BUILD_INFO = Metric(
    name="vastai_exporter_build_info",
    help="Always 1; the labels describe the running exporter.",
    labels=("version", "revision", "python_version"),
)
RELOAD_SUCCESSFUL = Metric(
    name="vastai_exporter_config_last_reload_successful",
    help="1 if the configuration was accepted when it was last read, else 0.",
    labels=(),
)
RELOAD_TIMESTAMP = Metric(
    name="vastai_exporter_config_last_reload_success_timestamp_seconds",
    help="Time at which the configuration was last accepted.",
    labels=(),
)

SELF_METRICS = tuple(
    replace(metric, group=GROUP)
    for metric in (
        SUCCESS,
        LAST_SUCCESS,
        AVAILABLE,
        DURATION,
        PAGES,
        OBJECTS,
        INTERVAL,
        RUNS,
        OVERRUNS,
        FAILURES,
        REQUESTS,
        REQUEST_DURATION,
        UNREADABLE,
        OUT_OF_RANGE,
        TLS_FAILURES,
        CONNECTIONS_CUT,
        BUILD_INFO,
        RELOAD_SUCCESSFUL,
        RELOAD_TIMESTAMP,
        LOG_LINES_DROPPED,
    )
)


@dataclass(slots=True, kw_only=True)
class Runs:
    """State of one collector of one account, written only by its own loop.

    Attributes:
        interval: configured interval in seconds.
        success: whether the last run succeeded.
        wall: converts monotonic seconds to epoch seconds.
        succeeded_at: end of the last successful run in monotonic seconds, or None before it.
        duration: duration of the last successful run in seconds.
        pages: number of pages in the last successful run.
        objects: number of objects in the last successful run.
        ended_runs: number of runs that have ended.
        overruns: number of runs that took longer than the interval.
        failures: number of failed runs by reason.
        failing: number of consecutive failed runs.
        refused: whether the last run failed because the key was rejected.
        error: error message of the last run; "" if it succeeded.
        absence: the API's message if it does not have the resource; "" otherwise.

    """

    interval: float
    success: bool = False
    wall: Callable[[float], float] = lambda moment: moment
    succeeded_at: float | None = None
    duration: float = 0.0
    pages: int = 0
    objects: int = 0
    ended_runs: int = 0
    overruns: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    failing: int = 0
    refused: bool = False
    error: str = ""
    absence: str = ""

    @property
    def ended(self) -> bool:
        """Whether any run has ended."""
        return self.ended_runs > 0

    @property
    def last_success(self) -> float:
        """End of the last successful run in epoch seconds, 0 before it."""
        return 0.0 if self.succeeded_at is None else self.wall(self.succeeded_at)

    def succeeded(self, *, at: float, duration: float, pages: int, objects: int) -> None:
        """Record a successful run that ended at `at` (monotonic)."""
        self.success, self.error, self.failing, self.refused = True, "", 0, False
        self.absence = ""
        self.succeeded_at, self.duration, self.pages, self.objects = at, duration, pages, objects
        self.overruns += duration > self.interval
        self.ended_runs += 1

    def told_of_absence(self, *, at: float, duration: float, absence: str) -> None:
        """Record a run that ended at `at` (monotonic) because the API does not have the resource."""
        self.succeeded(at=at, duration=duration, pages=0, objects=0)
        self.absence = absence

    def failed(self, reason: Reason, error: str) -> None:
        """Record a failed run."""
        self.success, self.error, self.refused = False, error, reason == "auth"
        self.absence = ""
        self.failing += 1
        self.failures[reason] += 1
        self.ended_runs += 1


class _Counts:
    """A counter of one collector of one account, by the value of a further label.

    Its lines are cached until it changes. With 200 accounts and ten collectors there are about 50,000 lines,
    and nearly all of them stay 0.

    Args:
        metric: the counter.
        labels: account and collector, as written between the braces.
        values: values of the further label that have a series from the start.
        counts: counts by value.

    """

    def __init__(self, metric: Metric, labels: str, values: Iterable[str], counts: Counter[str]) -> None:
        self.counts = counts
        self._values = tuple(values)
        self._before = f"{metric.name}{{{labels},{metric.labels[-1]}="
        self._total = -1
        self._text = ""

    def lines(self) -> str:
        """Return a line for each value."""
        total = self.counts.total()
        if total != self._total:  # the total never decreases
            self._total = total
            self._text = "".join(
                f'{self._before}"{lines.escape(value)}"}} {count}\n'
                for value, count in (dict.fromkeys(self._values, 0) | self.counts).items()
            )
        return self._text


class _Series:
    """All series of one collector of one account."""

    def __init__(
        self, account: str, collector: Collector, interval: float, wall: Callable[[float], float]
    ) -> None:
        self.labels = lines.labels(_RUN, (account, collector.name))
        self.undocumented = collector.undocumented
        self.runs = Runs(interval=interval, wall=wall)
        self.failures = _Counts(FAILURES, self.labels, REASONS, self.runs.failures)
        self.out_of_range = _Counts(OUT_OF_RANGE, self.labels, collector.ranged_fields, Counter())
        self._unreadable: Counter[str] = Counter()
        self.asks_for(collector)

    def asks_for(self, collector: Collector) -> None:
        """Have a series for each of the collector's fields, and keep those that are not 0."""
        self.unreadable = _Counts(UNREADABLE, self.labels, collector.fields, self._unreadable)


class SelfMetrics:
    """The exporter's own counters; thread-safe.

    Args:
        version: version of this program.
        revision: source revision.
        python_version: version of Python.

    Attributes:
        lines_dropped: returns the number of log lines that could not be written so far.
        wall: converts monotonic seconds to epoch seconds, by the current setting of the clock.

    """

    def __init__(
        self,
        *,
        version: str = __version__,
        revision: str = "",
        python_version: str = platform.python_version(),
    ) -> None:
        self.lines_dropped: Callable[[], int] = lambda: 0
        self.wall: Callable[[float], float] = lambda moment: moment
        self._lock = threading.Lock()
        self._build = (version, revision, python_version)
        self._series: dict[tuple[str, str], _Series] = {}
        #: Collectors that request a path, by account and path; its series end with the last of them.
        self._asking: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._durations: dict[str, _Histogram] = {}
        self._tls_failures: Counter[str] = Counter()
        self._connections_cut: Counter[str] = Counter()
        self._reload: tuple[bool, float | None] = (False, None)
        self._web_config_is_good = True
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def add(self, account: str, collector: Collector, interval: float) -> Runs:
        """Create the series of one collector of one account; all known ones start at 0."""
        series = _Series(account, collector, interval, self.wall)
        with self._lock:
            self._series[account, collector.name] = series
            for endpoint in collector.endpoints:
                self._asking[account, endpoint.path].add(collector.name)
                self._requests[account, endpoint.path, "200"] += 0
                self._durations.setdefault(endpoint.path, _Histogram())
        return series.runs

    def update(self, account: str, collector: Collector) -> None:
        """Continue with a collector that requests other fields; its counts stay."""
        with self._lock:
            self._series[account, collector.name].asks_for(collector)

    def remove(self, account: str, collector: Collector) -> None:
        """Remove the series of one collector of one account."""
        with self._lock:
            del self._series[account, collector.name]
            for endpoint in collector.endpoints:
                asking = self._asking[account, endpoint.path]
                asking.discard(collector.name)
                if not asking:
                    del self._asking[account, endpoint.path]
                    _drop(self._requests, account, endpoint.path)
                if not any(path == endpoint.path for _, path in self._asking):
                    self._durations.pop(endpoint.path, None)

    def request(self, account: str, attempt: Attempt) -> None:
        """Count one request."""
        path = attempt.endpoint.path
        with self._lock:
            if (account, path) not in self._asking:
                return  # the request was in progress when its collector was removed
            self._requests[account, path, attempt.code] += 1
            self._durations[path].observe(attempt.seconds)

    def problems(self, account: str, collector: str, problems: Problems) -> None:
        """Count unusable values."""
        with self._lock:
            series = self._series.get((account, collector))
            if series is not None:  # None if the collector was just removed
                series.unreadable.counts.update(problems.unreadable)
                series.out_of_range.counts.update(problems.out_of_range)

    def tls_handshake_failed(self, reason: HandshakeFailure) -> None:
        """Count one failed TLS handshake."""
        with self._lock:
            self._tls_failures[reason] += 1

    def connection_cut(self, reason: ConnectionCut) -> None:
        """Count one closed client connection."""
        with self._lock:
            self._connections_cut[reason] += 1

    def reloaded(self, *, at: float) -> None:
        """Record that a configuration was accepted at `at` (monotonic)."""
        self._reload = (True, at)

    def reload_failed(self) -> None:
        """Record that a configuration was rejected; the previous one stays in force."""
        self._reload = (False, self._reload[1])

    def web_config_read(self, good: bool) -> None:  # noqa: FBT001 - its only argument
        """Record whether the web configuration was valid when last read; see `RELOAD_SUCCESSFUL`."""
        self._web_config_is_good = good

    def lines(self, *, openmetrics: bool, process: bool = True) -> bytes:
        """Return all of the exporter's own metrics; `process` adds process_* and python_info."""
        with self._lock:
            samples = {name: "".join(found) for name, found in self._samples().items()}
        own = b"".join(
            lines.header(metric, openmetrics=openmetrics) + lines.encode(samples[metric.name])
            for metric in SELF_METRICS
            if samples[metric.name]
        )
        if not process:
            return own
        generate = generate_openmetrics if openmetrics else generate_latest
        return own + generate(self._process).removesuffix(b"# EOF\n")

    def _samples(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        every = self._series.values()
        succeeded = [series for series in every if series.runs.succeeded_at is not None]

        def put(metric: Metric, some: Iterable[_Series], value: Callable[[Runs], Number]) -> None:
            found[metric.name] = [lines.sample(metric.name, each.labels, value(each.runs)) for each in some]

        put(SUCCESS, every, lambda runs: int(runs.success))
        put(LAST_SUCCESS, every, lambda runs: runs.last_success)
        undocumented = [series for series in every if series.undocumented and series.runs.ended]
        put(AVAILABLE, undocumented, lambda runs: int(not runs.absence))
        put(DURATION, succeeded, lambda runs: runs.duration)
        put(PAGES, succeeded, lambda runs: runs.pages)
        put(OBJECTS, succeeded, lambda runs: runs.objects)
        put(INTERVAL, every, lambda runs: runs.interval)
        put(RUNS, every, lambda runs: runs.ended_runs)
        put(OVERRUNS, every, lambda runs: runs.overruns)
        found[FAILURES.name] = [each.failures.lines() for each in every]
        found[UNREADABLE.name] = [each.unreadable.lines() for each in every]
        found[OUT_OF_RANGE.name] = [each.out_of_range.lines() for each in every]
        found[REQUESTS.name] = [
            lines.sample(REQUESTS.name, lines.labels(REQUESTS.labels, names), count)
            for names, count in sorted(self._requests.items())
        ]
        found[LOG_LINES_DROPPED.name] = [lines.sample(LOG_LINES_DROPPED.name, "", self.lines_dropped())]
        for metric, reasons, counts in (
            (TLS_FAILURES, HANDSHAKE_FAILURES, self._tls_failures),
            (CONNECTIONS_CUT, CONNECTION_CUTS, self._connections_cut),
        ):
            found[metric.name] = [
                lines.sample(metric.name, lines.labels(metric.labels, (reason,)), counts[reason])
                for reason in reasons
            ]
        found[REQUEST_DURATION.name] = [
            line for path, histogram in sorted(self._durations.items()) for line in histogram.lines(path)
        ]
        build = lines.labels(BUILD_INFO.labels, self._build)
        found[BUILD_INFO.name] = [lines.sample(BUILD_INFO.name, build, 1)]
        good, at = self._reload
        successful = int(good and self._web_config_is_good)
        accepted = 0.0 if at is None else self.wall(at)
        found[RELOAD_SUCCESSFUL.name] = [lines.sample(RELOAD_SUCCESSFUL.name, "", successful)]
        found[RELOAD_TIMESTAMP.name] = [lines.sample(RELOAD_TIMESTAMP.name, "", accepted)]
        return found


def _drop(counter: Counter[tuple[str, ...]], *first: str) -> None:
    """Remove all series whose labels start with these values."""
    for key in [key for key in counter if key[: len(first)] == first]:
        del counter[key]


class _Histogram:
    """A histogram of seconds with the bounds in `BUCKETS`."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def lines(self, path: str) -> Iterable[str]:
        name = REQUEST_DURATION.name
        label = lines.labels(REQUEST_DURATION.labels, (path,))
        total = 0
        for bound, count in zip((*map(repr, BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            yield lines.sample(f"{name}_bucket", f'{label},le="{bound}"', total)
        yield lines.sample(f"{name}_count", label, total)
        yield lines.sample(f"{name}_sum", label, self._sum)
