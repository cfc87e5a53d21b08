"""Queries that honour the variables.

A query contains a variable as `${name:regex}` between backticks, so its value may contain quotes, backslashes
and line breaks. It cannot contain a backtick, and no variable offers such a value.

The variables filter by account, label and GPU model. Series of the group `vastai-recording-dashboards` have
these labels, or are joined with INFO, which has one series per instance. After a restart of Prometheus, or in
data without staleness markers, an old and a new series may both exist for a few minutes. `unique` then keeps
joins from becoming many-to-many, whatever happens to labels and statuses.
"""

from __future__ import annotations

from grafana.lib.thresholds import duration, threshold

#: label and gpu_name of each instance; label is NO_LABEL if it has none.
INFO = "account_instance_label_gpu_name:vastai_instance_info:group"
#: All descriptive labels of an instance.
DESCRIPTION = "account_instance:vastai_instance_info:topk"
STATUS = "account_instance:vastai_instance_status:topk"
STATUS_AGE = "account_instance:vastai_instance_status_age_seconds:max"
BURN = "account_instance:vastai_instance_burn_dollars_per_hour:max"
#: The burn of a serverless endpoint's workers; part of the account's burn.
ENDPOINT_BURN = "account_endpoint:vastai_instance_burn_dollars_per_hour:sum"
ACCOUNT_BURN = "account:vastai_instance_burn_dollars_per_hour:sum"
IDLE_BURN = "account_instance:vastai_instance_idle_dollars_per_hour:max"
BEST_UTIL = "account_instance:vastai_instance_gpu_util_ratio:max_recent"
TEMPERATURE = "account_instance:vastai_instance_gpu_temp_celsius:avg_recent"
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
#: The same, as counted by Vast.ai.
COUNTED_24H = "account:vastai_account_spend_dollars:sum_24h"
COUNTED_30D = "account:vastai_account_spend_dollars:sum_30d"
AGE = "account_collector:vastai_collector_age_seconds:min"
HOURLY = "account_instance_label_gpu_name:vastai_instance_spend_dollars:sum_1h"

ACCOUNT = "account=~`${account:regex}`"
CHOICE = f"{ACCOUNT},label=~`${{label:regex}}`,gpu_name=~`${{gpu_name:regex}}`"
CHOSEN_INFO = f"{INFO}{{{CHOICE}}}"
#: The one instance of the dashboard Instance.
ONE = f'{ACCOUNT},instance_id="$instance"'


def summed(what: str) -> str:
    """Return a series with the variables' labels, filtered by them; `what` is metric and unit."""
    return f"account_label_gpu_name:vastai_{what}:sum{{{CHOICE}}}"


CHOSEN_BURN = summed("instance_burn_dollars_per_hour")
CHOSEN_IDLE = summed("instance_idle_dollars_per_hour")
CHOSEN_STOPPED = summed("instance_stopped_storage_dollars_per_hour")
CHOSEN_HOURS = f"account_label_gpu_name:vastai_instance_spend_dollars:sum_1h{{{CHOICE}}}"
CHOSEN_COUNT = f"account_label_gpu_name_status:vastai_instances:count{{{CHOICE}}}"
#: 0 if the accounts have data: a known zero, as when nothing is rented, not a missing value.
NONE = f"0 * group({ACCOUNT_BURN}{{{ACCOUNT}}})"
#: The same once idle instances can be detected, which takes half an hour. If none runs, none is idle.
NONE_IDLE = (
    f"({NONE} and on () (group({BEST_UTIL}{{{ACCOUNT}}})"
    f' or group(sum(vastai_instances{{{ACCOUNT},status="running"}}) == 0)))'
)
NO_LABEL = "(no label)"
_MOST_CREDIT = f"max_over_time(vastai_account_credit_dollars{{{ACCOUNT}}}[{duration('autobill_for')}])"
#: Accounts that automatic billing tops up: it has not failed for as long as the alert waits, and a top-up
#: lasts for a while.
TOPPED_UP = (
    f"(max by (account) ({_MOST_CREDIT})"
    f" >= on (account) max by (account) (vastai_account_autobill_threshold_dollars{{{ACCOUNT}}})"
    f" unless on (account) {AUTOBILL_RUNWAY}{{{ACCOUNT}}} < {threshold('autobill_least_seconds'):.0f})"
)
#: The runway of an account with top-ups: practically forever, and longer than any other.
FOR_EVER = 10**12
#: How long each account's credit lasts.
LASTS = (
    f"(({RUNWAY}{{{ACCOUNT}}} unless on (account) {TOPPED_UP})"
    f" or {FOR_EVER} * group by (account) ({RUNWAY}{{{ACCOUNT}}} and on (account) {TOPPED_UP}))"
)


def of_accounts(name: str, *matchers: str) -> str:
    """Return a series of the selected accounts."""
    return f"{name}{{{','.join((ACCOUNT, *matchers))}}}"


def one(name: str, *matchers: str) -> str:
    """Return a series of the one instance of the dashboard Instance."""
    return f"{name}{{{','.join((ONE, *matchers))}}}"


def chosen(expression: str) -> str:
    """Return the instances of `expression` that the variables select."""
    return f"({expression} and on (account, instance_id) {CHOSEN_INFO})"


def chosen_series(name: str, *matchers: str) -> str:
    """Return a series of the selected instances."""
    return chosen(of_accounts(name, *matchers))


def once(metric: str, *matchers: str) -> str:
    """Return a metric once for each instance, whatever the number of exporters."""
    return f"max by (account, instance_id) ({of_accounts(metric, *matchers)})"


def unique(expression: str) -> str:
    """Return one series for each instance."""
    return f"topk by (account, instance_id) (1, {expression})"


def labelled(expression: str, info: str = CHOSEN_INFO) -> str:
    """Return the selected instances of `expression`, with label and GPU model."""
    return f"({expression} * on (account, instance_id) group_left (label, gpu_name) {unique(info)})"


def described(expression: str, *labels: str) -> str:
    """Return `expression` with labels of DESCRIPTION."""
    info = unique(of_accounts(DESCRIPTION))
    return f"({expression} * on (account, instance_id) group_left ({', '.join(labels)}) {info})"


def with_status(expression: str) -> str:
    """Return `expression` with the label status."""
    return f"({expression} * on (account, instance_id) group_left (status) {unique(of_accounts(STATUS))})"


def named(expression: str) -> str:
    """Return `expression` with a text in place of an empty label."""
    return f'label_replace({expression}, "label", "{NO_LABEL}", "label", "")'


def called(expression: str, label: str, value: str) -> str:
    """Return `expression` with an extra label that distinguishes rows of a table."""
    return f'label_replace({expression}, "{label}", "{value}", "", "")'


def stale(collectors: str) -> str:
    """Return the collectors without new data for too long, or ever, as in the alert."""
    return f"(vastai_collector_success{{{collectors}}} unless on (account, collector) ({fresh(collectors)}))"


def fresh(collectors: str) -> str:
    """Return the collectors whose last new data is recent enough."""
    age = f"max by (account, collector) ({AGE}{{{collectors}}})"
    interval = f"max by (account, collector) (vastai_collector_interval_seconds{{{collectors}}})"
    took = f"max by (account, collector) (vastai_collector_duration_seconds{{{collectors}}})"
    return f"{age} <= {threshold('stale_intervals'):.0f} * {interval} + 2 * {took}"


def spent(burn: str) -> str:
    """Return the dollars that `burn` adds up to in the selected time range, as a sum over equal steps.

    The panel's max_data_points sets the number of steps. An instance shorter than a step may be missed.
    """
    return f"sum_over_time({burn}[$__range:$__interval]) * $__interval_ms / 3.6e6"


def events(counter: str, *labels: str, matchers: str = ACCOUNT, step: str = "$__interval") -> str:
    """Return how often a counter of an account rose in each step; the sum over all steps is exact.

    `increase` misses the first rise of a series that starts with it, such as the first time that an instance
    goes offline. The value of a new series, or of one after a reset, counts if its exporter existed before.
    """
    now = f"{counter}{{{matchers}}}"
    known = f'vastai_collector_success{{{ACCOUNT},collector="instances"}} offset {step}'
    return (
        f"max by ({', '.join(('account', *labels))}) ({now} - {now} offset {step} >= 0"
        f" or {now} and on (job, instance, account) {known})"
    )


def steadily(pick: str, most: int, expression: str) -> str:
    """Return the same few series for the whole time range: `pick` is topk or bottomk.

    A plain topk selects again in each step, so lines of many series would start and end for no reason.
    """
    furthest = "max" if pick == "topk" else "min"
    extreme = f"{furthest}_over_time(({expression})[$__range:$__interval] @ end())"
    return f"({expression}) and {pick}({most}, {extreme})"


def in_text(expression: str, label: str, unit: str) -> str:
    """Return `expression` once for each instance and reason, with its value and unit as text in a label."""
    counted = f'count_values by (account, instance_id, reason) ("{label}", {expression})'
    return f'label_replace({counted}, "{label}", "${{1}}{unit}", "{label}", "(.*)")'


def span_in_text(expression: str, label: str) -> str:
    """Return seconds as text in a label, in minutes, hours or days."""
    return " or ".join(
        in_text(f"round({part}, {digits})", label, f" {unit}")
        for part, digits, unit in (
            (f"({expression} < 7200) / 60", 1, "min"),
            (f"({expression} >= 7200 < 172800) / 3600", 0.1, "h"),
            (f"({expression} >= 172800) / 86400", 0.1, "days"),
        )
    )
