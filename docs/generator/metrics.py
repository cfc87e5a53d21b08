"""docs/metrics.md: every metric, every field of the API, and how many series there are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from exporter.collectors import COLLECTORS, account, fleet, instances
from exporter.config.models import Limits
from exporter.exposition.self_metrics import BUCKETS, BUILD_INFO, REASONS, TELEMETRY
from exporter.exposition.table import METRICS
from generator.markdown import code, codes, notice, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.metrics.rows import Metric

_NAMED_FIELDS = re.compile(r"\s*\(API fields? ([^)]*)\)")

_ABOUT = """\
Units are base units: bytes, seconds, dollars, ratios from 0 to 1. A value that the API does not give is no
sample; it is never 0. Samples carry no timestamps. The names follow the API: the prefix, the API's own field
name, the unit.
"""
_ABOUT_INSTANCES = """\
A sample for each instance. What describes an instance stands on `vastai_instance_info` only; join it with
`* on (account, instance_id) group_left (label, gpu_name) vastai_instance_info`."""
_ABOUT_FIELDS = """\
## Every field of the API

Of instances, only the fields that a metric reads are asked for (`select_cols`); the others are never
received. The reply of users/current can't be narrowed: what is not read is dropped at once.
"""
_ABOUT_CARDINALITY = """\
## How many series

Counted from the metric table. A new rental has a new `instance_id`, so its series are new too. User labels
beyond `limits.labels` are counted together as `_other`.
"""
_ABOUT_DOUBTS = """\
## Where the vendor's documentation is wrong or silent

The exporter reads these fields as the column says, on the evidence of the vendor's own client and of the
documented examples. None was confirmed by the vendor. Compare them once with what you know of your own
instances before you build alerts on them.
"""

GROUPS: tuple[tuple[str, Sequence[Metric], str], ...] = (
    ("The fleet", fleet.SUMMARIES, "The instances of an account, counted."),
    (
        "Instances",
        instances.GAUGES,
        _ABOUT_INSTANCES,
    ),
    ("The account", account.GAUGES, "What can be spent."),
    (
        "The exporter itself",
        TELEMETRY,
        "Always there. `process_*` and `python_info`, as prometheus_client writes them, stand beside them.",
    ),
)
#: Of README.md: the metrics that answer the five questions, and the question's short name.
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


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the API, as docs/api_fields.yaml tells of it; "" for what it does not say."""

    name: str
    collector: str
    what: str
    vendor: str
    used_as: str
    not_exported: str


def page(api_fields: Path) -> str:
    """Return docs/metrics.md."""
    sections = _sections(api_fields)
    return "\n".join(
        [
            notice(),
            "",
            "# Metrics",
            "",
            _ABOUT,
            *(_group(*group) for group in GROUPS),
            _cardinality(),
            _doubts([field for _, fields in sections for field in fields]),
            _every_field(sections),
        ]
    )


def main_table() -> str:
    """Return the table of main metrics for README.md."""
    known = {metric.name: metric for metric in METRICS}
    return table(
        ("question", "metric", "meaning"),
        [(question, code(name), _sentence(known[name])) for question, name in MAIN],
    )


def _group(title: str, metrics: Sequence[Metric], words: str) -> str:
    labels = set.intersection(*(set(metric.labels) for metric in metrics))
    common = [name for metric in metrics[:1] for name in metric.labels if name in labels]
    rows = [
        (
            code(metric.name),
            metric.kind,
            codes(name for name in metric.labels if name not in common),
            _sentence(metric),
            codes(_fields(metric)),
            metric.reading,
        )
        for metric in metrics
    ]
    said = f" Labels of all: {codes(common)}." if common else ""
    head = ("metric", "type", "labels" if not common else "other labels", "meaning", "API field", "reading")
    return f"## {title}\n\n{words}{said}\n\n{table(head, rows)}"


def _sentence(metric: Metric) -> str:
    """Return the help without the fields, which have a column of their own."""
    return _NAMED_FIELDS.sub("", metric.help)


def _fields(metric: Metric) -> list[str]:
    found = _NAMED_FIELDS.search(metric.help)
    return found[1].split(", ") if found else []


def _cardinality() -> str:
    whole = len(instances.GAUGES)
    live = sum("only while running" in metric.reading for metric in instances.GAUGES)
    statuses, reasons = len(fleet.STATUSES), len(REASONS)
    most_labels = Limits().labels
    runs = sum(metric.labels == ("account", "collector") for metric in TELEMETRY)
    collectors = len(COLLECTORS)
    fields = sum(len(collector.fields) for collector in COLLECTORS)
    fixed = sum(not metric.labels or metric is BUILD_INFO for metric in TELEMETRY)
    rows = [
        ("instance, running", f"at most {whole}"),
        ("instance, in any other state", f"at most {whole - live}"),
        ("account", f"{statuses} of instances by status, and one for each status that is not documented"),
        ("account", f"pairs of user label and status that occur: at most {most_labels + 1} x {statuses}"),
        ("account", "pairs of GPU model and status that occur"),
        ("account", f"at most {len(account.GAUGES)} of credit, 1 of how many instances the API promises"),
        (
            "account",
            f"{collectors * (runs + reasons)}: {collectors} collectors x {runs} and {reasons} reasons",
        ),
        ("account", "1 of requests for each endpoint and HTTP status that occurred"),
        ("account", f"{fields} of unreadable values, one for each field that is asked for"),
        ("endpoint", f"{len(BUCKETS) + 3} of the histogram of requests; there are {collectors} endpoints"),
        ("exporter", f"{fixed}, and `process_*` and `python_info`"),
    ]
    return f"{_ABOUT_CARDINALITY}\n1,000 running instances are at most {1000 * whole:,} series.\n\n" + table(
        ("for each", "series"), rows
    )


def _sections(path: Path) -> list[tuple[str, list[Field]]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        (
            section["title"],
            [
                Field(
                    name,
                    section["collector"],
                    *(says.get(key, "") for key in ("is", "vendor", "used_as", "not_exported")),
                )
                for name, says in section["fields"].items()
            ],
        )
        for section in loaded
    ]


def _doubts(fields: Sequence[Field]) -> str:
    rows = [(code(field.name), field.what, field.vendor) for field in fields if field.vendor]
    return f"{_ABOUT_DOUBTS}\n{table(('API field', 'read as', 'why'), rows)}"


def _every_field(sections: Sequence[tuple[str, Sequence[Field]]]) -> str:
    parts = [_ABOUT_FIELDS]
    for title, fields in sections:
        rows = [(code(field.name), field.what, _destiny(field)) for field in fields]
        parts.append(f"### {title}\n\n{table(('field', 'what it is', 'exported as, or why not'), rows)}")
    return "\n".join(parts)


def _destiny(field: Field) -> str:
    if field.not_exported:
        return f"not exported: {field.not_exported}"
    if field.used_as:
        return field.used_as
    own = next(collector for collector in COLLECTORS if collector.name == field.collector)
    metrics = (*own.summaries, *own.gauges)
    exported = [metric.name for metric in metrics if field.name in _fields(metric)]
    if exported:
        return codes(exported)
    return "condition of " + codes(metric.name for metric in own.gauges if field.name in metric.reads)
