"""The past of a fleet as dashboards read it, and its present as rules see it.

The past contains only series that some query reads over a time range. They have their real scrape or
evaluation intervals, because decoding samples is most of the cost of a query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import optional
from bench.history import ACCOUNTS, DAY, HOUR, MINUTE, MODELS, page
from exporter.collectors import inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

#: User labels; each has one GPU model per account.
LABELS = 20
#: API fields with counters of unreadable values; all 60 fields would be half of all samples.
FIELDS = 3
#: The intervals of the group vastai-recording-dashboards and of the slow groups.
RECORDED, SLOW = 2 * MINUTE, 4 * MINUTE
#: One in this many instances has billed traffic.
TRAFFIC = 10
TARGET = 'job="vastai-exporter",instance="bench"'
#: The length of the last scrapes, over which the rules are evaluated.
PRESENT = 20 * MINUTE
#: Series by account, label and GPU model.
SUMS = (
    "vastai_instance_burn_dollars_per_hour",
    "vastai_instance_idle_dollars_per_hour",
    "vastai_instance_stopped_storage_dollars_per_hour",
    "vastai_instance_measured_dollars_per_hour",
    "vastai_instance_busy_dollars_per_hour",
    "vastai_gpus_running",
    "vastai_gpus_paid",
    "vastai_gpus_idle",
    "vastai_gpus_unmeasured",
)


def identity(number: int) -> str:
    """Return the labels that identify an instance."""
    return optional.instance(number, ACCOUNTS)


def choice(number: int) -> str:
    """Return the labels that the dashboards filter instances by."""
    return f'label="label-{number // ACCOUNTS % LABELS}",gpu_name="{MODELS[number % len(MODELS)]}"'


def series(instances: int, now: float, span: float) -> Iterator[tuple[str, float, float]]:
    """Yield each series of the past with its interval and its length."""
    for number in range(instances):
        yield from _instance(number, span)
    for number in range(min(instances, ACCOUNTS * LABELS)):
        yield from _chosen(f'account="account-{number % ACCOUNTS}",{choice(number)}', span)
    for number in range(ACCOUNTS):
        yield from _account(f'account="account-{number}"', span)
    for number in range(ACCOUNTS * optional.ENDPOINTS):
        yield from _endpoint(number, span)
    yield from ((name, MINUTE, span) for name in _process())
    yield from ((name, MINUTE, span) for name in _present(1, now))
    for name in ("burn_dollars_per_hour:max", "status_age_seconds:max"):
        yield f"account_instance:vastai_instance_{name}{{{identity(0)}}}", MINUTE, span


def _instance(number: int, span: float) -> Iterator[tuple[str, float, float]]:
    both = f"{identity(number)},{choice(number)}"
    yield f"account_instance_label_gpu_name:vastai_instance_gpu_util_ratio:max{{{both}}}", SLOW, span
    yield f"account_instance_label_gpu_name:vastai_instance_spend_dollars:sum_1h{{{both}}}", HOUR, span
    for name, interval in (("gpu_util_ratio:max_recent", SLOW), ("disk_used:ratio", RECORDED)):
        yield f"account_instance:vastai_instance_{name}{{{identity(number)}}}", interval, DAY
    if number % TRAFFIC == 1:  # the first one's is part of the present
        for way in ("up", "down"):
            for name in (f"inet_{way}_billed_bytes_total", f"inet_{way}_cost_dollars_per_byte"):
                yield f"vastai_instance_{name}{{{TARGET},{identity(number)}}}", MINUTE, span


def _chosen(own: str, span: float) -> Iterator[tuple[str, float, float]]:
    yield f"account_label_gpu_name:vastai_instance_gpu_temp_celsius:max{{{own}}}", RECORDED, span
    for name in SUMS:
        yield f"account_label_gpu_name:{name}:sum{{{own}}}", RECORDED, span
    for status in ("running", "exited"):
        both = f'{own},status="{status}"'
        yield f"account_label_gpu_name_status:vastai_instances:count{{{both}}}", RECORDED, span
    yield f"account_label_gpu_name:vastai_instance_spend_dollars:sum_1h{{{own}}}", HOUR, 30 * DAY


def _account(own: str, span: float) -> Iterator[tuple[str, float, float]]:
    yield f"account:vastai_instance_burn_dollars_per_hour:sum{{{own}}}", MINUTE, span
    yield f"account:vastai_account_spend_dollars_total:max{{{own}}}", HOUR, 30 * DAY
    for name in ("credit_dollars", "spend_dollars_total", "autobill_threshold_dollars"):
        yield f"vastai_account_{name}{{{TARGET},{own}}}", MINUTE, span
    for collector in ("instances", "account"):
        of_it = f'{own},collector="{collector}"'
        yield f"account_collector:vastai_collector_age_seconds:min{{{of_it}}}", MINUTE, span
        for name in ("success", "interval_seconds", "duration_seconds"):
            yield f"vastai_collector_{name}{{{TARGET},{of_it}}}", MINUTE, span
        for reason in ("auth", "rate_limited", "timeout", "network", "bad_reply", "incomplete"):
            yield f'vastai_collector_failures_total{{{TARGET},{of_it},reason="{reason}"}}', MINUTE, span
        for field in range(FIELDS):
            yield f'vastai_unreadable_values_total{{{TARGET},{of_it},field="field_{field}"}}', MINUTE, span
    for name in (*inbox.TYPES, inbox.OTHER):
        yield f'vastai_notifications_total{{{TARGET},{own},type="{name}"}}', MINUTE, span
    for status in ("running", "exited", "loading", "offline", "frozen"):
        yield f'vastai_status_changes_total{{{TARGET},{own},from="running",to="{status}"}}', MINUTE, span


def _endpoint(number: int, span: float) -> Iterator[tuple[str, float, float]]:
    for name in optional.of_endpoint(number, ACCOUNTS):
        yield _scraped(name), MINUTE, span
    own = optional.endpoint(number, ACCOUNTS)
    yield f"account_endpoint:vastai_instance_burn_dollars_per_hour:sum{{{own}}}", MINUTE, span


def _scraped(series: str) -> str:
    """Return a series with the labels of the target."""
    name, _, labels = series.partition("{")
    return f"{name}{{{TARGET},{labels}" if labels else f"{name}{{{TARGET}}}"


def _process() -> Iterator[str]:
    for name in (
        "up",
        "scrape_duration_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ):
        yield f"{name}{{{TARGET}}}"
    for bound in ("0.05", "0.1", "0.5", "1", "+Inf"):
        yield f'vastai_api_request_duration_seconds_bucket{{{TARGET},path="/api/v1/instances/",le="{bound}"}}'


def _present(instances: int, now: float) -> Iterator[str]:
    """Yield the scraped series of instances, without values."""
    for line in page(instances, now).decode().splitlines():
        if line.startswith("vastai_instance_"):
            yield _scraped(line.rpartition(" ")[0])


def past(instances: int, now: float, span: float, first: float, last: float) -> Iterator[str]:
    """Yield the samples of a part of the past without the last scrapes; rules compute the rest from those."""
    end = min(last, now - PRESENT)
    for name, interval, length in series(instances, now, span):
        moment = max(first, now - length) // interval * interval + interval
        count = 0
        while moment <= end:
            # Values change, like real readings: constant values would take neither space nor time.
            yield f"{name} {count % 97 / 97:.4f} {moment:.0f}\n"
            moment += interval
            count += 1


def present(instances: int, now: float) -> Iterator[str]:
    """Yield the scrapes of the last minutes."""
    moment = now - PRESENT + MINUTE
    while moment <= now:
        for line in page(instances, moment).decode().splitlines():
            series, _, value = line.rpartition(" ")
            yield f"{_scraped(series)} {value} {moment:.0f}\n"
        moment += 2 * MINUTE
