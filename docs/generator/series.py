"""Part of docs/metrics.md: the number of series, counted from the metric table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.collectors import COLLECTORS, instances
from exporter.config.models import Limits
from exporter.exposition.budgets import ACCOUNT_BUDGET, LABEL_BUDGET
from exporter.exposition.self_metrics import BUCKETS, REASONS, SELF_METRICS
from generator.markdown import code, codes, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.collectors import Collector
    from exporter.metrics.rows import Metric

_ABOUT = f"""\
## How many series

These numbers come from the metric table. A new rental has a new `instance_id`, so its series are new too.
User labels above `limits.labels` are counted together as `_other`.

1,000 running instances are at most {1000 * len(instances.ROWS):,} series.
"""
#: Start of the notes of a metric that does not always exist.
_AT_TIMES = "only while "
#: First labels of the exporter's own metrics about a collector.
_RUN = ("account", "collector")


def section() -> str:
    """Return the section."""
    rows = [row for collector in COLLECTORS for row in _collector(collector)]
    own = [metric for metric in SELF_METRICS if "account" not in metric.labels]
    rows += [
        ("", "account with a budget", f"1: {code(ACCOUNT_BUDGET.name)}"),
        ("", "label with a budget", f"1: {code(LABEL_BUDGET.name)}"),
    ]
    rows += [("", *row) for row in _own(own)]
    return f"{_ABOUT}\n{table(('collector', 'for each', 'series'), rows)}"


def _collector(collector: Collector) -> Iterator[tuple[str, str, str]]:
    name = code(collector.name)
    account = "account" if collector.scope == "account" else "exporter"
    if collector.rows:
        yield name, f"of the {collector.objects}", _at_most(collector.rows)
    for labels, metrics in _by_labels(collector.summaries).items():
        names = codes(metric.name for metric in metrics)
        each = [account, *(_bounded(label) for label in labels if label != "account")]
        yield name, " and ".join(filter(None, [", ".join(each[:-1]), each[-1]])), f"{len(metrics)}: {names}"
    yield name, account, f"{_of_runs(collector)} about its runs and fields"
    paths = len({endpoint.path for endpoint in collector.endpoints})
    yield name, f"{account} and HTTP status that occurred", f"{paths} of requests"


def _at_most(rows: Sequence[Metric]) -> str:
    parts = Counter(part for row in rows for part in row.notes.split("; ") if part.startswith(_AT_TIMES))
    return ", ".join([f"at most {len(rows)}", *(f"{count} of them {part}" for part, count in parts.items())])


def _by_labels(metrics: Sequence[Metric]) -> Mapping[tuple[str, ...], list[Metric]]:
    found: dict[tuple[str, ...], list[Metric]] = {}
    for metric in metrics:
        found.setdefault(metric.labels, []).append(metric)
    return found


def _bounded(label: str) -> str:
    return f"{code(label)} (at most {Limits().labels + 1})" if label == "label" else code(label)


def _of_runs(collector: Collector) -> int:
    """Return the number of the exporter's own series for one collector and account."""
    values = {"reason": len(REASONS), "field": 0}
    runs = [metric for metric in SELF_METRICS if metric.labels[:2] == _RUN]
    once = sum(values.get(metric.labels[-1], 1) for metric in runs)
    return once + len(collector.fields) + len(collector.ranged_fields)


def _own(metrics: Sequence[Metric]) -> Iterator[tuple[str, str]]:
    paths = {endpoint.path for collector in COLLECTORS for endpoint in collector.endpoints}
    for metric in metrics:
        if metric.type == "histogram":
            told = f"{len(BUCKETS) + 3} of {code(metric.name)}"
            yield f"{code(metric.labels[0])}; there are {len(paths)}", told
    single = sum(metric.type != "histogram" for metric in metrics)
    yield "exporter", f"{single}, and `process_*` and `python_info`"
