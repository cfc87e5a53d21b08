"""Resources and cost of one instance over time: charts of the dashboard Instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana.lib.palette import CRITICAL, GOOD, NEUTRAL, OFF, WARNING, WASTE, WATCH
from grafana.lib.panels import (
    BYTES,
    BYTES_PER_SECOND,
    CELSIUS,
    DOLLARS,
    RATIO,
    Query,
    limited,
    lines,
    with_values,
)
from grafana.lib.promql import BURN, STATUS, one
from grafana.lib.thresholds import span, threshold, why

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import timeseries

    from grafana.lib.board import Board
    from grafana.lib.panels import Panel

RUNNING = "Shown only while the instance runs, since otherwise the API repeats the last value."
#: For GPUs. On some hosts every other reading has no telemetry, which would leave no visible line.
BRIDGE = "3m"
MEASURED = f"A gap while it runs is missing telemetry, not 0. Gaps shorter than {BRIDGE} are bridged."
UNMEASURED = "The instance does not run, or has no GPU telemetry. The dashboard Exporter says more."
#: Longer than the steps of the counters of billed traffic.
TRAFFIC_WINDOW = "15m"


def drawn(title: str, about: str, *queries: Query, **looks: Any) -> timeseries.Panel:  # noqa: ANN401 - as `lines` has them
    """Return lines with mean, last and maximum value in the legend."""
    return with_values(lines(title, about, *queries, **looks))


def billed(way: str) -> str:
    """Return the billed traffic in bytes per second; `way` is up or down."""
    counter = one(f"vastai_instance_inet_{way}_billed_bytes_total")
    return f"max by (account, instance_id) (rate({counter}[{TRAFFIC_WINDOW}]))"


def traffic_cost(way: str) -> str:
    """Return the cost of billed traffic in dollars per hour."""
    price = f"max by (account, instance_id) ({one(f'vastai_instance_inet_{way}_cost_dollars_per_byte')})"
    return f"3600 * {billed(way)} * on (account, instance_id) {price}"


def while_running(expression: str) -> str:
    """Return `expression` while the instance runs."""
    running = one(STATUS, 'status="running"')
    return f"{expression} and on (account, instance_id) {running}"


def _reading(metric: str) -> str:
    """Return the last recent reading while the instance runs."""
    return f"max({while_running(f'last_over_time({one(metric)}[{BRIDGE}])')})"


def resources(board: Board) -> None:
    """Add the use of the rented resources."""
    board.row(8, (8, _gpu_utilization()), (8, _gpu_temperature()), (8, _gpu_memory())).row(
        8, (8, _cpu()), (8, _memory()), (8, _disk())
    )


def _cpu() -> Panel:
    return limited(
        drawn(
            "CPU",
            f"Share of all rented virtual CPUs (cpu_util). {RUNNING}",
            Query(_reading("vastai_instance_cpu_util_ratio"), "utilization"),
            unit=RATIO,
            colors={"utilization": NEUTRAL},
            no_value=UNMEASURED,
        ),
        reach=1,
    )


def _memory() -> Panel:
    return drawn(
        "Memory",
        "Memory in use, and the limit. At the limit, the kernel kills a process in the container. The alert"
        f" begins at {threshold('mem_ratio'):.0%}. {RUNNING}",
        Query(f"max({one('vastai_instance_mem_usage_bytes')})", "in use"),
        Query(f"max({one('vastai_instance_mem_limit_bytes')})", "total"),
        unit=BYTES,
        colors={"in use": NEUTRAL, "total": OFF},
    )


def _disk() -> Panel:
    return drawn(
        "Disk",
        f"Space in use, and rented space. One alert fires from {threshold('disk_filling_ratio'):.0%} if the"
        f" disk will be full within {span('disk_horizon_seconds')}, another at"
        f" {threshold('disk_critical_ratio'):.0%}. A disk cannot be enlarged: delete files, or move to"
        " another instance.",
        Query(f"max({one('vastai_instance_disk_usage_bytes')})", "in use"),
        Query(f"max({one('vastai_instance_disk_space_bytes')})", "total"),
        unit="decbytes",
        colors={"in use": NEUTRAL, "total": OFF},
    )


def _gpu_utilization() -> Panel:
    return limited(
        drawn(
            "GPU utilization",
            "Mean of the instance's GPUs. Below the dashed line it counts as idle"
            f" ({why('idle_util_ratio')}). {RUNNING} {MEASURED}",
            Query(_reading("vastai_instance_gpu_util_ratio"), "utilization"),
            unit=RATIO,
            most=1,
            colors={"utilization": GOOD},
            no_value=UNMEASURED,
        ),
        steps=((None, "transparent"), (threshold("idle_util_ratio"), WASTE)),
    )


def _gpu_temperature() -> Panel:
    return limited(
        drawn(
            "GPU temperature",
            f"The dashed lines mark where alerts begin: {threshold('hot_celsius'):.0f} °C"
            f" ({why('hot_celsius')}) and {threshold('hot_critical_celsius'):.0f} °C"
            f" ({why('hot_critical_celsius')}). You cannot cool a rented GPU: lower its power limit, or"
            f" move. {RUNNING} {MEASURED}",
            Query(_reading("vastai_instance_gpu_temp_celsius"), "temperature"),
            unit=CELSIUS,
            decimals=0,
            least=20,
            colors={"temperature": WATCH},
            no_value=UNMEASURED,
        ),
        steps=(
            (None, "transparent"),
            (threshold("hot_celsius"), WARNING),
            (threshold("hot_critical_celsius"), CRITICAL),
        ),
        reach=95,
    )


def _gpu_memory() -> Panel:
    return drawn(
        "VRAM",
        f"VRAM in use, and the total of the instance's GPUs. {RUNNING} {MEASURED}",
        Query(_reading("vastai_instance_vmem_usage_bytes"), "in use"),
        Query(f"max({one('vastai_instance_gpu_totalram_bytes')})", "total"),
        unit=BYTES,
        colors={"in use": NEUTRAL, "total": OFF},
    )


def money(board: Board) -> None:
    """Add the cost."""
    board.row(9, (8, _price()), (8, _traffic()), (8, _traffic_cost()))


def _price() -> Panel:
    return drawn(
        "Price per hour",
        "What the instance costs now by status, and the parts of its price: the full price while running,"
        " the GPUs (for an interruptible instance, its bid), and the disk. The disk is billed in every"
        " status except offline.",
        Query(f"max({one(BURN)})", "costs"),
        Query(f"max({one('vastai_instance_dph_total_dollars_per_hour')})", "while running"),
        Query(f"max({one('vastai_instance_dph_base_dollars_per_hour')})", "GPUs"),
        Query(
            f"max({one('vastai_instance_storage_total_cost_dollars_per_hour')})",
            "disk",
        ),
        unit=DOLLARS,
        decimals=3,
        colors={
            "costs": NEUTRAL,
            "while running": GOOD,
            "GPUs": WATCH,
            "disk": OFF,
        },
    )


def _traffic() -> Panel:
    return drawn(
        "Billed traffic",
        f"Traffic as Vast.ai counts it, billed on top of the price. A rate over {TRAFFIC_WINDOW}, since the"
        " counter moves in steps. The speed of the machine's link is in Resources above.",
        Query(f"max({billed('down')})", "download"),
        Query(f"max({billed('up')})", "upload"),
        unit=BYTES_PER_SECOND,
        colors={"download": NEUTRAL, "upload": WATCH},
        no_value="No traffic was billed in the selected time range",
    )


def _traffic_cost() -> Panel:
    panel = drawn(
        "Traffic cost per hour",
        "Billed traffic at the machine's prices, which may be 0. No other cost on this dashboard includes"
        " it.",
        Query(f"max({traffic_cost('down')})", "download"),
        Query(f"max({traffic_cost('up')})", "upload"),
        unit=DOLLARS,
        decimals=3,
        colors={"download": NEUTRAL, "upload": WATCH},
        no_value="No traffic was billed in the selected time range",
    )
    return limited(panel, reach=0.01)
