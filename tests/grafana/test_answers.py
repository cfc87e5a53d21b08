"""What tables and charts say of a fleet of which everything is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from grafana import tsdb
from tests.grafana import world
from tests.grafana.conftest import Dashboard, Prometheus
from tests.grafana.world import HOUR, Rented

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peers

HOURS = 2
#: More than a table shows.
MANY = 230
HOT, FULL, ENDING, DEAD, FROZEN = 1001, 1002, 1003, 1004, 1005
IDLE = {2001: 7.0, 2002: 3.0, 2003: 5.0}
FLEET = [
    *(Rented(number=number, ends_in=12 * HOUR, label=f"label-{number % 15}") for number in range(MANY)),
    Rented(number=HOT, temperature=88.4, cost=1),
    Rented(number=1011, temperature=86, cost=9),
    Rented(number=FULL, disk=0.93),
    Rented(number=ENDING, ends_in=5.5 * HOUR),
    Rented(number=DEAD, status="exited", intended="stopped", cost=0.05, price=50),
    Rented(number=FROZEN, status="frozen", intended="frozen", cost=2),
    *(Rented(number=number, util=0.01, cost=cost, label="cheap") for number, cost in IDLE.items()),
    # It works for half of what it costs.
    Rented(number=3001, gpu_name="A100", util=0.5, cost=8, label=""),
    Rented(number=3002, gpu_name="A100", util=1.0, cost=8, label=""),
    Rented(number=3003, gpu_name="A100", util=0.0, cost=16, label="", temperature=40),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of it."""
    path: Path = tmp_path_factory.mktemp("answers")
    world.write(path, FLEET, hours=HOURS)
    return path


@pytest.fixture
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """Serves it."""
    with tsdb.served(folder, world.STEP) as url:
        yield Prometheus(url)


def answers(prometheus: Prometheus, board: str, place: str, **chosen: str) -> list[dict[str, Any]]:
    """Return what a query of a panel says: labels, with the value, or the last of them, among them."""
    (query,) = [query for query in Dashboard(board).queries if query.place == place]
    return [
        found["metric"] | {"": float((found["value"] if "value" in found else found["values"][-1])[1])}
        for found in prometheus.ask(query, **chosen)
    ]


def problems(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Return the rows of the table of problems in their order, all of them."""
    found = answers(prometheus, "fleet", "Problems by instance A")
    return sorted(found, key=lambda row: row[""], reverse=True)


def test_a_problem_is_listed_with_what_was_measured(prometheus: Prometheus) -> None:
    values = {(row["instance_id"], row["reason"]): row.get("value") for row in problems(prometheus)}

    assert values[str(HOT), "hot"] == "88 °C"
    assert values[str(FULL), "full"] == "93 %"
    assert values[str(ENDING), "ending"] == "5.5 h"
    assert values["2001", "idle"] == "1 %"
    # It is idle by its status, so there is nothing to be measured.
    assert values[str(FROZEN), "idle"] is None


def test_among_equal_problems_the_dearest_comes_first(prometheus: Prometheus) -> None:
    hot = [row["instance_id"] for row in problems(prometheus) if row["reason"] == "hot"]
    idle = [row["instance_id"] for row in problems(prometheus) if row["reason"] == "idle"]

    assert hot == ["1011", str(HOT)]
    assert idle == ["3003", "2001", "2003", "2002", str(FROZEN)]


def test_every_problem_names_its_instance(prometheus: Prometheus) -> None:
    for row in problems(prometheus):
        assert row["status"]
        assert row["label"]
        assert row["gpu_name"]
        assert row["runbook"] == row["limit"] == row["reason"]


def test_idle_gpus_are_listed_however_many_other_problems_there_are(prometheus: Prometheus) -> None:
    assert len(problems(prometheus)) > MANY
    idle = answers(prometheus, "fleet", "Idle GPUs A")

    assert {row["instance_id"]: row[""] for row in idle} == {"3003": 16, str(FROZEN): 2} | {
        str(number): cost for number, cost in IDLE.items()
    }


def test_idle_gpus_say_for_how_long(prometheus: Prometheus) -> None:
    found = {row["instance_id"]: row[""] for row in answers(prometheus, "fleet", "Idle GPUs B")}

    assert found["2001"] == pytest.approx(5 * HOUR, abs=world.STEP)


def test_utilization_is_weighted_by_dollars(prometheus: Prometheus) -> None:
    (found,) = answers(prometheus, "fleet", "GPU utilization D", gpu_name="A100")
    (median,) = answers(prometheus, "fleet", "GPU utilization B", gpu_name="A100")

    assert (found[""], median[""]) == (pytest.approx((8 * 0.5 + 8) / 32), 0.5)


def test_all_instances_are_in_the_table(prometheus: Prometheus) -> None:
    rows = answers(prometheus, "fleet", "All instances A")

    assert len({row["instance_id"] for row in rows}) == len(FLEET)
    for letter in "BCDEF":
        # What has another name would be a row of its own.
        assert all(
            set(row) == {"account", "instance_id", ""}
            for row in answers(prometheus, "fleet", f"All instances {letter}")
        )


def test_a_label_that_costs_little_is_shown_where_it_is_chosen(prometheus: Prometheus) -> None:
    rows = answers(prometheus, "cost", "By label A", label="label-3")

    assert [row["label"] for row in rows] == ["label-3"]
    assert not answers(prometheus, "cost", "By label B", label="label-3")
    assert answers(prometheus, "cost", "By label B")


def test_what_does_not_run_has_no_price(prometheus: Prometheus) -> None:
    priced = {row["instance_id"] for row in answers(prometheus, "cost", "Price vs. own median A")}

    assert priced
    assert str(DEAD) not in priced


def test_disk_that_was_never_used_is_told_in_dollars(prometheus: Prometheus) -> None:
    found = {
        row["instance_id"]: row[""] for row in answers(prometheus, "cost", "Unused disk A", label="cheap")
    }

    assert found["2001"] == pytest.approx(0.1 * 720 * 0.9)


def test_spend_of_hours_adds_up(prometheus: Prometheus) -> None:
    (spend,) = answers(prometheus, "cost", "Spend vs. a week before A", label="cheap")[:1]

    assert spend[""] == pytest.approx(sum(IDLE.values()), rel=0.1)
