"""The dashboard Cost: spend, what it is for, waste, and how long the credit lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.dashboards import bill, credit, market, spenders
from grafana.dashboards.runway import credit_runway
from grafana.lib.board import Board, alerts
from grafana.lib.palette import GOOD, NEUTRAL, OFF, WASTE
from grafana.lib.panels import DOLLARS, DOLLARS_PER_HOUR, Query, lines, stacked, stat, without_values
from grafana.lib.promql import (
    ACCOUNT,
    ACCOUNT_BURN,
    CHOSEN_BURN,
    CHOSEN_IDLE,
    CHOSEN_STOPPED,
    NONE,
    NONE_IDLE,
    spent,
)
from grafana.lib.thresholds import duration, threshold, why

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

SPENT = spent(CHOSEN_BURN)
#: 0 if the accounts have data at any time in the range.
NONE_EVER = f"0 * group(present_over_time({ACCOUNT_BURN}{{{ACCOUNT}}}[$__range]))"
#: Vast.ai's month for disk prices.
MONTH_HOURS = 720
STEPS = 500
#: Series of a chart that have their own colour.
MOST = 9
IN_RANGE = f"Sum over the selected time range, in {STEPS} steps; an estimate by status, without traffic."
KNOWN_HOURS = (
    f"(count_over_time(group({ACCOUNT_BURN}{{{ACCOUNT}}})[$__range:$__interval]) * $__interval_ms / 3.6e6)"
)


def build() -> Board:
    """Return the dashboard."""
    board = Board(
        "vastai-cost",
        "Vast.ai / Cost",
        "What you spend, what for, and what is wasted.",
        span="24h",
        refresh="5m",
    )
    board.annotate(*alerts())
    board.row(4, (8, _current_hourly_cost()), (8, _spend()), (8, _projected_monthly_cost()))
    board.row(4, (8, _idle_spend()), (8, _stopped_storage()), (8, credit_runway()))
    board.section("Estimated, counted, billed")
    board.row(8, (14, bill.rates()), (10, bill.traffic_costs()))
    board.row(7, (8, bill.changes()), (8, bill.compared()), (8, bill.billed_by_item()))
    board.row(9, (14, bill.daily_bars()), (10, bill.daily_table()))
    board.section("Cost over time")
    board.row(
        10,
        (8, _over_time("label", "By label")),
        (8, _over_time("gpu_name", "By GPU model")),
        (8, _over_time("account", "By account")),
    )
    board.section("Top spenders")
    board.row(10, (14, spenders.by_label()), (10, spenders.by_gpu_model())).row(
        10, (24, spenders.instances())
    )
    board.section("Waste and prices")
    board.row(9, (12, _wasted_spend()), (12, spenders.unused_disk()))
    board.row(9, (12, spenders.prices()), (12, bill.price_rises()))
    board.section("Market")
    board.row(8, (13, market.above_market()), (11, market.offers()))
    board.section("Credit and contracts")
    board.row(8, (12, credit.over_time()), (12, credit.accounts()))
    board.row(7, (14, credit.spend_by_account()), (10, market.budgets()))
    board.row(9, (14, credit.contracts()), (10, credit.reserved()))
    return board


def _spend() -> Panel:
    return stat(
        "Spend (range)",
        f"Estimated: {IN_RANGE[0].lower()}{IN_RANGE[1:]} Times without data count as nothing. Counted: what"
        " was spent in that time by Vast.ai's counter, including traffic and gaps. It covers whole"
        " accounts, whatever label or GPU model is selected.",
        Query(f"sum({SPENT}) or {NONE_EVER}", "estimated"),
        Query(bill.COUNTED, "counted"),
        unit=DOLLARS,
        decimals=2,
        steps=((None, NEUTRAL),),
    ).max_data_points(STEPS)


def _projected_monthly_cost() -> Panel:
    return _dollars(
        "Projected monthly cost",
        f"Estimated: what {MONTH_HOURS} hours cost at the average of the selected time range, without"
        " traffic. Only hours with data count. Select a typical range, such as a week.",
        f"{MONTH_HOURS} * (sum({SPENT}) or {NONE_EVER}) / {KNOWN_HOURS}",
    )


def _current_hourly_cost() -> Panel:
    return stat(
        "Current hourly cost",
        "Estimated: what all selected instances cost now by status, without traffic. Counted: what the"
        " whole accounts spent by Vast.ai's counter, as a rate over the last hour, including traffic.",
        Query(bill.ESTIMATE, "estimated"),
        Query(bill.COUNTED_RATE, "counted"),
        unit=DOLLARS,
        decimals=2,
        steps=((None, NEUTRAL),),
    )


def _idle_spend() -> Panel:
    return _dollars(
        "Idle spend (range)",
        f"{IN_RANGE} An instance is idle if its GPU stayed below {threshold('idle_util_ratio'):.0%} for"
        f" {duration('idle_window')}, or if it is frozen. Instances without telemetry do not count.",
        f"sum({spent(CHOSEN_IDLE)}) or {NONE_IDLE}",
        (None, GOOD),
        (0.005, WASTE),
    )


def _stopped_storage() -> Panel:
    return _dollars(
        "Stopped storage (range)",
        f"{IN_RANGE} You pay for the disk of a stopped instance until you destroy the instance.",
        f"sum({spent(CHOSEN_STOPPED)}) or {NONE_EVER}",
        (None, OFF),
    )


def _dollars(title: str, about: str, expression: str, *colors: tuple[float | None, str]) -> Panel:
    steps = colors or ((None, NEUTRAL),)
    panel = stat(
        title, about, Query(expression), unit=DOLLARS, decimals=2, steps=steps, no_value="Not known yet"
    )
    return panel.max_data_points(STEPS)


def _over_time(label: str, title: str) -> Panel:
    """Return the burn by a label: the most expensive in the whole range, and the sum of the others."""
    burn = f"sum by ({label}) ({CHOSEN_BURN})"
    dearest = f"topk({MOST}, sum by ({label}) (sum_over_time({CHOSEN_BURN}[$__range:$__interval] @ end())))"
    return stacked(
        without_values(
            lines(
                title,
                f"Dollars per hour. The {MOST} with the highest cost in the selected range have their own"
                " colour; the rest are summed as others.",
                Query(f"{burn} and on ({label}) {dearest}", f"{{{{{label}}}}}"),
                Query(f"sum({burn} unless on ({label}) {dearest})", "others"),
                unit=DOLLARS_PER_HOUR,
                colors={"others": OFF},
                no_value=bill.NOT_KNOWN,
            )
        )
    )


def _wasted_spend() -> Panel:
    return stacked(
        lines(
            "Wasted spend",
            "Idle: running while the GPU does nothing, or frozen. Stopped: the disk, until you destroy the"
            f" instance. An alert fires from {threshold('idle_waste_dollars_per_hour'):.0f} $/hr of idle"
            f" GPUs ({why('idle_waste_dollars_per_hour')}).",
            Query(f"sum({CHOSEN_IDLE}) or {NONE_IDLE}", "idle GPUs"),
            Query(f"sum({CHOSEN_STOPPED}) or {NONE}", "stopped storage"),
            unit=DOLLARS_PER_HOUR,
            colors={"idle GPUs": WASTE, "stopped storage": OFF},
            no_value=bill.NOT_KNOWN,
        )
    )
