"""The dashboard Fleet: current cost, whether it is used, and what needs attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.dashboards import events, problems
from grafana.dashboards.inventory import instances
from grafana.dashboards.problems import TROUBLES, USUAL
from grafana.dashboards.runway import credit_runway
from grafana.lib.board import Board, alerts
from grafana.lib.palette import (
    CRITICAL,
    CRITICAL_RANK,
    FILLS,
    GOOD,
    GOOD_TILE,
    INSTEAD,
    NEUTRAL,
    OFF_TILE,
    OTHER,
    PLAIN,
    STATUSES,
    WARNING,
    WASTE,
)
from grafana.lib.panels import (
    CELSIUS,
    COUNT,
    DOLLARS,
    DOLLARS_PER_HOUR,
    RATIO,
    SECONDS,
    Query,
    filled,
    limited,
    lines,
    stacked,
    stat,
    without_values,
)
from grafana.lib.promql import (
    ACCOUNT,
    AGE,
    CHOICE,
    CHOSEN_BURN,
    CHOSEN_COUNT,
    CHOSEN_IDLE,
    CHOSEN_INFO,
    LASTS,
    NONE,
    NONE_IDLE,
    fresh,
    of_accounts,
    stale,
    steadily,
    summed,
)
from grafana.lib.tables import Column, rows
from grafana.lib.thresholds import duration, span, threshold, why

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

INSTANCES = f'{ACCOUNT},collector="instances"'
ALWAYS = f"{ACCOUNT},{USUAL}"
SPEND = f"(sum({CHOSEN_BURN}) or {NONE})"
SUCCESS = "vastai_collector_success"
#: A collector without a success for this long has failed more than once.
PATIENCE = "15m"

#: The first one that applies. In order: no data, something is lost, a part has no data, a problem that can
#: wait, all is well.
UNKNOWN, BLIND, URGENT, PARTLY, AMISS, WELL = 5, 4, 3, 2, 1, 0
VERDICT = f"""\
{BLIND} * group(absent({SUCCESS}{{{INSTANCES}}}))
or {BLIND} * (group({SUCCESS}{{{INSTANCES}}}) unless on () group({fresh(INSTANCES)}))
or {URGENT} * group({TROUBLES} >= {CRITICAL_RANK})
or {URGENT} * group({LASTS} < {threshold("credit_critical_seconds"):.0f})
or {PARTLY} * group({stale(ALWAYS)})
or {PARTLY} * group(max_over_time({SUCCESS}{{{ALWAYS}}}[{PATIENCE}]) == 0)
or {UNKNOWN} * (group({of_accounts("vastai_instance_info")}) unless on () group({CHOSEN_INFO}))
or {AMISS} * group({TROUBLES})
or {AMISS} * group({LASTS} < {threshold("credit_warning_seconds"):.0f})
or {WELL} * group({SUCCESS}{{{INSTANCES}}})"""

#: Points of charts that read every instance over the whole range, which is most of the cost in large fleets.
FEW_POINTS = 120
#: GPU models in a chart.
MODELS = 3
UTIL = f"account_instance_label_gpu_name:vastai_instance_gpu_util_ratio:max{{{CHOICE}}}"
HEAT = f"account_label_gpu_name:vastai_instance_gpu_temp_celsius:max{{{CHOICE}}}"
WEIGHTED = (
    f"sum({summed('instance_busy_dollars_per_hour')}) / sum({summed('instance_measured_dollars_per_hour')})"
)


def build() -> Board:
    """Return the dashboard."""
    board = Board(
        "vastai-fleet", "Vast.ai / Fleet", "What you rent now, what it costs, and what needs attention."
    )
    board.annotate(*alerts(), *events.marks())
    _answers(board)
    board.section("Problems").row(10, (24, problems.problems()))
    board.row(8, (8, problems.by_reason()), (16, problems.idle()))
    board.section("Current spend")
    _spending(board)
    board.section("GPUs")
    _work(board)
    board.section("Events")
    board.row(7, (9, events.status_changes()), (6, events.came_and_went()), (9, events.notifications()))
    board.row(9, (24, events.latest()))
    board.section("Instances").row(14, (24, instances()))
    return board


def _answers(board: Board) -> None:
    board.row(
        5,
        (4, _fleet_status()),
        (5, _active_problems()),
        (4, _current_spend()),
        (4, credit_runway()),
        (4, _idle_spend()),
        (3, _data_age()),
    )


def _fleet_status() -> Panel:
    return filled(
        stat(
            "Fleet status",
            "For the accounts and instances selected above. Act now: a contract has ended, an instance is"
            " offline, down, outbid or too hot, a host gave up a start, or credit lasts less than"
            f" {span('credit_critical_seconds')} without auto top-up. Have a look: there is a problem below,"
            " but it can wait. Partly blind: an account has had no new data for"
            f" {threshold('stale_intervals'):.0f} intervals, or a collector has failed for {PATIENCE}."
            " Blind: no account has new data, or the exporter is not scraped. The dashboard Exporter says"
            " why. No rules yet: there are instances, but Prometheus has not evaluated the recording rules.",
            Query(VERDICT),
            unit=COUNT,
            mappings={
                str(WELL): ("All is well", GOOD_TILE),
                str(AMISS): ("Have a look", FILLS[WARNING]),
                str(PARTLY): ("Partly blind", FILLS[WARNING]),
                str(URGENT): ("Act now", FILLS[CRITICAL]),
                str(BLIND): ("Blind", FILLS[CRITICAL]),
                str(UNKNOWN): ("No rules yet", OFF_TILE),
            },
        )
    )


def _active_problems() -> Panel:
    return stat(
        "Active problems",
        "Instances with a problem, and accounts whose credit is running out or whose data is stale. The"
        " tables below list them.",
        Query(f"{problems.active()} or {NONE}"),
        unit=COUNT,
        steps=((None, GOOD), (1, WARNING)),
    )


def _current_spend() -> Panel:
    return stat(
        "Current spend",
        "An estimate of what all selected instances cost now, by status: a running instance costs its"
        " price, a stopped one its disk, an offline one nothing. Traffic is not included. A day is 24 hours"
        " at this rate; the dashboard Cost shows what was really spent.",
        Query(SPEND, "an hour"),
        Query(f"24 * {SPEND}", "a day"),
        unit=DOLLARS,
        decimals=2,
        steps=((None, NEUTRAL),),
    )


def _idle_spend() -> Panel:
    return stat(
        "Idle spend",
        "Cost of frozen instances, and of instances whose GPU stayed below"
        f" {threshold('idle_util_ratio'):.0%} for {duration('idle_window')} ({why('idle_window')})."
        f" Instances without telemetry do not count. Red from {threshold('idle_waste_dollars_per_hour'):.0f}"
        f" $/hr ({why('idle_waste_dollars_per_hour')}). It takes half an hour to detect an idle instance.",
        Query(f"sum({CHOSEN_IDLE}) or {NONE_IDLE}"),
        unit=DOLLARS_PER_HOUR,
        decimals=2,
        steps=((None, GOOD), (0.005, WASTE), (threshold("idle_waste_dollars_per_hour"), CRITICAL)),
        no_value="Not known yet",
    )


def _data_age() -> Panel:
    return stat(
        "Data age",
        "Time since the exporter last read all instances of an account; with several accounts, the longest."
        " A walk over 1,000 instances takes 44 s. Orange from 5 minutes, when the exporter starts to drop"
        " old data; red from 10 minutes.",
        Query(f"max({AGE}{{{INSTANCES}}})"),
        unit=SECONDS,
        decimals=0,
        steps=((None, GOOD), (300, WARNING), (600, CRITICAL)),
    )


def _spending(board: Board) -> None:
    def dearest(label: str, title: str) -> Panel:
        return rows(
            title,
            "Number and cost of instances now, most expensive first. The dashboard Cost shows the history.",
            Query(f"sum by ({label}) ({CHOSEN_BURN})"),
            Query(f"sum by ({label}) ({CHOSEN_COUNT})"),
            columns=(
                Column(field=label, title=title.removeprefix("By "), least=110),
                Column(field="Value #B", title="instances", unit=COUNT, decimals=0, width=80),
                Column(
                    field="Value #A", title="cost", unit=DOLLARS_PER_HOUR, decimals=2, least=110, bar=NEUTRAL
                ),
            ),
            worst_first="Value #A",
        )

    board.row(
        9,
        (8, dearest("gpu_name", "By GPU model")),
        (8, dearest("label", "By label")),
        (8, dearest("account", "By account")),
    )


def _work(board: Board) -> None:
    board.row(8, (14, _instances_by_status()), (10, _gpus())).row(
        8, (14, _gpu_utilization()), (10, _gpu_temperature())
    )


def _gpu_utilization() -> Panel:
    return lines(
        "GPU utilization",
        "Running instances with telemetry. 10 % of them are above p90, half are above the median, and 10 %"
        " are below p10. Weighted by dollars: the share of their cost that does work; the rest is paid for"
        " nothing.",
        Query(f"quantile(0.9, {UTIL})", "p90"),
        Query(f"quantile(0.5, {UTIL})", "median"),
        Query(f"quantile(0.1, {UTIL})", "p10"),
        Query(WEIGHTED, "weighted by dollars"),
        unit=RATIO,
        most=1,
        colors={"p90": NEUTRAL, "median": GOOD, "p10": WASTE, "weighted by dollars": OTHER},
    ).max_data_points(FEW_POINTS)


def _gpu_temperature() -> Panel:
    panel = without_values(
        lines(
            "GPU temperature",
            "The hottest running instance of the three hottest GPU models. The dashed lines mark"
            " where alerts begin:"
            f" {threshold('hot_celsius'):.0f} °C ({why('hot_celsius')}) and"
            f" {threshold('hot_critical_celsius'):.0f} °C ({why('hot_critical_celsius')}).",
            Query(steadily("topk", MODELS, f"max by (gpu_name) ({HEAT})"), "{{gpu_name}}"),
            unit=CELSIUS,
            decimals=0,
            least=20,
        )
    )
    return limited(
        panel,
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
            "Green: running. Blue: starting. Purple: frozen, billed in full. Grey: stopped by the user, an"
            " outbid or the host. Orange and red: unreachable. queued and boot_failed are not API statuses."
            " A queued instance starts as soon as its GPU is free (cur_state stopped, next_state running)."
            " With boot_failed, the host has given up the start, but the API's status stays the same.",
            Query(f"sum by (status) ({CHOSEN_COUNT})", "{{status}}"),
            unit=COUNT,
            decimals=0,
            colors=STATUSES | {reason: color for reason, (_, color) in INSTEAD.items()},
        )
    )


def _gpus() -> Panel:
    return lines(
        "GPUs: billed, running, idle",
        "Billed: GPUs of running, frozen, rebooting and unknown instances. The gap between billed and"
        " running does no work. Neither do idle GPUs; the first row shows their cost. Without telemetry, it"
        " is unknown whether a GPU is idle; on some hosts every other reading has no telemetry.",
        Query(f"sum({summed('gpus_paid')}) or {NONE}", "billed"),
        Query(f"sum({summed('gpus_running')}) or {NONE}", "running"),
        Query(f"sum({summed('gpus_idle')}) or {NONE_IDLE}", "idle"),
        Query(f"sum({summed('gpus_unmeasured')}) or {NONE}", "without telemetry"),
        unit=COUNT,
        decimals=0,
        colors={"billed": NEUTRAL, "running": GOOD, "idle": WASTE, "without telemetry": PLAIN},
    )
