"""What is chosen is what is shown, whatever names users have given, by old and new releases of Prometheus."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from grafana import tsdb
from tests.grafana import world
from tests.grafana.conftest import BOARDS, Dashboard, Prometheus
from tests.grafana.world import Rented

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.peers

LABELS = (
    "",
    'say "hi"',
    "two\nlines",
    r"back\slash \d+",
    "it's",
    "(a|b).*[c]",
    "50 % & more #1",
    "日本語",
    "$label ${label}",
)
ACCOUNTS = ("R&D", "team #2", "a+b", 'Büro "A"', "web")
#: Each label costs another power of two, so that a sum says which are in it.
COSTS = {label: 2.0**number for number, label in enumerate(LABELS)}
FLEET = [
    Rented(number=number, account=ACCOUNTS[number % len(ACCOUNTS)], label=label, cost=COSTS[label])
    for number, label in enumerate(LABELS, start=100)
]
NO_LABEL = "(no label)"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of users who are fond of odd names."""
    path: Path = tmp_path_factory.mktemp("names")
    world.write(path, FLEET, hours=1)
    return path


@pytest.fixture(params=["Debian's", "newest"])
def prometheus(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Prometheus]:
    """Serves it, by each of the two releases."""
    if request.param == "newest":
        found = subprocess.run(
            [ROOT / ".ci/newest", "prometheus"], capture_output=True, text=True, check=True
        )
        monkeypatch.setenv("VASTAI_PROMETHEUS", f"{found.stdout.strip()}/prometheus")
    else:
        monkeypatch.delenv("VASTAI_PROMETHEUS", raising=False)
    with tsdb.served(folder, world.STEP) as url:
        yield Prometheus(url)


def spend(prometheus: Prometheus, **chosen: str | list[str]) -> float:
    """Return what the tile Current spend says."""
    (query,) = [query for query in Dashboard("fleet").queries if query.place == "Current spend A"]
    (found,) = prometheus.ask(query, **chosen)
    return float(found["value"][1])


def test_no_query_fails_whatever_is_chosen(prometheus: Prometheus) -> None:
    for board in BOARDS:
        dashboard = Dashboard(board)
        for query in (*dashboard.queries, *dashboard.other_queries):
            for label in (*LABELS, NO_LABEL):
                prometheus.ask(query, label=label)
                prometheus.ask(query, label=[label, "another"])
            for account in ACCOUNTS:
                prometheus.ask(query, account=account)


def test_all_is_all(prometheus: Prometheus) -> None:
    assert spend(prometheus) == sum(COSTS.values())


def test_each_label_is_told_from_all_others(prometheus: Prometheus) -> None:
    for label in LABELS:
        assert spend(prometheus, label=label or NO_LABEL) == COSTS[label]


def test_several_labels_are_chosen_together(prometheus: Prometheus) -> None:
    chosen = ["two\nlines", 'say "hi"', NO_LABEL]

    assert spend(prometheus, label=chosen) == COSTS["two\nlines"] + COSTS['say "hi"'] + COSTS[""]


def test_each_account_is_told_from_all_others(prometheus: Prometheus) -> None:
    for account in ACCOUNTS:
        expected = sum(rented.cost for rented in FLEET if rented.account == account)
        assert spend(prometheus, account=account) == expected


def test_what_has_no_label_can_be_chosen(prometheus: Prometheus) -> None:
    (offered,) = [query for query in Dashboard("fleet").other_queries if query.place == "variable label"]
    labels = {found["metric"]["label"] for found in prometheus.now(offered.resolve())}

    assert labels == {label or NO_LABEL for label in LABELS}


def test_the_dropdown_of_instances_shows_label_and_gpu_and_begins_with_the_dearest(
    prometheus: Prometheus,
) -> None:
    (offered,) = [
        query for query in Dashboard("instance").other_queries if query.place == "variable instance"
    ]
    first, *_, last = [found["metric"] for found in prometheus.now(offered.resolve())]

    assert first["choice"] == f"108 \u00b7 {LABELS[-1]} \u00b7 H100 SXM"
    assert last["choice"] == f"100 \u00b7 {NO_LABEL} \u00b7 H100 SXM"
