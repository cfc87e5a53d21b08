"""The one table of metrics, which everything iterates: what is served, documented, drawn and alerted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors import COLLECTORS
from exporter.exposition.budgets import BUDGETS
from exporter.exposition.self_metrics import SELF_METRICS

if TYPE_CHECKING:
    from exporter.metrics.rows import Metric

METRICS: tuple[Metric, ...] = (
    *(metric for collector in COLLECTORS for metric in collector.metrics),
    *BUDGETS,
    *SELF_METRICS,
)
