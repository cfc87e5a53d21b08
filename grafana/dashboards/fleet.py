"""What do I pay now, is it used, and what needs a hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import Board, alerts, instance_link
from grafana.lib.palette import (
    AUTO_BILLED,
    CRITICAL,
    CRITICAL_RANK,
    GOOD,
    INSTEAD,
    NEUTRAL,
    OFF,
    PLAIN,
    REASONS,
    STATUS_WORDS,
    STATUSES,
    WARNING,
    WASTE,
    WATCH,
)
from grafana.lib.panels import (
    CELSIUS,
    COUNT,
    DOLLARS,
    DOLLARS_PER_HOUR,
    DURATION,
    RATIO,
    SECONDS,
    Column,
    Query,
    as_bars,
    bars,
    filled,
    limited,
    lines,
    rows,
    stacked,
    stat,
    without_values,
)
from grafana.lib.promql import (
    ACCOUNT,
    AGE,
    BURN,
    IDLE_BURN,
    LASTS,
    NONE,
    PAID,
    STATUS,
    STATUS_AGE,
    TROUBLE,
    chosen,
    described,
    events,
    named,
    one,
    series,
    stale,
    with_status,
    without,
)
from grafana.lib.thresholds import duration, span, threshold, why

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

COLLECTOR = f'{ACCOUNT},collector="instances"'
TROUBLES = chosen(series(TROUBLE))
SPEND = f"(sum({chosen(series(BURN))}) or {NONE})"

#: The first that holds: nothing is known, something is lost, something is amiss, all is well.
BLIND, URGENT, AMISS, WELL = 3, 2, 1, 0
VERDICT = f"""\
{BLIND} * absent(vastai_collector_success{{{COLLECTOR}}})
or {BLIND} * group({stale(COLLECTOR)})
or {URGENT} * group({TROUBLES} >= {CRITICAL_RANK})
or {URGENT} * group({LASTS} < {threshold("credit_warning_seconds"):.0f})
or {AMISS} * group({TROUBLES})
or {WELL} * group(vastai_collector_success{{{COLLECTOR}}})"""

GPUS = one("vastai_instance_num_gpus")
UTIL = chosen(series("vastai_instance_gpu_util_ratio"))
HEAT = chosen(series("vastai_instance_gpu_temp_celsius"))
NO_TELEMETRY = f"{one('vastai_instance_telemetry_missing')} == 1"
#: What the status alone doesn't tell, by the reason that does.
SPECIAL = {reason: series(TROUBLE, f'reason="{reason}"') for reason in INSTEAD}


def build() -> Board:
    """Return the dashboard."""
    board = Board("vastai-fleet", "Vast.ai / Fleet", "What I pay now, whether it is used, what needs a hand.")
    board.annotate(alerts())
    _answers(board)
    board.section("What needs a hand").row(11, (24, _troubles()))
    board.section("What happened").row(6, (14, _status_changes()), (10, _came_and_went()))
    board.section("What do I pay for, right now")
    _spending(board)
    board.section("Are the GPUs running, busy and cool")
    _work(board)
    return board


def _answers(board: Board) -> None:
    board.row(
        5,
        (4, _is_all_well()),
        (4, _need_a_hand()),
        (4, _i_pay()),
        (4, _credit_lasts()),
        (4, _idle_waste()),
        (4, _data_age()),
    )


def _is_all_well() -> Panel:
    return filled(
        stat(
            "Is all well?",
            "Act now: an instance has ended, is offline, down, outbid or too hot, its host gave up its start,"
            f" or the credit lasts less than {span('credit_warning_seconds')} and nobody tops it up. Look:"
            " something in the list below is amiss, and can wait. Blind: the exporter is not scraped, or has"
            f" read nothing for {threshold('stale_intervals'):.0f} intervals (see the dashboard Exporter);"
            " what you see may be old. It is about the accounts and instances chosen above.",
            Query(VERDICT),
            unit=COUNT,
            mappings={
                str(WELL): ("All is well", GOOD),
                str(AMISS): ("Have a look", WARNING),
                str(URGENT): ("Act now", CRITICAL),
                str(BLIND): ("Blind: no fresh data", "dark-red"),
            },
        )
    )


def _need_a_hand() -> Panel:
    return stat(
        "Need a hand",
        "Instances in the list below. What is in it and since when is said there.",
        Query(f"count(group by (account, instance_id) ({TROUBLES})) or {NONE}"),
        unit=COUNT,
        steps=((None, GOOD), (1, WARNING)),
    )


def _i_pay() -> Panel:
    return stat(
        "I pay",
        "What all chosen instances cost at this moment, by their state: running ones their price, stopped"
        " ones their disk, offline ones nothing; bandwidth is in none of it. A day is 24 hours of that; the"
        " dashboard Cost shows what was really spent.",
        Query(SPEND, "an hour"),
        Query(f"24 * {SPEND}", "a day"),
        unit=DOLLARS,
        decimals=2,
        steps=((None, NEUTRAL),),
    )


def _credit_lasts() -> Panel:
    return stat(
        "Credit lasts",
        "How long the credit of the account lasts at the present burn; of several accounts, the first to"
        f" run out. Orange below {span('credit_warning_seconds')}, red below"
        f" {span('credit_critical_seconds')}. Auto-billed: it is topped up by itself, so little is right."
        " Reserved instances spend prepaid credit of their own and don't count. It knows accounts, not labels"
        " or instances. Not known where nothing is spent, or where the account is not collected.",
        Query(f"min({LASTS})"),
        unit=SECONDS,
        decimals=1,
        mappings=AUTO_BILLED,
        steps=(
            (None, CRITICAL),
            (threshold("credit_critical_seconds"), WARNING),
            (threshold("credit_warning_seconds"), WATCH),
            (threshold("credit_info_seconds"), GOOD),
        ),
        no_value="Not known",
    )


def _idle_waste() -> Panel:
    return stat(
        "Idle waste",
        f"Dollars an hour for instances whose GPU stayed below {threshold('idle_util_ratio'):.0%} for"
        f" {duration('idle_window')} ({why('idle_window')}), and for frozen ones. Without telemetry nobody"
        " knows whether one is idle: it doesn't count. Stop or destroy them. Red"
        f" from {threshold('idle_waste_dollars_per_hour'):.0f} $/h ({why('idle_waste_dollars_per_hour')}).",
        Query(f"sum({chosen(series(IDLE_BURN))}) or {NONE}"),
        unit=DOLLARS_PER_HOUR,
        decimals=2,
        steps=(
            (None, GOOD),
            (0.005, WASTE),
            (threshold("idle_waste_dollars_per_hour"), CRITICAL),
        ),
    )


def _data_age() -> Panel:
    return stat(
        "Data age",
        "How long ago the instances of the account were last read as a whole; of several accounts, the"
        " longest. A walk over 1,000 instances takes 45 s. Orange from 5 minutes, when old data begins to"
        " leave; red from 10.",
        Query(f"max({AGE}{{{COLLECTOR}}})"),
        unit=SECONDS,
        decimals=0,
        steps=((None, GOOD), (300, WARNING), (600, CRITICAL)),
    )


def _troubles() -> Panel:
    identity = ("label", "gpu_name", "machine_id")
    ranked = described(with_status(series(TROUBLE)), *identity)

    def beside(value: str) -> str:
        """Return a value of the same instances, with the same labels, so that it goes into the same row."""
        return f"{ranked} * 0 + on (account, instance_id) group_left () {series(value)}"

    return rows(
        "Which instances need a hand, and why",
        "Worst first, 200 at most; an instance once for each reason. Click on an instance to see it. What"
        f" counts: hot from {threshold('hot_celsius'):.0f} °C ({why('hot_celsius')}), disk from"
        f" {threshold('disk_warning_ratio'):.0%}, memory from {threshold('mem_ratio'):.0%}"
        f" ({why('mem_ratio')}), starting for {threshold('trouble_stuck_seconds') / 60:.0f} minutes,"
        f" contract ending within {span('contract_warning_seconds')}"
        f" ({why('contract_warning_seconds')}). They are the alerts' thresholds without their waiting time."
        f" Outbid or stopped: an interruptible one that ran within {duration('outbid_window')}; the API shows"
        " an outbid and a stop by its user alike. Waits for its GPU: others have it; it starts, and costs,"
        " whenever that is free.",
        Query(ranked),
        Query(beside(BURN)),
        Query(beside(STATUS_AGE)),
        columns=(
            Column(field="reason", title="reason", mappings=REASONS, width=160),
            Column(field="instance_id", title="instance", link=instance_link(), width=90),
            Column(field="label", title="label"),
            Column(field="gpu_name", title="GPU model", width=110),
            Column(field="status", title="status", mappings=STATUS_WORDS, width=90),
            Column(field="Value #C", title="for", unit=DURATION, decimals=0, width=105),
            Column(field="Value #B", title="costs now", unit=DOLLARS_PER_HOUR, decimals=2, width=95),
            Column(field="machine_id", title="machine", width=75),
            Column(field="account", title="account", width=100),
        ),
        worst_first="Value #A",
        no_value="Nothing needs a hand, as far as the data go (is the first tile green?)",
    )


def _status_changes() -> Panel:
    return stacked(
        as_bars(
            without_values(
                lines(
                    "Status changes",
                    "How many instances came to a status in each step, as the exporter saw it from one"
                    " reading to the next. It follows the account only; the exporter's log has a line for"
                    " each change.",
                    Query(
                        f"sum by (to) ({events('vastai_status_changes_total', 'from', 'to')}) > 0", "{{to}}"
                    ),
                    unit=COUNT,
                    decimals=0,
                    colors=STATUSES,
                    no_value="No status changed in the chosen time range",
                )
            )
        )
    )


def _came_and_went() -> Panel:
    return as_bars(
        without_values(
            lines(
                "Instances that appeared and disappeared",
                "How many were there for the first time in each step, and how many no longer: rented and"
                " destroyed, most often. It follows the account only.",
                Query(f"sum({events('vastai_instances_appeared_total')}) > 0", "appeared"),
                Query(f"sum({events('vastai_instances_disappeared_total')}) > 0", "disappeared"),
                unit=COUNT,
                decimals=0,
                colors={"appeared": NEUTRAL, "disappeared": OFF},
                no_value="None came or went in the chosen time range",
            )
        )
    )


def _spending(board: Board) -> None:
    money = described(series(BURN), "label", "gpu_name")
    what = "At this moment; the ten dearest. The dashboard Cost shows how it came about."

    def dearest(label: str, title: str) -> Panel:
        total = f"sum by ({label}) ({money})"
        ranked = f"sort_desc(topk(10, {named(total) if label == 'label' else total}))"
        legend = f"{{{{{label}}}}}"
        return bars(title, what, Query(ranked, legend), unit=DOLLARS_PER_HOUR, color=NEUTRAL, decimals=2)

    board.row(
        7,
        (8, dearest("gpu_name", "By GPU model")),
        (8, dearest("label", "By label")),
        (8, dearest("account", "By account")),
    )


def _work(board: Board) -> None:
    board.row(8, (12, _instances_by_status()), (12, _gpus_paid_for_running_idle())).row(
        8, (12, _how_busy_are_the_gpus()), (12, _how_hot_are_the_gpus())
    )


def _how_busy_are_the_gpus() -> Panel:
    return lines(
        "How busy are the GPUs",
        "Of the running instances that have telemetry: the busiest tenth is above the upper line, half"
        " are above the middle one, and the least busy tenth is below the lower one. A low middle line"
        " means that the fleet is larger than its work.",
        Query(f"quantile(0.9, {UTIL})", "busiest tenth above"),
        Query(f"quantile(0.5, {UTIL})", "median"),
        Query(f"quantile(0.1, {UTIL})", "least busy tenth below"),
        unit=RATIO,
        most=1,
        colors={"busiest tenth above": NEUTRAL, "median": GOOD, "least busy tenth below": WASTE},
    )


def _how_hot_are_the_gpus() -> Panel:
    return limited(
        lines(
            "How hot are the GPUs",
            "Of the running instances that have telemetry. The dashed lines are where alerts begin:"
            f" {threshold('hot_celsius'):.0f} °C ({why('hot_celsius')}) and"
            f" {threshold('hot_critical_celsius'):.0f} °C ({why('hot_critical_celsius')}).",
            Query(f"max({HEAT})", "hottest"),
            Query(f"quantile(0.9, {HEAT})", "hottest tenth above"),
            Query(f"quantile(0.5, {HEAT})", "median"),
            unit=CELSIUS,
            decimals=0,
            least=20,
            colors={"hottest": WARNING, "hottest tenth above": WATCH, "median": GOOD},
        ),
        steps=(
            (None, "transparent"),
            (threshold("hot_celsius"), WARNING),
            (threshold("hot_critical_celsius"), CRITICAL),
        ),
        reach=95,
    )


def _instances_by_status() -> Panel:
    return stacked(
        lines(
            "Instances by status",
            "Green runs; blue is on its way; purple is frozen, which is paid in full; grey is stopped, by its"
            " user, an outbid or its host; orange and red can't be reached. Queued and boot failed are no"
            " statuses of the API: a queued one starts whenever its GPU is free (cur_state stopped,"
            " next_state running); where a boot failed the status stays what it was, but its host has"
            " given up.",
            Query(
                f"count by (status) ({chosen(without(series(STATUS), *SPECIAL.values()))})"
                f" or 0 * group by (status) (vastai_instances{{{ACCOUNT}}})",
                "{{status}}",
            ),
            *(Query(f"count({chosen(found)})", INSTEAD[reason][0]) for reason, found in SPECIAL.items()),
            unit=COUNT,
            decimals=0,
            colors=STATUSES | dict(INSTEAD.values()),
        )
    )


def _gpus_paid_for_running_idle() -> Panel:
    return lines(
        "GPUs: paid for, running, idle",
        "Paid for are those of running, frozen, rebooting and unknown instances. The gap between paid for"
        " and running does no work; neither do the idle ones, which the first row counts in dollars. Of those"
        " without telemetry nobody knows; on some hosts every second reading has none.",
        Query(f"sum({chosen(GPUS)} and on (account, instance_id) {STATUS}{{{PAID}}}) or {NONE}", "paid for"),
        Query(
            f'sum({chosen(GPUS)} and on (account, instance_id) {STATUS}{{status="running"}}) or {NONE}',
            "running",
        ),
        Query(f"sum({chosen(GPUS)} and on (account, instance_id) {IDLE_BURN}) or {NONE}", "idle"),
        Query(
            f"sum({chosen(GPUS)} and on (account, instance_id) {NO_TELEMETRY}) or {NONE}", "without telemetry"
        ),
        unit=COUNT,
        decimals=0,
        colors={"paid for": NEUTRAL, "running": GOOD, "idle": WASTE, "without telemetry": PLAIN},
    )
