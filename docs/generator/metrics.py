"""docs/metrics.md: every metric, how many series there are, and every field of the API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exporter.collectors import COLLECTORS, instances
from exporter.exposition.budgets import BUDGETS
from exporter.exposition.self_metrics import SELF_METRICS
from exporter.exposition.table import METRICS
from exporter.metrics.values import CUT, LONGEST_TEXT
from generator import fields, groups, series
from generator.collectors import facts
from generator.markdown import code, codes, notice, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.collectors import Collector
    from exporter.metrics.rows import Metric

_UNIT = re.compile(r"_((?:bytes|seconds|dollars|celsius|ratio)(?:_per_[a-z]+)?)(?:_total)?$")

_MOST_LABELS = max(METRICS, key=lambda metric: len(metric.labels))
_ABOUT = f"""\
Units are base units: bytes, seconds, dollars, ratios from 0 to 1. A value that the API does not give is no
sample; it is never 0. Samples carry no timestamps. The names follow the API: the prefix, the API's own field
name, the unit.

Text in labels is as its users wrote it, up to {LONGEST_TEXT} bytes of UTF-8; what is longer is cut and ends
with `{CUT}`. So Prometheus's `label_value_length_limit` may be {LONGEST_TEXT}. Its `label_limit` has to be at
least {len(_MOST_LABELS.labels) + 3}, for `{_MOST_LABELS.name}`, and one more for each label that a job adds.
"""
_ABOUT_BUDGETS = (
    "Of the configuration, for each account; they are there from the start, whatever the API says. The"
    " exporter only shows them: it stops nothing."
)
_ABOUT_SELF = (
    "Always there. `process_*` and `python_info`, as prometheus_client writes them, stand beside them."
)

#: Of the first section: the metrics that answer the five questions, and the question's short name.
MAIN = (
    ("cost", "vastai_instance_burn_dollars_per_hour"),
    ("cost", "vastai_instance_dph_total_dollars_per_hour"),
    ("credit", "vastai_account_credit_dollars"),
    ("credit", "vastai_instance_credit_balance_dollars"),
    ("use", "vastai_instance_gpu_util_ratio"),
    ("use", "vastai_instance_vmem_usage_bytes"),
    ("use", "vastai_gpus"),
    ("state", "vastai_instances"),
    ("state", "vastai_instance_status"),
    ("state", "vastai_instance_status_since_timestamp_seconds"),
    ("state", "vastai_instance_gpu_temp_celsius"),
    ("state", "vastai_instance_disk_util_ratio"),
    ("state", "vastai_instance_end_timestamp_seconds"),
    ("state", "vastai_instance_min_bid_dollars_per_hour"),
    ("join", "vastai_instance_info"),
    ("trust", "vastai_collector_success"),
    ("trust", "vastai_collector_last_success_timestamp_seconds"),
    ("trust", "vastai_collector_failures_total"),
    ("trust", "vastai_api_instances"),
)


def page(api_fields: Path, rules: Sequence[Path], dashboards: Sequence[Path]) -> str:
    """Return docs/metrics.md; it says what in `rules` and `dashboards` reads which group."""
    return "\n".join(
        [
            notice(),
            "",
            "# Metrics",
            "",
            _ABOUT,
            f"## Main metrics\n\n{_main_table()}",
            *map(_collector, COLLECTORS),
            f"## Budgets\n\n{_metrics(_ABOUT_BUDGETS, BUDGETS)}",
            f"## The exporter itself\n\n{_metrics(_ABOUT_SELF, SELF_METRICS)}",
            groups.section(rules, dashboards, tuple(instances.GROUPS)),
            series.section(),
            *fields.sections(api_fields),
        ]
    )


def _main_table() -> str:
    """Return the table of the metrics that answer most questions."""
    known = {metric.name: metric for metric in METRICS}
    return table(
        ("question", "metric", "meaning"),
        [(question, code(name), _sentence(known[name])) for question, name in MAIN],
    )


def _collector(collector: Collector) -> str:
    parts = [f"## {collector.title}\n\n{facts(collector)}\n"]
    if collector.summaries:
        parts.append(_metrics(f"Of all {collector.objects} together.", collector.summaries))
    if collector.rows:
        words = f"At most one sample for each of the {collector.objects}.{_join(collector)}"
        parts.append(_metrics(words, collector.rows))
    return "\n".join(parts)


def _join(collector: Collector) -> str:
    """Return how to come by what describes an object, where one of the metrics says that."""
    common = _common(collector.rows)
    for row in collector.rows:
        if row.name.endswith("_info") and len(collector.rows) > 1:
            own = [name for name in row.labels if name not in common]
            join = f"* on ({', '.join(common)}) group_left ({', '.join(own[:2])}) {row.name}"
            return f" What describes one stands on {code(row.name)} only; join it with {code(join)}."
    return ""


def _metrics(words: str, metrics: Sequence[Metric]) -> str:
    common = _common(metrics)
    grouped = len({metric.group for metric in metrics}) > 1
    rows = [
        (
            code(metric.name),
            metric.type,
            _unit(metric),
            codes(name for name in metric.labels if name not in common),
            _sentence(metric),
            codes(fields.named(metric)),
            metric.notes,
            *[code(metric.group)] * grouped,
        )
        for metric in metrics
    ]
    said = f" Labels of all: {codes(common)}." if common else ""
    labels = "other labels" if common else "labels"
    head = ("metric", "type", "unit", labels, "meaning", "API field", "notes", *["group"] * grouped)
    return f"{words}{said}\n\n{table(head, rows)}"


def _common(metrics: Sequence[Metric]) -> list[str]:
    """Return the labels that all have, in their order."""
    labels = set.intersection(*(set(metric.labels) for metric in metrics))
    return [name for name in metrics[0].labels if name in labels]


def _sentence(metric: Metric) -> str:
    """Return the help without the fields, which have a column of their own."""
    return fields.NAMED.sub("", metric.help)


def _unit(metric: Metric) -> str:
    """Return the unit that the name ends with, or "" for a number of things and for what has none."""
    if metric.name.endswith("_timestamp_seconds"):
        return "seconds since 1970"
    found = _UNIT.search(metric.name)
    return found[1].replace("_", " ") if found else ""
