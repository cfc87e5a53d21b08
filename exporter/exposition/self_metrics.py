"""The exporter's own numbers: requests, runs of collectors, unreadable values, the configuration.

Counters are plain numbers behind one lock and are written as lines like everything else; process_* and
python_info come from prometheus_client.
"""

from __future__ import annotations

import platform
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter import __version__
from exporter.metrics import lines
from exporter.metrics.rows import Metric
from exporter.vast.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.collectors.base import Collector
    from exporter.metrics.fields import Problems
    from exporter.metrics.values import Number
    from exporter.vast.client import Attempt

REASONS: tuple[str, ...] = get_args(Reason)
#: Seconds.
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_RUN = ("account", "collector")

SUCCESS = Metric(
    name="vastai_collector_success",
    help="1 if the last run of the collector succeeded, 0 before the first.",
    labels=_RUN,
)
LAST_SUCCESS = Metric(
    name="vastai_collector_last_success_timestamp_seconds",
    help="When the last successful run of the collector ended, 0 before the first.",
    labels=_RUN,
)
DURATION = Metric(
    name="vastai_collector_duration_seconds",
    help="How long the last successful run of the collector took.",
    labels=_RUN,
)
PAGES = Metric(
    name="vastai_collector_pages",
    help="Pages that the last successful run of the collector read.",
    labels=_RUN,
)
OBJECTS = Metric(
    name="vastai_collector_objects",
    help="Objects that the last successful run of the collector found.",
    labels=_RUN,
)
INTERVAL = Metric(
    name="vastai_collector_interval_seconds",
    help="Seconds from the start of one run of the collector to that of the next, as configured.",
    labels=_RUN,
)
OVERRUNS = Metric(
    name="vastai_collector_overruns_total",
    help="Runs of the collector that took longer than its interval; the next one followed at once.",
    type="counter",
    labels=_RUN,
)
FAILURES = Metric(
    name="vastai_collector_failures_total",
    help="Runs of the collector that failed, by reason.",
    type="counter",
    labels=(*_RUN, "reason"),
    notes="reason is one of " + ", ".join(REASONS),
)
REQUESTS = Metric(
    name="vastai_api_requests_total",
    help="Requests to the API, each attempt counted, by HTTP status or error.",
    type="counter",
    labels=("account", "path", "code"),
)
REQUEST_DURATION = Metric(
    name="vastai_api_request_duration_seconds",
    help="Seconds from the start of a request to the last byte of its reply.",
    type="histogram",
    labels=("path",),
)
UNREADABLE = Metric(
    name="vastai_unreadable_values_total",
    help="Values of the API that could not be read, by field; id counts rows that were left out.",
    type="counter",
    labels=(*_RUN, "field"),
)
OUT_OF_RANGE = Metric(
    name="vastai_out_of_range_values_total",
    help="Values of the API that can be read and can't be true, by field.",
    type="counter",
    labels=(*_RUN, "field"),
    notes="the ranges stand beside the metrics",
)
BUILD_INFO = Metric(
    name="vastai_exporter_build_info",
    help="Always 1; what is running.",
    labels=("version", "revision", "python_version"),
)
RELOAD_SUCCESSFUL = Metric(
    name="vastai_exporter_config_last_reload_successful",
    help="1 if the configuration was accepted when it was last read.",
    labels=(),
)
RELOAD_TIMESTAMP = Metric(
    name="vastai_exporter_config_last_reload_success_timestamp_seconds",
    help="When the configuration was last accepted.",
    labels=(),
)

SELF_METRICS = (
    SUCCESS,
    LAST_SUCCESS,
    DURATION,
    PAGES,
    OBJECTS,
    INTERVAL,
    OVERRUNS,
    FAILURES,
    REQUESTS,
    REQUEST_DURATION,
    UNREADABLE,
    OUT_OF_RANGE,
    BUILD_INFO,
    RELOAD_SUCCESSFUL,
    RELOAD_TIMESTAMP,
)


@dataclass(slots=True, kw_only=True)
class Runs:
    """How one collector of one account is doing. Written by its own loop only.

    Attributes:
        interval: seconds, as configured.
        success: whether the last run succeeded.
        last_success: epoch seconds of the end of the last successful run, 0 before it.
        duration: seconds of the last successful run.
        pages: of the last successful run.
        objects: of the last successful run.
        overruns: runs that took longer than the interval.
        failures: failed runs by reason.
        failing: failed runs in a row.
        refused: whether the last run failed because the key was not accepted.
        ended: whether any run has ended.
        error: why the last run failed, in words; "" if it did not.

    """

    interval: float
    success: bool = False
    last_success: float = 0.0
    duration: float = 0.0
    pages: int = 0
    objects: int = 0
    overruns: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    failing: int = 0
    refused: bool = False
    ended: bool = False
    error: str = ""

    def succeeded(self, *, at: float, duration: float, pages: int, objects: int) -> None:
        """Note a successful run that ended at `at` (epoch)."""
        self.success, self.error, self.failing, self.refused = True, "", 0, False
        self.last_success, self.duration, self.pages, self.objects = at, duration, pages, objects
        self.overruns += duration > self.interval
        self.ended = True

    def failed(self, reason: Reason, error: str) -> None:
        """Note a failed run."""
        self.success, self.error, self.refused = False, error, reason == "auth"
        self.failing += 1
        self.failures[reason] += 1
        self.ended = True


class SelfMetrics:
    """Counts what happens; safe to use from every thread.

    Args:
        version: of this program.
        revision: of its source.
        python_version: what it runs on.

    """

    def __init__(
        self,
        *,
        version: str = __version__,
        revision: str = "",
        python_version: str = platform.python_version(),
    ) -> None:
        self._lock = threading.Lock()
        self._build = (version, revision, python_version)
        self._runs: dict[tuple[str, str], Runs] = {}
        #: The collectors that ask a path, by account and path: its series end with the last of them.
        self._asking: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._durations: dict[str, _Histogram] = {}
        self._unreadable: Counter[tuple[str, ...]] = Counter()
        self._out_of_range: Counter[tuple[str, ...]] = Counter()
        self._reload: tuple[bool, float] = (False, 0.0)
        self._web_config_is_good = True
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def add(self, account: str, collector: Collector, interval: float) -> Runs:
        """Begin the series of one collector of one account; all that are known stand there as 0."""
        runs = Runs(interval=interval)
        with self._lock:
            self._runs[account, collector.name] = runs
            for endpoint in collector.endpoints:
                self._asking[account, endpoint.path].add(collector.name)
                self._requests[account, endpoint.path, "200"] += 0
                self._durations.setdefault(endpoint.path, _Histogram())
            for field_ in collector.fields:
                self._unreadable[account, collector.name, field_] += 0
            for field_ in collector.ranged_fields:
                self._out_of_range[account, collector.name, field_] += 0
        return runs

    def remove(self, account: str, collector: Collector) -> None:
        """End the series of one collector of one account."""
        with self._lock:
            del self._runs[account, collector.name]
            for endpoint in collector.endpoints:
                asking = self._asking[account, endpoint.path]
                asking.discard(collector.name)
                if not asking:
                    del self._asking[account, endpoint.path]
                    _drop(self._requests, account, endpoint.path)
                if not any(path == endpoint.path for _, path in self._asking):
                    self._durations.pop(endpoint.path, None)
            for counter in (self._unreadable, self._out_of_range):
                _drop(counter, account, collector.name)

    def request(self, account: str, attempt: Attempt) -> None:
        """Count one request."""
        path = attempt.endpoint.path
        with self._lock:
            if (account, path) not in self._asking:
                return  # a request that was under way when its collector was removed
            self._requests[account, path, attempt.code] += 1
            self._durations[path].observe(attempt.seconds)

    def problems(self, account: str, collector: str, problems: Problems) -> None:
        """Count values that were no use."""
        with self._lock:
            if (account, collector) in self._runs:  # not so when it was just removed
                for counter, found in (
                    (self._unreadable, problems.unreadable),
                    (self._out_of_range, problems.out_of_range),
                ):
                    for name, count in found.items():
                        counter[account, collector, name] += count

    def reloaded(self, *, at: float) -> None:
        """Note that a configuration was accepted at `at` (epoch)."""
        self._reload = (True, at)

    def reload_failed(self) -> None:
        """Note that a configuration was refused; the one before stays in force."""
        self._reload = (False, self._reload[1])

    def web_config_read(self, good: bool) -> None:  # noqa: FBT001 - the one thing that it is told
        """Note whether the web configuration was accepted when it was last read; see `RELOAD_SUCCESSFUL`."""
        self._web_config_is_good = good

    def lines(self, *, openmetrics: bool, process: bool = True) -> bytes:
        """Return the whole of the exporter's own metrics; `process` adds process_* and python_info."""
        with self._lock:
            samples = self._samples()
        own = b"".join(
            lines.header(metric, openmetrics=openmetrics) + lines.encode("".join(samples[metric.name]))
            for metric in SELF_METRICS
            if samples[metric.name]
        )
        if not process:
            return own
        generate = generate_openmetrics if openmetrics else generate_latest
        return own + generate(self._process).removesuffix(b"# EOF\n")

    def _samples(self) -> dict[str, list[str]]:
        samples: dict[str, list[str]] = {}

        def put(metric: Metric, values: Iterable[tuple[tuple[str, ...], Number]]) -> None:
            samples[metric.name] = [
                lines.sample(metric.name, lines.labels(metric.labels, names), value)
                for names, value in values
            ]

        runs = self._runs
        put(SUCCESS, ((key, int(run.success)) for key, run in runs.items()))
        put(LAST_SUCCESS, ((key, run.last_success) for key, run in runs.items()))
        put(DURATION, ((key, run.duration) for key, run in runs.items() if run.last_success))
        put(PAGES, ((key, run.pages) for key, run in runs.items() if run.last_success))
        put(OBJECTS, ((key, run.objects) for key, run in runs.items() if run.last_success))
        put(INTERVAL, ((key, run.interval) for key, run in runs.items()))
        put(OVERRUNS, ((key, run.overruns) for key, run in runs.items()))
        put(
            FAILURES,
            (((*key, reason), run.failures[reason]) for key, run in runs.items() for reason in REASONS),
        )
        put(REQUESTS, sorted(self._requests.items()))
        put(UNREADABLE, self._unreadable.items())
        put(OUT_OF_RANGE, self._out_of_range.items())
        put(BUILD_INFO, [(self._build, 1)])
        put(RELOAD_SUCCESSFUL, [((), int(self._reload[0] and self._web_config_is_good))])
        put(RELOAD_TIMESTAMP, [((), self._reload[1])])
        samples[REQUEST_DURATION.name] = [
            line for path, histogram in sorted(self._durations.items()) for line in histogram.lines(path)
        ]
        return samples


def _drop(counter: Counter[tuple[str, ...]], *first: str) -> None:
    """Forget all series whose labels begin with these values."""
    for key in [key for key in counter if key[: len(first)] == first]:
        del counter[key]


class _Histogram:
    """Seconds in `BUCKETS`."""

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
