"""Histories for pictures: the same wherever they lie, and green where all is well."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from grafana import history, tsdb
from grafana.lib.promql import TROUBLE
from tests.grafana.conftest import STEP, Dashboard, Prometheus

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


#: The tiles of Fleet and of Cost that count something of what is rented.
COUNTED = {
    "Active problems A",
    "Current spend A",
    "Current spend B",
    "Idle spend A",
    "Idle spend (range) A",
    "GPUs: billed, running, idle A",
    "Spend (range) A",
    "Projected monthly cost A",
    "Current hourly cost A",
    "Stopped storage (range) A",
}


def test_accounts_without_instances_are_well_and_pay_nothing(tmp_path: Path) -> None:
    history.write(tmp_path, history.Plan(instances=0, hours=0.5, step=STEP, calm=True))
    boards = [Dashboard("fleet"), Dashboard("cost")]
    counts = [query for board in boards for query in board.queries if query.place in COUNTED]
    with tsdb.served(tmp_path) as url:
        prometheus = Prometheus(url)

        assert prometheus.verdict(boards[0]) == "All is well"
        assert {query.place for query in counts} == COUNTED
        for query in counts:
            (found,) = prometheus.ask(replace(query, instant=True))
            assert found["value"][1] == "0", query


def test_a_calm_fleet_is_seen_to_be_well(tmp_path: Path) -> None:
    history.write(tmp_path, history.Plan(instances=100, hours=0.5, step=STEP, calm=True))
    with tsdb.served(tmp_path) as url:
        prometheus = Prometheus(url)

        assert prometheus.verdict(Dashboard("fleet")) == "All is well"
        assert prometheus.verdict(Dashboard("exporter")) == "Good"
        assert prometheus.now("count(vastai_instance_info) > 90")
        assert not prometheus.now(f"last_over_time({TROUBLE}[30m])")
