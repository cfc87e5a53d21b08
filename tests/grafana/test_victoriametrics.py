"""VictoriaMetrics answers the dashboards' queries as Prometheus does, about one and the same history."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import requests

from grafana import history, tsdb
from tests.grafana.conftest import HOURS, STEP, Dashboard, Prometheus
from tests.support.victoriametrics import program, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.grafana.conftest import Json, Query

    Answer = dict[tuple[tuple[str, str], ...], dict[float, float]]

pytestmark = [pytest.mark.peers, pytest.mark.victoriametrics]

#: What chooses among series of one value, which is anybody's choice.
AMONG_EQUALS = re.compile(r"\b(?:topk|bottomk)\(\d")
#: Functions that MetricsQL computes without extrapolation, from the last sample before the window on.
WITHOUT_EXTRAPOLATION = re.compile(r"\b(?:rate|increase|delta|histogram_quantile)\(")


@pytest.fixture(scope="module")
def victoriametrics(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Serves the history that Prometheus has, as vmctl brings it over."""
    own = tmp_path_factory.mktemp("victoriametrics")
    url = f"http://127.0.0.1:{tsdb.free_port()}"
    command = [
        program("victoria-metrics"),
        f"-storageDataPath={own / 'data'}",
        f"-httpListenAddr={url.removeprefix('http://')}",
        "-retentionPeriod=100y",
        # As for Prometheus: written data have no marker where a series ends.
        f"-search.maxStalenessInterval={STEP - 1:.0f}s",
    ]
    with serving(url, command, own / "log"):
        with tsdb.served(folder, STEP) as prometheus:
            move(prometheus, url)
        requests.get(f"{url}/internal/force_flush", timeout=60).raise_for_status()
        yield Prometheus(url)


def move(prometheus: str, victoriametrics: str) -> None:
    """Bring a whole history over."""
    begin, end = (
        datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for moment in (history.END - (HOURS + 1) * history.HOUR, history.END + STEP)
    )
    command = [
        program("vmctl"),
        "remote-read",
        "-s",
        "--disable-progress-bar",
        f"--remote-read-src-addr={prometheus}",
        "--remote-read-step-interval=day",
        f"--remote-read-filter-time-start={begin}",
        f"--remote-read-filter-time-end={end}",
        f"--vm-addr={victoriametrics}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def series(found: list[Json]) -> Answer:
    """Return values by time, by labels. MetricsQL keeps names that PromQL drops, which no panel shows."""
    return {
        tuple(sorted((name, text) for name, text in one["metric"].items() if name != "__name__")): {
            float(moment): float(value) for moment, value in one.get("values") or [one["value"]]
        }
        for one in found
    }


def test_every_query_has_the_answer_that_prometheus_gives(
    dashboard: Dashboard, prometheus: Prometheus, victoriametrics: Prometheus
) -> None:
    instance = prometheus.first_instance()

    def answers(query: Query, server: Prometheus) -> Answer:
        return series(
            server.ask(query, instance=instance) if "$instance" in query.expression else server.ask(query)
        )

    for query in (*dashboard.queries, *dashboard.other_queries):
        expected, found = answers(query, prometheus), answers(query, victoriametrics)
        if AMONG_EQUALS.search(query.expression):
            assert bool(found) == bool(expected), query
            continue
        assert found.keys() == expected.keys(), query
        if not WITHOUT_EXTRAPOLATION.search(query.expression):
            for labels, values in expected.items():
                assert found[labels] == pytest.approx(values, rel=1e-6), (query, labels)
