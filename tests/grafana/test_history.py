"""A history in a Prometheus database does not depend on where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grafana import history, tsdb
from tests.grafana.conftest import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.peers

RULES = """
groups:
- name: some
  rules: [{record: twice, expr: 2 * once}, {record: thrice, expr: once + twice}]
"""


def recorded(folder: Path) -> list[tuple[float, str]]:
    """Return all samples that rules record about ten minutes of a series."""
    begin = history.END - 600
    samples = [f"once 1 {begin + 60 * number:.0f}\n".encode() for number in range(11)]
    tsdb.write(folder, [b"# TYPE once gauge\n", *samples, b"# EOF\n"])
    rules = folder / "rules.yml"
    rules.write_text(RULES, encoding="utf-8")
    tsdb.evaluate(folder, rules, begin, history.END, 60.0)
    with tsdb.served(folder) as url:
        prometheus = Prometheus(url)
        assert [series["value"][1] for series in prometheus.now("thrice")] == ["3"]
        (series,) = prometheus.now("thrice[10m]")
    return [(when, value) for when, value in series["values"]]


def test_rules_record_the_same_in_every_folder(tmp_path: Path) -> None:
    here, there = recorded(tmp_path / "a"), recorded(tmp_path / "some other place")

    assert here == there
    assert len(here) >= 9
