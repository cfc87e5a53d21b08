"""Define the table of metrics, the only source for exposition, documentation, dashboards and alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors import COLLECTORS
from exporter.exposition import budgets, self_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.metrics.rows import Metric

METRICS: tuple[Metric, ...] = (
    *(metric for collector in COLLECTORS for metric in collector.metrics),
    *budgets.BUDGETS,
    *self_metrics.SELF_METRICS,
)
#: Subject of each group of metrics, in the table's order.
GROUPS: Mapping[str, str] = {
    **{
        group: about
        for collector in COLLECTORS
        for group, about in (collector.groups or {collector.name: collector.about}).items()
    },
    budgets.GROUP: budgets.ABOUT,
    self_metrics.GROUP: self_metrics.ABOUT,
}
