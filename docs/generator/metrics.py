"""docs/metrics.md: every metric, the number of series, and every field of the API."""

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
Units are base units: bytes, seconds, dollars, ratios from 0 to 1. If the API gives no value, there is no
sample, never a 0. Samples carry no timestamps. Names follow the API: the prefix, the API's field name, the
unit.

Label values are the users' own text, up to {LONGEST_TEXT} bytes of UTF-8. Longer text is cut and ends with
`{CUT}`. You can therefore set Prometheus's `label_value_length_limit` to {LONGEST_TEXT}. Its `label_limit`
has to be at least {len(_MOST_LABELS.labels) + 3}, for `{_MOST_LABELS.name}`, plus one for each label that a
job adds.
"""
_ABOUT_BUDGETS = (
    "Budgets come from the configuration of each account. They exist from the start, whatever the API"
    " returns. The exporter only shows them; it stops nothing."
)
_ABOUT_SELF = "These metrics always exist. prometheus_client adds `process_*` and `python_info`."

#: The first section: the metrics that answer the main questions, each with a short name of the question.
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
    """Return docs/metrics.md; `rules` and `dashboards` show what reads each group."""
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
        parts.append(_metrics(f"Over all {collector.objects}.", collector.summaries))
    if collector.rows:
        words = f"At most one sample for each of the {collector.objects}.{_join(collector)}"
        parts.append(_metrics(words, collector.rows))
    return "\n".join(parts)


def _join(collector: Collector) -> str:
    """Return how to join the description of an object, if one of the metrics has it."""
    common = _common(collector.rows)
    for row in collector.rows:
        if row.name.endswith("_info") and len(collector.rows) > 1:
            own = [name for name in row.labels if name not in common]
            join = f"* on ({', '.join(common)}) group_left ({', '.join(own[:2])}) {row.name}"
            return f" Only {code(row.name)} has the descriptive labels; join them with {code(join)}."
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
    said = f" Labels on all: {codes(common)}." if common else ""
    labels = "other labels" if common else "labels"
    head = ("metric", "type", "unit", labels, "meaning", "API field", "notes", *["group"] * grouped)
    return f"{words}{said}\n\n{table(head, rows)}"


def _common(metrics: Sequence[Metric]) -> list[str]:
    """Return the labels that all of them have, in order."""
    labels = set.intersection(*(set(metric.labels) for metric in metrics))
    return [name for name in metrics[0].labels if name in labels]


def _sentence(metric: Metric) -> str:
    """Return the help without the API fields, which have their own column."""
    return fields.NAMED.sub("", metric.help)


def _unit(metric: Metric) -> str:
    """Return the unit at the end of the name, or "" for counts and metrics without a unit."""
    if metric.name.endswith("_timestamp_seconds"):
        return "seconds since 1970"
    found = _UNIT.search(metric.name)
    return found[1].replace("_", " ") if found else ""
