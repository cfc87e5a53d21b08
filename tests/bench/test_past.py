"""The history that `python -m bench dashboards` generates."""

from __future__ import annotations

import re
from collections import Counter

from bench import past
from bench.history import DAY
from exporter.exposition.table import METRICS

NOW = 1_767_225_600.0


def test_each_series_of_the_past_is_written_once() -> None:
    counts = Counter(name for name, _, _ in past.series(30, NOW, DAY))
    assert [name for name, count in counts.items() if count > 1] == []


def test_each_series_of_the_present_has_one_sample_a_moment() -> None:
    counts = Counter(
        (name, moment) for name, _, moment in (line.rsplit(" ", 2) for line in past.present(30, NOW))
    )
    assert [sample for sample, count in counts.items() if count > 1] == []


def test_only_metrics_of_the_exporter_are_written_beside_recordings() -> None:
    exported = {metric.name for metric in METRICS}
    names = {re.split(r"[{ ]", line)[0] for line in past.present(30, NOW)}
    names |= {
        name.partition("{")[0]
        for name, _, _ in past.series(30, NOW, DAY)
        if ":" not in name.partition("{")[0]
    }
    others = {name.removesuffix("_bucket") for name in names} - exported
    assert {name for name in others if name.startswith("vastai_")} == set()
