"""The first tiles of Fleet and Exporter: what they say where something is missing, and that they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grafana import history, tsdb
from grafana.dashboards.runway import RUNWAY_STEPS
from grafana.lib.palette import CRITICAL, WARNING
from grafana.lib.promql import ACCOUNT_BURN, AGE, INFO, RUNWAY, TROUBLE
from tests.grafana import world
from tests.grafana.conftest import STEP, Dashboard, Prometheus
from tests.grafana.world import HOUR, series

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.peers

LAST = "vastai_collector_last_success_timestamp_seconds"


def account(
    name: str = "web",
    *,
    ages: tuple[float, float] = (60, 60),
    failing: str = "",
    runway: float = 30 * 24 * HOUR,
) -> dict[str, float]:
    """Return what is known of an account with an instance; ages are those of instances and account."""
    own = {"account": name}
    samples = {
        series(ACCOUNT_BURN, own): 1.0,
        series(RUNWAY, own): runway,
        series("vastai_instance_info", own | {"instance_id": "1"}): 1,
        series(INFO, own | {"instance_id": "1", "label": "train", "gpu_name": "H100"}): 1,
        series("vastai_instances", own | {"status": "running"}): 1,
    }
    for collector, age in zip(("instances", "account"), ages, strict=True):
        of_it = own | {"collector": collector}
        samples |= {
            series("vastai_collector_success", of_it): collector != failing,
            series("vastai_collector_interval_seconds", of_it): 300 if collector == "account" else 60,
            series("vastai_collector_duration_seconds", of_it): 2,
            series(LAST, of_it): history.END - age,
            series(AGE, of_it): age,
        }
    return samples


def problem(reason: str, rank: float, name: str = "web") -> dict[str, float]:
    """Return a problem of the instance."""
    return {series(TROUBLE, {"account": name, "instance_id": "1", "reason": reason}): rank}


def verdict(folder: Path, board: str, samples: dict[str, float], minutes: int = 30) -> str:
    """Return the word on a dashboard's first tile."""
    world.known(folder, samples, minutes)
    with tsdb.served(folder, STEP) as url:
        return Prometheus(url).verdict(Dashboard(board))


TEN = [f"account-{number}" for number in range(10)]
BLIND = account(TEN[0], ages=(HOUR, HOUR))
NINE = {name: value for each in TEN[1:] for name, value in account(each).items()}


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (account(), "All is well"),
        (account() | problem("idle", 1), "Have a look"),
        (account() | problem("hot", 7), "Act now"),
        (account(ages=(60, HOUR)), "Partly blind"),
        (account(ages=(60, 1200), failing="account"), "Partly blind"),
        (account(ages=(HOUR, 60)), "Blind"),
        (BLIND | NINE, "Partly blind"),
        (BLIND | NINE | problem("offline", 11, TEN[3]), "Act now"),
        (account(runway=8 * HOUR), "Have a look"),
        (account(runway=5 * HOUR), "Act now"),
        ({name: value for name, value in account().items() if not name.startswith(INFO)}, "No rules yet"),
    ],
    ids=[
        "well",
        "idle",
        "hot",
        "account stale",
        "account failing",
        "instances stale",
        "one of ten blind",
        "one of ten blind, another in trouble",
        "8 h of credit",
        "5 h of credit",
        "rules not evaluated",
    ],
)
def test_fleet_status_says_the_worst_that_is_known(
    tmp_path: Path, samples: dict[str, float], says: str
) -> None:
    assert verdict(tmp_path, "fleet", samples) == says


def test_the_first_row_agrees_about_credit(tmp_path: Path) -> None:
    """Red, orange and green are not said of the same fact."""

    def color(seconds: float) -> str:
        return [color for least, color in RUNWAY_STEPS if least is None or seconds >= least][-1]

    world.known(tmp_path, account(runway=8 * HOUR))
    (active,) = [query for query in Dashboard("fleet").queries if query.place == "Active problems A"]
    (runway,) = [query for query in Dashboard("fleet").queries if query.place == "Credit runway A"]
    with tsdb.served(tmp_path, STEP) as url:
        prometheus = Prometheus(url)
        assert prometheus.verdict(Dashboard("fleet")) == "Have a look"
        assert prometheus.ask(active)[0]["value"][1] == "1"
        assert color(float(prometheus.ask(runway)[0]["value"][1])) == WARNING
    assert color(5 * HOUR) == CRITICAL


def test_idle_spend_is_not_zero_before_it_is_known(tmp_path: Path) -> None:
    (idle,) = [query for query in Dashboard("fleet").queries if query.place == "Idle spend A"]
    world.known(tmp_path, account())
    with tsdb.served(tmp_path, STEP) as url:
        assert not Prometheus(url).ask(idle)


def serverless(workers: float, success: float = 1) -> dict[str, float]:
    """Return what is known of an account with an active endpoint."""
    own = {"account": "web", "endpoint_id": "7"}
    return {
        series("vastai_collector_success", {"account": "web", "collector": "serverless"}): success,
        series("vastai_endpoint_info", own | {"endpoint_name": "llm", "state": "active"}): 1,
        series("vastai_endpoint_min_load", own): 1,
        series("vastai_endpoint_workers", own | {"status": "idle"}): workers,
    }


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (account() | serverless(1), "Good"),
        (account() | serverless(0), "No worker"),
        (account() | serverless(1, success=0), "Not read"),
        (account(), "Collector off"),
    ],
    ids=["well", "no worker", "failing", "off"],
)
def test_service_says_the_worst_that_is_known(tmp_path: Path, samples: dict[str, float], says: str) -> None:
    assert verdict(tmp_path, "serverless", samples) == says


@pytest.mark.parametrize(
    ("board", "says"), [("fleet", "Blind"), ("serverless", "Blind"), ("exporter", "Exporter down")]
)
def test_a_silent_exporter_is_said_in_one_word(tmp_path: Path, board: str, says: str) -> None:
    """It is not said to be off, and no other tile shows a number."""
    world.known(tmp_path, {"other_exporter": 1.0})
    with tsdb.served(tmp_path, STEP) as url:
        prometheus, dashboard = Prometheus(url), Dashboard(board)
        assert prometheus.verdict(dashboard) == says
        tiles = {panel["title"] for panel in dashboard.panels if panel["type"] == "stat"}
        others = [query for query in dashboard.queries[1:] if query.place[:-2] in tiles]
        assert [query.place for query in others if prometheus.ask(query)] == []


@pytest.mark.parametrize(("minutes", "says"), [(1, "Good"), (20, "Rules missing")])
def test_rules_are_missing_only_where_there_was_time_to_evaluate_them(
    tmp_path: Path, minutes: int, says: str
) -> None:
    target = {"job": "vastai-exporter", "instance": "one"}
    samples = {series("up", target): 1.0} | account()
    if minutes > 1:
        samples = {name: value for name, value in samples.items() if not name.startswith(AGE)}
    elif says == "Good":
        samples[series(LAST, {"account": "new", "collector": "instances"})] = history.END

    assert verdict(tmp_path, "exporter", samples, minutes) == says
