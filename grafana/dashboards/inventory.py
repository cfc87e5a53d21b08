"""All instances, one per row: a table of the dashboard Fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import CONSOLE, instance_link
from grafana.lib.palette import CRITICAL, GOOD, STATUS_WORDS, WARNING, WASTE, WATCH
from grafana.lib.panels import CELSIUS, DOLLARS_PER_HOUR, DURATION, RATIO, Query
from grafana.lib.promql import (
    BURN,
    DISK_USED,
    REMAINING,
    chosen,
    labelled,
    of_accounts,
    once,
    with_status,
)
from grafana.lib.tables import Column, rows
from grafana.lib.thresholds import span, threshold

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

#: As many rows as a browser sorts and scrolls quickly.
MOST = 2000

HOT_STEPS = ((None, GOOD), (threshold("hot_celsius"), WARNING), (threshold("hot_critical_celsius"), CRITICAL))
CONTRACT_STEPS = (
    (None, CRITICAL),
    (threshold("contract_critical_seconds"), WARNING),
    (threshold("contract_warning_seconds"), WATCH),
    (threshold("contract_info_seconds"), GOOD),
)


def instances() -> Panel:
    """Return the table of all instances."""
    memory = f"{once('vastai_instance_vmem_usage_bytes')} / {once('vastai_instance_gpu_totalram_bytes')}"
    return rows(
        "All instances",
        f"All rented instances, most expensive first; at most {MOST:,}. Filter with the variables above, and"
        " click a heading to sort. Utilization, VRAM and temperature appear only while an instance runs and"
        f" has telemetry. Contract: yellow below {span('contract_info_seconds')}, orange below"
        f" {span('contract_warning_seconds')}, red below {span('contract_critical_seconds')}. Click an"
        " instance to open it, or a status to manage the instance in Vast.ai's console.",
        Query(f"topk({MOST}, {labelled(with_status(of_accounts(BURN)))})"),
        Query(chosen(once("vastai_instance_gpu_util_ratio"))),
        Query(chosen(memory)),
        Query(chosen(once("vastai_instance_gpu_temp_celsius"))),
        Query(chosen(once(DISK_USED))),
        Query(chosen(once(REMAINING))),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label", least=130),
            Column(field="gpu_name", title="GPU model", least=105),
            Column(
                field="status",
                title="status",
                mappings=STATUS_WORDS,
                width=90,
                link=("Vast.ai console", CONSOLE["Vast.ai instances"]),
            ),
            Column(
                field="Value #B",
                title="GPU",
                unit=RATIO,
                decimals=0,
                width=65,
                steps=((None, WASTE), (threshold("idle_util_ratio"), GOOD)),
            ),
            Column(field="Value #C", title="VRAM", unit=RATIO, decimals=0, width=65),
            Column(field="Value #D", title="temp.", unit=CELSIUS, decimals=0, width=70, steps=HOT_STEPS),
            Column(
                field="Value #E",
                title="disk",
                unit=RATIO,
                decimals=0,
                width=65,
                steps=(
                    (None, GOOD),
                    (threshold("disk_warning_ratio"), WARNING),
                    (threshold("disk_critical_ratio"), CRITICAL),
                ),
            ),
            Column(field="Value #A", title="cost", unit=DOLLARS_PER_HOUR, decimals=2, width=85),
            Column(
                field="Value #F", title="contract", unit=DURATION, decimals=0, width=90, steps=CONTRACT_STEPS
            ),
            Column(field="account", title="account", least=90),
        ),
        worst_first="Value #A",
        most=MOST,
        no_value="No known instances. Check that Fleet status is green.",
    )
