"""The one table of metrics, which everything iterates: what is served, documented, drawn and alerted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors import COLLECTORS
from exporter.telemetry import TELEMETRY

if TYPE_CHECKING:
    from exporter.rows import Metric

METRICS: tuple[Metric, ...] = (
    *(metric for collector in COLLECTORS for metric in (*collector.summaries, *collector.gauges)),
    *TELEMETRY,
)
