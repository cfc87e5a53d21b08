"""Problems and idle GPUs: tables of the dashboard Fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import instance_link
from grafana.lib.palette import ACCOUNT_REASONS, REASONS, STATUS_WORDS
from grafana.lib.panels import COUNT, DOLLARS_PER_HOUR, RATIO, SECONDS, Query
from grafana.lib.promql import (
    ACCOUNT,
    AGE,
    BEST_UTIL,
    BURN,
    DISK_USED,
    IDLE_BURN,
    LASTS,
    MEMORY_USED,
    REMAINING,
    STATUS_AGE,
    TEMPERATURE,
    TROUBLE,
    called,
    chosen,
    chosen_series,
    described,
    in_text,
    labelled,
    of_accounts,
    once,
    span_in_text,
    stale,
    with_status,
)
from grafana.lib.tables import Column, rows
from grafana.lib.thresholds import duration, span, threshold, why

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

#: Collectors that are on by default.
USUAL = 'collector=~"instances|account"'
#: The search for the last work of an idle GPU covers one day.
MOST_IDLE = 86_400
#: More dollars per hour than any instance costs, to sort by rank and then by cost.
MILLION = 1e6

#: Prefix of every runbook; the table leaves it out.
PREFIX = "Vastai"
RUNBOOKS = {
    "expired": "VastaiContractExpired",
    "offline": "VastaiInstanceOffline",
    "down": "VastaiInstanceDown",
    "boot_failed": "VastaiInstanceBootFailed",
    "outbid": "VastaiInstanceOutbid",
    "hot": "VastaiGpuHot",
    "full": "VastaiDiskFull",
    "stuck": "VastaiInstanceStuck",
    "ending": "VastaiContractEnding",
    "queued": "VastaiInstanceQueued",
    "memory": "VastaiMemoryHigh",
    "idle": "VastaiInstanceIdle",
    "credit": "VastaiCreditRunningOut",
    "stale": "VastaiDataStale",
}
#: The value from which each problem counts; missing if it counts at once.
LIMITS = {
    "down": f"{threshold('trouble_down_seconds') / 60:.0f} min",
    "boot_failed": f"{threshold('trouble_down_seconds') / 60:.0f} min",
    "hot": f"{threshold('hot_celsius'):.0f} \u00b0C",
    "full": f"{threshold('disk_warning_ratio'):.0%}",
    "stuck": f"{threshold('trouble_stuck_seconds') / 60:.0f} min",
    "ending": span("contract_warning_seconds"),
    "memory": f"{threshold('mem_ratio'):.0%}",
    "idle": f"{threshold('idle_util_ratio'):.0%}",
    "credit": span("credit_warning_seconds"),
    "stale": f"{threshold('stale_intervals'):.0f} intervals",
}
#: Reasons whose value is the duration.
SINCE = ("offline", "down", "boot_failed", "outbid", "stuck", "queued")

TROUBLES = chosen_series(TROUBLE)
#: Accounts whose credit is running out, and accounts without new data.
POOR = f"min by (account) ({LASTS} < {threshold('credit_warning_seconds'):.0f})"
SILENT = (
    f"max by (account) ({of_accounts(AGE, USUAL)} and on (account, collector) {stale(f'{ACCOUNT},{USUAL}')})"
)


def active() -> str:
    """Return the number of instances and accounts with a problem."""
    instances = f"count(group by (account, instance_id) ({TROUBLES}))"
    accounts = f"count({POOR} or {SILENT})"
    return f"sum({called(instances, 'of', 'instances')} or {called(accounts, 'of', 'accounts')})"


def _beside(reasons: str, value: str) -> str:
    """Return a value of the instances with one of the reasons, labelled with the reason."""
    having = of_accounts(TROUBLE, f'reason=~"{reasons}"')
    return f"({having} * 0 + on (account, instance_id) group_left () {value})"


def _values() -> str:
    """Return all problems of instances, each with its value as text."""
    return " or ".join(
        (
            in_text(f"round({_beside('hot', of_accounts(TEMPERATURE))})", "value", " \u00b0C"),
            in_text(f"round(100 * {_beside('full', of_accounts(DISK_USED))})", "value", " %"),
            in_text(f"round(100 * {_beside('memory', of_accounts(MEMORY_USED))})", "value", " %"),
            in_text(f"round(100 * {_beside('idle', of_accounts(BEST_UTIL))})", "value", " %"),
            span_in_text(_beside("ending", of_accounts(REMAINING)), "value"),
            span_in_text(f"(-1 * {_beside('expired', of_accounts(REMAINING))})", "value"),
            span_in_text(_beside("|".join(SINCE), of_accounts(STATUS_AGE)), "value"),
        )
    )


def problems() -> Panel:
    """Return the table of all problems, with value, limit and runbook."""
    # A problem may have no value, such as a frozen instance that counts as idle.
    reason = f"({_values()} or on (account, instance_id, reason) {of_accounts(TROUBLE)})"
    identity = described(labelled(with_status(reason)), "machine_id")
    ranked = (
        f"({of_accounts(TROUBLE)} + on (account, instance_id) group_left () {of_accounts(BURN)} /"
        f" {MILLION:.0f} or {of_accounts(TROUBLE)})"
    )

    def valued(value: str, on: str) -> str:
        return f"({identity} * 0 + on ({on}) group_left () {value})"

    def marked(expression: str) -> str:
        """Return `expression` with copies of the reason for the columns limit and runbook."""
        for copy in ("limit", "runbook"):
            expression = f'label_replace({expression}, "{copy}", "$1", "reason", "(.*)")'
        return expression

    accounts = " or ".join(
        span_in_text(called(called(expression, "reason", word), "instance_id", ""), "value")
        for word, expression in (("credit", POOR), ("stale", SILENT))
    )
    words = REASONS | ACCOUNT_REASONS
    return rows(
        "Problems by instance",
        "Instances and accounts that need attention, worst first, then most expensive first; at most 200."
        " An instance has one row per reason. Value: the measured value, or how long the problem has"
        " lasted. Limit: where the problem begins; this is the alert's threshold without its waiting time"
        f" (hot: {why('hot_celsius')}; memory: {why('mem_ratio')}; contract:"
        f" {why('contract_warning_seconds')}). Outbid or stopped: an interruptible instance that ran within"
        f" {duration('outbid_window')}; the API does not tell an outbid from a stop by the user. Click an"
        " instance to open it, or a runbook to read it.",
        Query(marked(f"{valued(ranked, 'account, instance_id, reason')} or 100 * ({accounts})")),
        Query(marked(valued(of_accounts(BURN), "account, instance_id"))),
        columns=(
            Column(field="reason", title="reason", mappings=words, width=130),
            Column(field="value", title="value", width=70),
            Column(
                field="limit",
                title="limit",
                width=80,
                mappings={name: (LIMITS.get(name, "\u2013"), "text") for name in words},
            ),
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label", least=95),
            Column(field="gpu_name", title="GPU model", least=95),
            Column(field="status", title="status", mappings=STATUS_WORDS, width=90),
            Column(field="Value #B", title="cost", unit=DOLLARS_PER_HOUR, decimals=2, width=85),
            Column(field="machine_id", title="machine", width=70),
            Column(field="account", title="account", least=90),
            Column(
                field="runbook",
                title="runbook",
                width=140,
                mappings={name: (RUNBOOKS[name].removeprefix(PREFIX), "text") for name in words},
                link=("Runbook", f"{duration('runbook_base')}/{PREFIX}${{__value.text}}.md"),
            ),
        ),
        worst_first="Value #A",
        no_value="No known problems. Check that Fleet status is green.",
    )


def by_reason() -> Panel:
    """Return the number of problems by reason, and their cost."""
    return rows(
        "Problems by reason",
        "Number of instances with each problem, and their cost per hour now; worst first. The alerts'"
        " runbooks say what to do.",
        Query(f"max by (reason) ({TROUBLES})"),
        Query(f"count by (reason) ({TROUBLES})"),
        Query(
            f"sum by (reason) ({TROUBLES} * 0 + on (account, instance_id) group_left () {of_accounts(BURN)})"
        ),
        columns=(
            Column(field="reason", title="reason", mappings=REASONS),
            Column(field="Value #B", title="instances", unit=COUNT, decimals=0, width=85),
            Column(field="Value #C", title="cost", unit=DOLLARS_PER_HOUR, decimals=2, width=95),
        ),
        worst_first="Value #A",
        no_value="No known problems",
    )


def idle() -> Panel:
    """Return the idle instances, their cost, and how long they have been idle."""
    cost = labelled(of_accounts(IDLE_BURN))
    busy = f"{of_accounts(BEST_UTIL)} >= {threshold('idle_util_ratio'):g}"
    now = f"and on (account, instance_id) {of_accounts(IDLE_BURN)}"
    worked = f"time() - max_over_time(timestamp({busy})[1d:15m]) {now}"
    age = f"clamp_max({of_accounts(STATUS_AGE)}, {MOST_IDLE}) {now}"
    since = f"(({worked}) < on (account, instance_id) ({age})) or on (account, instance_id) ({age})"
    return rows(
        "Idle GPUs",
        "Instances that cost money while their GPU does nothing, most expensive first; at most 500. Idle"
        f" means below {threshold('idle_util_ratio'):.0%} for {duration('idle_window')}"
        f" ({why('idle_window')}), or frozen. Idle for: time since the GPU last worked, or since the"
        " instance started to run; at most a day. Best: the highest utilization within"
        f" {duration('idle_window')}. Stop or destroy these instances.",
        Query(f"topk(500, {cost})"),
        Query(chosen(f"({since})")),
        Query(chosen(f"({once(BEST_UTIL)} and on (account, instance_id) {of_accounts(IDLE_BURN)})")),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label", least=120),
            Column(field="gpu_name", title="GPU model", least=105),
            Column(field="Value #A", title="cost", unit=DOLLARS_PER_HOUR, decimals=2, width=90),
            Column(field="Value #B", title="idle for", unit=SECONDS, decimals=1, width=90),
            Column(field="Value #C", title="best", unit=RATIO, decimals=0, width=60),
            Column(field="account", title="account", least=90),
        ),
        worst_first="Value #A",
        most=500,
        no_value="No known idle GPUs",
    )
