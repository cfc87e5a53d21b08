"""Compares the three sources of spend: estimated, counted and billed.

Estimated is the cost of instances by their status at each moment, without traffic. Counted comes from
Vast.ai's counter of the account, in steps of a few minutes, and includes everything. Billed is what the
collector `charges` reads, for whole days in UTC, with discounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import instance_link
from grafana.lib.palette import CRITICAL, GOOD, NEUTRAL, OTHER, PLAIN, WARNING, WATCH
from grafana.lib.panels import (
    DOLLARS,
    DOLLARS_PER_HOUR,
    DURATION,
    RATIO,
    Query,
    as_bars,
    lines,
    marked,
    stacked,
)
from grafana.lib.promql import (
    CHOSEN_BURN,
    CHOSEN_HOURS,
    NONE,
    called,
    chosen,
    labelled,
    of_accounts,
    once,
)
from grafana.lib.tables import Column, rows

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

NOT_KNOWN = "Nothing was spent, or there is no data for the selected range. The dashboard Exporter says why."
NOT_BILLED = "No data, or the collector charges is off (docs/configuration.md)"
COUNTER = of_accounts("vastai_account_spend_dollars_total")
#: The same, with one sample an hour.
HOURLY_COUNTER = of_accounts("account:vastai_account_spend_dollars_total:max")
CHARGES = of_accounts("vastai_charges_dollars")
#: The counter only grows, so its minimum over a range is its value at the start.
COUNTED = (
    f"sum(max by (account) (max_over_time({COUNTER}[$__range]))"
    f" - on (account) min by (account) (min_over_time({COUNTER}[$__range])))"
)
#: Longer than the steps of Vast.ai's counter.
WINDOW = "1h"
#: With less than a whole window of data, or data that ended within it, the rate would be too low.
COUNTED_RATE = (
    f"3600 * sum(max by (account) (rate({COUNTER}[{WINDOW}]))"
    f" and on (account) max by (account) ({COUNTER})"
    f" and on (account) max by (account) ({COUNTER} offset {WINDOW}))"
)
ESTIMATE = f"(sum({CHOSEN_BURN}) or {NONE})"


#: Keys in the right sort order, and their texts.
PERIODS = {"1": "day", "2": "7 days", "3": "30 days"}
#: The windows of charges in words.
WINDOWS = {
    window: (text, PLAIN)
    for window, text in {
        "today": "today",
        "yesterday": "yesterday",
        "7d": "7 days",
        "month": "this month",
        "last_month": "last month",
    }.items()
}
HOUR_DAY_MONTH = {"1": "hour", "2": "24 hours", "3": "30 days"}


def _traffic(way: str) -> str:
    price = once(f"vastai_instance_inet_{way}_cost_dollars_per_byte")
    counter = of_accounts(f"vastai_instance_inet_{way}_billed_bytes_total")
    billed = f"max by (account, instance_id) (rate({counter}[{WINDOW}]) > 0)"
    return f"3600 * sum({chosen(f'({billed} * on (account, instance_id) {price})')})"


def rates() -> Panel:
    """Return estimate, counter and bill in dollars per hour."""
    yesterday = f'sum(max by (account, source, item) ({CHARGES[:-1]},window="yesterday"}})) / 24'
    return lines(
        "Spend rate: estimated, counted, billed",
        "Estimated: what the selected instances cost by status, without traffic. Counted: everything that"
        f" the whole accounts spent by Vast.ai's counter, as a rate over {WINDOW}, so it lags. Billed: the"
        " mean of yesterday (UTC), from the bill. If everything is selected and counted stays above"
        " estimated, you pay for something outside the estimate, such as traffic or volumes.",
        Query(ESTIMATE, "estimated"),
        Query(COUNTED_RATE, "counted"),
        Query(yesterday, "billed, mean of yesterday"),
        unit=DOLLARS_PER_HOUR,
        colors={"estimated": NEUTRAL, "counted": WATCH, "billed, mean of yesterday": OTHER},
        no_value=NOT_KNOWN,
    )


def traffic_costs() -> Panel:
    """Return the cost of billed traffic."""
    return stacked(
        lines(
            "Traffic cost",
            f"Billed traffic of the selected instances at their machines' prices, as a rate over {WINDOW}."
            " Counted and billed include it; the estimate does not.",
            Query(_traffic("down"), "download"),
            Query(_traffic("up"), "upload"),
            unit=DOLLARS_PER_HOUR,
            colors={"download": NEUTRAL, "upload": WATCH},
            no_value="No traffic was billed in the selected time range",
        ).max_data_points(60)
    )


def changes() -> Panel:
    """Return the cost of the last hour, day and month, and of the same periods a week before."""

    def of(past: str) -> str:
        parts = (
            ("1", f"sum(sum_over_time({CHOSEN_BURN}[1h:2m]{past})) / 30"),
            ("2", f"sum(sum_over_time({CHOSEN_HOURS}[1d]{past}))"),
            ("3", f"sum(sum_over_time({CHOSEN_HOURS}[30d]{past}))"),
        )
        return " or ".join(called(expression, "period", period) for period, expression in parts)

    now, before = of(""), of(" offset 1w")
    return rows(
        "Spend vs. a week before",
        "Estimated spend of the last hour, 24 hours and 30 days, and of the same periods one week earlier."
        " Days and months are sums of whole hours.",
        Query(now),
        Query(before),
        Query(f"({now}) / on (period) ({before} > 0) - 1"),
        columns=(
            Column(
                field="period",
                title="last",
                mappings={key: (text, PLAIN) for key, text in HOUR_DAY_MONTH.items()},
            ),
            Column(field="Value #A", title="spend", unit=DOLLARS, decimals=2),
            Column(field="Value #B", title="before", unit=DOLLARS, decimals=2),
            Column(
                field="Value #C",
                title="change",
                unit=RATIO,
                decimals=0,
                width=65,
                steps=((None, GOOD), (0.25, WATCH), (1, WARNING)),
            ),
        ),
        worst_first="period",
        ascending=True,
        no_value=NOT_KNOWN,
    )


def compared() -> Panel:
    """Return the spend from all three sources."""

    def estimated(span: str) -> str:
        return f"sum(sum_over_time({CHOSEN_HOURS}[{span}]))"

    def counted(span: str) -> str:
        now = f"max by (account) ({COUNTER})"
        return f"sum({now} - on (account) min by (account) (min_over_time({HOURLY_COUNTER}[{span}])))"

    def billed(window: str) -> str:
        return f'sum(max by (account, source, item) ({CHARGES[:-1]},window="{window}"}}))'

    def periods(*expressions: str) -> str:
        found = zip(PERIODS, expressions, strict=True)
        return " or ".join(called(expression, "period", period) for period, expression in found)

    return rows(
        "Estimated, counted, billed",
        "Estimated and counted: the last 24 hours, 7 days and 30 days. Billed: yesterday, the last 7 whole"
        " days and last month (UTC), including traffic, discounts and volumes. Counted and billed cover"
        " whole accounts.",
        Query(periods(estimated("1d"), estimated("7d"), estimated("30d"))),
        Query(periods(counted("1d"), counted("7d"), counted("30d"))),
        Query(periods(billed("yesterday"), billed("7d"), billed("last_month"))),
        columns=(
            Column(
                field="period",
                title="last",
                least=70,
                mappings={key: (text, PLAIN) for key, text in PERIODS.items()},
            ),
            Column(field="Value #A", title="estimated", unit=DOLLARS, decimals=2),
            Column(field="Value #B", title="counted", unit=DOLLARS, decimals=2),
            Column(field="Value #C", title="billed", unit=DOLLARS, decimals=2),
        ),
        worst_first="period",
        ascending=True,
        no_value=NOT_KNOWN,
    )


def billed_by_item() -> Panel:
    """Return the bill by window and item."""

    def of(matcher: str) -> str:
        return f"sum by (window) (max by (account, window, source, item) ({CHARGES[:-1]}{matcher}}}))"

    return rows(
        "Billed, by item",
        "What Vast.ai billed the whole accounts, whatever label or GPU model is selected. Days are whole"
        " days in UTC; 7 days are the last 7 whole ones. Traffic is download plus upload. Total includes"
        " volumes, serverless and everything else.",
        Query(of("")),
        Query(of(',item="gpu"')),
        Query(of(',item="disk"')),
        Query(of(',item=~"bandwidth_.+"')),
        columns=(
            Column(field="window", title="window", mappings=WINDOWS, width=80),
            Column(field="Value #B", title="GPU", unit=DOLLARS, decimals=1, least=55),
            Column(field="Value #C", title="disk", unit=DOLLARS, decimals=1, least=55),
            Column(field="Value #D", title="traffic", unit=DOLLARS, decimals=1, least=55),
            Column(field="Value #A", title="total", unit=DOLLARS, decimals=1, least=55),
        ),
        worst_first="Value #A",
        ascending=True,
        no_value=NOT_BILLED,
    )


DAY = f"sum(sum_over_time({CHOSEN_HOURS}[1d] offset -1d))"
COUNTED_DAY = (
    f"sum(max by (account) (max_over_time({HOURLY_COUNTER}[1d] offset -1d))"
    f" - on (account) min by (account) (min_over_time({HOURLY_COUNTER}[25h] offset -1d)))"
)
DAYS = (
    "The last 30 days (UTC), whatever time range is selected; the last day is not over yet. Estimated: the"
    " selected instances, without traffic. Counted: whole accounts, by Vast.ai's counter."
)


def daily_bars() -> Panel:
    """Return the cost of each day, as bars."""
    return marked(
        as_bars(
            lines(
                "Daily spend",
                DAYS,
                Query(DAY, "estimated"),
                Query(COUNTED_DAY, "counted"),
                unit=DOLLARS,
                colors={"estimated": NEUTRAL, "counted": WATCH},
                no_value=NOT_KNOWN,
            )
        )
        .interval("1d")
        .time_from("30d"),
        "counted",
    )


def daily_table() -> Panel:
    """Return the same as a table, for CSV."""
    return (
        rows(
            "Daily spend, as a table",
            f"{DAYS} To download it as CSV, open the panel's menu and choose Inspect, then Data.",
            Query(DAY),
            Query(COUNTED_DAY),
            columns=(
                Column(field="Time", title="day (UTC)", unit="time:YYYY-MM-DD", least=110),
                Column(field="Value #A", title="estimated", unit=DOLLARS, decimals=2),
                Column(field="Value #B", title="counted", unit=DOLLARS, decimals=2),
            ),
            worst_first="Time",
            over_time=True,
            no_value=NOT_KNOWN,
        )
        .interval("1d")
        .time_from("30d")
    )


def price_rises() -> Panel:
    """Return the announced price increases."""
    old, new = (
        once("vastai_price_increase_old_gpu_dollars_per_hour"),
        once("vastai_price_increase_new_gpu_dollars_per_hour"),
    )
    end = once("vastai_price_increase_contract_end_timestamp_seconds")
    return rows(
        "Price increases ahead",
        "Instances whose host wants to raise the GPU price: the old and the new price of one GPU. Needs the"
        " collector price_increases.",
        Query(labelled(new)),
        Query(chosen(old)),
        Query(chosen(f"({new} / on (account, instance_id) ({old} > 0) - 1)")),
        Query(chosen(f"({end} - time())")),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label", least=65),
            Column(field="Value #B", title="old", unit=DOLLARS_PER_HOUR, decimals=2, width=80),
            Column(field="Value #A", title="new", unit=DOLLARS_PER_HOUR, decimals=2, width=80),
            Column(
                field="Value #C",
                title="rise",
                unit=RATIO,
                decimals=0,
                width=50,
                steps=((None, GOOD), (0.1, WATCH), (0.25, WARNING), (0.5, CRITICAL)),
            ),
            Column(field="Value #D", title="ends in", unit=DURATION, decimals=0, least=70),
            Column(field="account", title="account", least=70),
        ),
        worst_first="Value #C",
        no_value="No price increases, or the collector price_increases is off (docs/configuration.md)",
    )
