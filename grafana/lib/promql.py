"""Queries that honour the variables.

Series of an instance carry (account, instance_id) only; what else the variables ask for stands on INFO, of
which there is one an instance (deploy/prometheus/recording.rules.yml). After a restart of Prometheus, or in
data without staleness markers, an old and a new one may be seen together for some minutes: where a join
takes labels from it, `unique` keeps it from being many-to-many, whatever happens to labels and statuses.
"""

from __future__ import annotations

from grafana.lib.thresholds import duration, threshold

INFO = "account_instance:vastai_instance_info:topk"
STATUS = "account_instance:vastai_instance_status:topk"
STATUS_AGE = "account_instance:vastai_instance_status_age_seconds:max"
BURN = "account_instance:vastai_instance_burn_dollars_per_hour:max"
LABELLED_BURN = "account_instance_label_gpu_name:vastai_instance_burn_dollars_per_hour:max"
#: Of the workers of a serverless endpoint; part of the account's.
ENDPOINT_BURN = "account_endpoint:vastai_instance_burn_dollars_per_hour:sum"
ACCOUNT_BURN = "account:vastai_instance_burn_dollars_per_hour:sum"
IDLE_BURN = "account_instance:vastai_instance_idle_dollars_per_hour:max"
STOPPED_BURN = "account_instance:vastai_instance_stopped_storage_dollars_per_hour:max"
GPU_PRICE = "account_instance_gpu_name:vastai_instance_gpu_price_dollars_per_hour:max"
MEDIAN_GPU_PRICE = "gpu_name:vastai_instance_gpu_price_dollars_per_hour:median"
DISK_USED = "account_instance:vastai_instance_disk_used:ratio"
MEMORY_USED = "account_instance:vastai_instance_mem_used:ratio"
REMAINING = "account_instance:vastai_instance_remaining_seconds:min"
PREPAID = "account_instance:vastai_instance_credit_runway_seconds:min"
TROUBLE = "account_instance_reason:vastai_instance_trouble:rank"
RUNWAY = "account:vastai_account_credit_runway_seconds:min"
AUTOBILL_RUNWAY = "account:vastai_account_autobill_runway_seconds:min"
SPENT_24H = "account:vastai_instance_spend_dollars:sum_24h"
SPENT_30D = "account:vastai_instance_spend_dollars:sum_30d"
LABEL_SPENT_24H = "account_label:vastai_instance_spend_dollars:sum_24h"
LABEL_SPENT_30D = "account_label:vastai_instance_spend_dollars:sum_30d"
#: The same as Vast.ai counts it.
COUNTED_24H = "account:vastai_account_spend_dollars:sum_24h"
COUNTED_30D = "account:vastai_account_spend_dollars:sum_30d"
AGE = "account_collector:vastai_collector_age_seconds:min"

ACCOUNT = 'account=~"$account"'
ONE = f'{ACCOUNT},instance_id=~"$instance"'
CHOICE = f'{ONE},label=~"$label",gpu_name=~"$gpu_name"'
CHOSEN_INFO = f"{INFO}{{{CHOICE}}}"
#: What the chosen instances cost, without a join: that takes seconds at hundreds of moments.
CHOSEN_BURN = f"{LABELLED_BURN}{{{CHOICE}}}"
#: 0 where something is known of the accounts: a zero that is known, as where nothing is rented, not one that
#: is missing.
NONE = f"0 * group({ACCOUNT_BURN}{{{ACCOUNT}}})"
#: The states in which the GPU is paid for.
PAID = 'status=~"running|frozen|rebooting|unknown"'
NO_LABEL = "(no label)"
_MOST_CREDIT = f"max_over_time(vastai_account_credit_dollars{{{ACCOUNT}}}[{duration('autobill_for')}])"
#: Accounts that automatic billing tops up: it has not failed to for as long as the alert waits, and what it
#: adds lasts for a while.
TOPPED_UP = (
    f"(max by (account) ({_MOST_CREDIT})"
    f" >= on (account) max by (account) (vastai_account_autobill_threshold_dollars{{{ACCOUNT}}})"
    f" unless on (account) {AUTOBILL_RUNWAY}{{{ACCOUNT}}} < {threshold('autobill_least_seconds'):.0f})"
)
#: How long credit lasts that is topped up: as good as for ever, and longer than any other.
FOR_EVER = 10**12
#: How long each account's credit lasts.
LASTS = (
    f"(({RUNWAY}{{{ACCOUNT}}} unless on (account) {TOPPED_UP})"
    f" or {FOR_EVER} * group by (account) ({RUNWAY}{{{ACCOUNT}}} and on (account) {TOPPED_UP}))"
)


def series(name: str, *matchers: str) -> str:
    """Return a selector of a series that has the labels account and instance_id."""
    return f"{name}{{{','.join((ONE, *matchers))}}}"


def one(metric: str) -> str:
    """Return a metric once an instance, however many exporters tell of it."""
    return f"max by (account, instance_id) ({series(metric)})"


def chosen(expression: str, info: str = CHOSEN_INFO) -> str:
    """Return those instances of `expression` that the variables choose."""
    return f"({expression} and on (account, instance_id) {info})"


def unique(expression: str) -> str:
    """Return one series an instance."""
    return f"topk by (account, instance_id) (1, {expression})"


def described(expression: str, *labels: str, info: str = CHOSEN_INFO) -> str:
    """Return the chosen instances of `expression`, with labels that describe them."""
    return f"({expression} * on (account, instance_id) group_left ({', '.join(labels)}) {unique(info)})"


def with_status(expression: str) -> str:
    """Return `expression` with the label status."""
    return f"({expression} * on (account, instance_id) group_left (status) {unique(series(STATUS))})"


def named(expression: str) -> str:
    """Return `expression` with a word where the user gave no label."""
    return f'label_replace({expression}, "label", "{NO_LABEL}", "label", "")'


def stale(collectors: str) -> str:
    """Return the collectors that have found nothing new for too long, or never: as the alert has it."""
    age = f"max by (account, collector) ({AGE}{{{collectors}}})"
    interval = f"max by (account, collector) (vastai_collector_interval_seconds{{{collectors}}})"
    duration = f"max by (account, collector) (vastai_collector_duration_seconds{{{collectors}}})"
    fresh = f"{age} <= {threshold('stale_intervals'):.0f} * {interval} + 2 * {duration}"
    return f"(vastai_collector_success{{{collectors}}} unless on (account, collector) ({fresh}))"


def spent(burn: str) -> str:
    """Return the dollars that `burn` came to in the chosen time range, by sums of equal steps.

    Its panel's max_data_points says how many steps: what lived for less than one is met by chance.
    """
    return f"sum_over_time({burn}[$__range:$__interval]) * $__interval_ms / 3.6e6"


def events(counter: str, *labels: str) -> str:
    """Return how often a counter of an account rose in each step, so that all steps add up to the truth.

    `increase` doesn't see the first rise of a series that begins with it, such as the first time that an
    instance goes offline. What a series shows anew, or after a restart, counts if its exporter was there
    before.
    """
    now = f"{counter}{{{ACCOUNT}}}"
    known = f'vastai_collector_success{{{ACCOUNT},collector="instances"}} offset $__interval'
    return (
        f"max by ({', '.join(('account', *labels))}) ({now} - {now} offset $__interval >= 0"
        f" or {now} and on (job, instance, account) {known})"
    )


def without(expression: str, *others: str) -> str:
    """Return those instances of `expression` that are in none of the others."""
    return " unless on (account, instance_id) ".join((expression, *others))


def billed(way: str, span: str) -> str:
    """Return the billed traffic of one instance or more, in bytes a second; `way` is up or down."""
    return (
        "max by (account, instance_id)"
        f" (rate({series(f'vastai_instance_inet_{way}_billed_bytes_total')}[{span}]))"
    )


def traffic_cost(way: str, span: str) -> str:
    """Return what billed traffic costs, in dollars an hour."""
    price = one(f"vastai_instance_inet_{way}_cost_dollars_per_byte")
    return f"3600 * {billed(way, span)} * on (account, instance_id) {price}"
