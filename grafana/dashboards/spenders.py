"""The most expensive labels and instances, unused disks, and high prices: tables of the dashboard Cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.dashboards.bill import NOT_KNOWN
from grafana.lib.board import instance_link
from grafana.lib.palette import GOOD, NEUTRAL, WARNING, WATCH
from grafana.lib.panels import DOLLARS, DOLLARS_PER_HOUR, RATIO, Query
from grafana.lib.promql import (
    CHOICE,
    CHOSEN_BURN,
    CHOSEN_HOURS,
    DISK_USED,
    GPU_PRICE,
    HOURLY,
    MEDIAN_GPU_PRICE,
    STATUS,
    chosen,
    described,
    labelled,
    named,
    of_accounts,
    once,
    spent,
)
from grafana.lib.tables import Column, rows

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

STEPS = 500
MONTH_HOURS = 720


def by_label() -> Panel:
    """Return the cost of each label."""

    def billed(window: str) -> str:
        charges = of_accounts("vastai_label_charges_dollars", f'window="{window}"')
        known = f"sum by (label) (last_over_time({CHOSEN_HOURS}[30d]))"
        return f"sum by (label) ({named(f'max by (account, label) ({charges})')}) and on (label) {known}"

    return rows(
        "Spend by label",
        "Estimated by status, without traffic, for the selected time range, 24 hours and 30 days. Billed:"
        " the last 7 whole days and this month (UTC), by the label of the instance, including traffic;"
        " needs the collector charges. After a change of label, each label keeps the cost of its own time.",
        Query(f"sum by (label) ({spent(CHOSEN_BURN)})"),
        Query(f"sum by (label) (sum_over_time({CHOSEN_HOURS}[1d]))"),
        Query(f"sum by (label) (sum_over_time({CHOSEN_HOURS}[30d]))"),
        Query(billed("7d")),
        Query(billed("month")),
        columns=(
            Column(field="label", title="label", least=120),
            Column(field="Value #A", title="range", unit=DOLLARS, decimals=1, least=90, bar=NEUTRAL),
            Column(field="Value #B", title="24 hours", unit=DOLLARS, decimals=1, width=80),
            Column(field="Value #C", title="30 days", unit=DOLLARS, decimals=1, width=80),
            Column(field="Value #D", title="billed, 7 d", unit=DOLLARS, decimals=1, width=85),
            Column(field="Value #E", title="billed, month", unit=DOLLARS, decimals=1, width=105),
        ),
        worst_first="Value #A",
        no_value=NOT_KNOWN,
    ).max_data_points(STEPS)


def by_gpu_model() -> Panel:
    """Return the cost of each GPU model."""
    return rows(
        "Spend by GPU model",
        "Estimated by status, without traffic, for the selected time range, 24 hours and 30 days.",
        Query(f"sum by (gpu_name) ({spent(CHOSEN_BURN)})"),
        Query(f"sum by (gpu_name) (sum_over_time({CHOSEN_HOURS}[1d]))"),
        Query(f"sum by (gpu_name) (sum_over_time({CHOSEN_HOURS}[30d]))"),
        columns=(
            Column(field="gpu_name", title="GPU model", least=85),
            Column(field="Value #A", title="range", unit=DOLLARS, decimals=1, least=90, bar=NEUTRAL),
            Column(field="Value #B", title="24 hours", unit=DOLLARS, decimals=1, width=80),
            Column(field="Value #C", title="30 days", unit=DOLLARS, decimals=1, width=80),
        ),
        worst_first="Value #A",
        no_value=NOT_KNOWN,
    ).max_data_points(STEPS)


def instances() -> Panel:
    """Return the most expensive instances."""
    hours = f"sum_over_time({HOURLY}{{{CHOICE}}}[$__range])"
    return rows(
        "Top instances by spend",
        "Estimated: the 100 instances with the highest cost in the hours that ended in the selected time"
        " range, including destroyed ones. An instance whose label changed has a row per label. Costs now:"
        " empty if the instance is gone. Click an instance to open it.",
        Query(f"topk(100, {hours})"),
        Query(labelled(once("vastai_instance_burn_dollars_per_hour"))),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=90),
            Column(field="label", title="label", least=130),
            Column(field="gpu_name", title="GPU model", least=85),
            Column(field="account", title="account"),
            Column(field="Value #A", title="spend", unit=DOLLARS, decimals=2, least=110, bar=NEUTRAL),
            Column(field="Value #B", title="costs now", unit=DOLLARS_PER_HOUR, decimals=2, width=100),
        ),
        worst_first="Value #A",
        most=100,
        no_value="No hour ended in the selected time range, or there is no data for it",
    )


def unused_disk() -> Panel:
    """Return the rented disk space that has not been used."""
    price = once("vastai_instance_storage_total_cost_dollars_per_hour")
    never = f"clamp_min(1 - max_over_time({of_accounts(DISK_USED)}[1d:1h]), 0)"
    unused = f"({price} * on (account, instance_id) {never})"
    return rows(
        "Unused disk",
        "Rented disk space that was unused throughout the last 24 hours, in dollars: the price of the disk"
        " times its unused share. A disk cannot be shrunk; rent a smaller one next time. The 50 most"
        " expensive.",
        Query(f"topk(50, {MONTH_HOURS} * {labelled(unused)})"),
        Query(chosen(never)),
        Query(chosen(once("vastai_instance_disk_space_bytes"))),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label", least=80),
            Column(field="Value #C", title="rented", unit="decbytes", decimals=0, width=75),
            Column(field="Value #B", title="unused", unit=RATIO, decimals=0, width=70),
            Column(field="Value #A", title="$ a month", unit=DOLLARS, decimals=2, width=85),
            Column(field="account", title="account"),
        ),
        worst_first="Value #A",
        most=50,
    )


def prices() -> Panel:
    """Return the running instances with a higher price than others of their model."""
    running = of_accounts(STATUS, 'status="running"')
    price = f"({of_accounts(GPU_PRICE)} and on (account, instance_id) {running})"
    ratio = f"({price} / on (gpu_name) group_left () {MEDIAN_GPU_PRICE})"

    def told(expression: str) -> str:
        """Return `expression` with its rental type; it already has the GPU model."""
        return described(chosen(expression), "rental")

    return rows(
        "Price vs. own median",
        "Running instances: the hourly price of one GPU, including the disk, against the median of your own"
        " instances of the same model across all accounts. Highest first; at most 50. Yellow from 1.2 times"
        " the median, orange from 1.5 times: there is probably a cheaper offer of the same model."
        " Interruptible and reserved instances are cheaper by nature.",
        Query(f"topk(50, {told(ratio)})"),
        Query(chosen(f"max by (account, instance_id) ({price})")),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="gpu_name", title="GPU model"),
            Column(field="rental", title="rental", width=90),
            Column(field="Value #B", title="a GPU", unit=DOLLARS_PER_HOUR, decimals=3, width=90),
            Column(
                field="Value #A",
                title="of median",
                unit=RATIO,
                decimals=0,
                width=80,
                steps=((None, GOOD), (1.2, WATCH), (1.5, WARNING)),
            ),
            Column(field="account", title="account"),
        ),
        worst_first="Value #A",
        most=50,
    )
