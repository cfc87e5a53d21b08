from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.simulator import DEFAULT_START, Account, Fleet
from exporter.simulator.api.endpoint import Question
from exporter.simulator.endpoints.charges import list_charges
from exporter.simulator.fleet.ledger import DAY
from exporter.simulator.fleet.serverless import endpoint_of

MIDNIGHT = DEFAULT_START // DAY * DAY


def ask(fleet: Fleet, filters: object, **params: str) -> tuple[int, dict[str, Any]]:
    texts = {"select_filters": json.dumps(filters), **params}
    reply = list_charges(Question(Account("", fleet, None), texts, {}))
    return reply.status, json.loads(reply.body)


def days(first: float, last: float, **more: object) -> dict[str, object]:
    return {"day": {"gte": first, "lte": last}, **more}


def walk(fleet: Fleet, filters: object, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = ""
    while token is not None:
        status, page = ask(fleet, filters, after_token=token, **params)
        assert (status, page["success"], page["count"]) == (200, True, len(page["results"]))
        found += page["results"]
        token = page["next_token"]
    return found


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """Three days old."""
    fleet = Fleet(1, 120, MIDNIGHT, incidents=False)
    fleet.set_autobill(None, None)
    fleet.set_credit(1e6)
    fleet.advance(MIDNIGHT + 2.5 * DAY)
    return fleet


def total(rows: list[dict[str, Any]]) -> float:
    return float(sum(row["amount"] for row in rows))


@pytest.mark.parametrize(
    "filters",
    [{}, {"day": {"gte": 1}}, {"day": {"lte": 1}}, {"day": {"gte": "x", "lte": 1}}, [], {"day": 1}],
)
def test_both_bounds_of_the_days_are_wanted(fleet: Fleet, filters: object) -> None:
    status, reply = ask(fleet, filters)
    assert (status, reply["success"]) == (400, False)
    assert reply["msg"] == "Must provide both 'day' gte and lte filters for instance charges"


def test_a_bad_token_limit_or_order_is_refused(fleet: Fleet) -> None:
    for params in ({"after_token": "x"}, {"limit": "x"}, {"latest_first": "perhaps"}):
        assert ask(fleet, days(MIDNIGHT, MIDNIGHT), **params)[0] == 400


def test_what_was_charged_is_what_left_the_credit_and_what_reserved_ones_spent_of_their_own() -> None:
    fleet = Fleet(1, 300, MIDNIGHT, incidents=False)
    fleet.set_autobill(None, None)
    fleet.set_credit(1e6)
    reserved = {i.id: i for i in fleet.roster if i.reserve is not None}
    assert reserved
    fleet.advance(MIDNIGHT + 3600)
    reserved |= {i.id: i for i in fleet.roster if i.reserve is not None}
    day = int(MIDNIGHT // DAY)
    amounts = fleet.ledger.between(day, day)
    prepaid = sum(amounts[i].gpu + amounts[i].disk for i in reserved)
    charged = total(walk(fleet, days(MIDNIGHT, fleet.now)))
    assert charged - prepaid == pytest.approx(1e6 - fleet.credit(), rel=0.002)


def test_days_add_up_to_their_range(fleet: Fleet) -> None:
    single = [walk(fleet, days(MIDNIGHT + n * DAY, MIDNIGHT + n * DAY + DAY - 1)) for n in range(3)]
    together = walk(fleet, days(MIDNIGHT, MIDNIGHT + 3 * DAY - 1))
    assert sum(map(total, single)) == pytest.approx(total(together), rel=1e-3)
    assert all(total(rows) > 0 for rows in single)


def test_a_day_that_is_over_stays_as_it_is_though_its_instances_go() -> None:
    fleet = Fleet(1, 60, MIDNIGHT)
    fleet.advance(MIDNIGHT + DAY)
    before = walk(fleet, days(MIDNIGHT, MIDNIGHT))
    fleet.advance(MIDNIGHT + 6 * DAY)
    after = walk(fleet, days(MIDNIGHT, MIDNIGHT))
    assert [row["source"] for row in before] == [row["source"] for row in after]
    assert total(before) == pytest.approx(total(after))
    assert {int(row["source"].split("-")[1]) for row in after} - set(fleet.ids())


def test_there_are_charges_of_the_weeks_before_it_all_began(fleet: Fleet) -> None:
    week = walk(fleet, days(MIDNIGHT - 7 * DAY, MIDNIGHT - 1))
    assert total(week) > 0
    assert total(walk(fleet, days(MIDNIGHT - 400 * DAY, MIDNIGHT - 399 * DAY))) == 0


def test_of_tomorrow_there_are_none(fleet: Fleet) -> None:
    assert walk(fleet, days(fleet.now + DAY, fleet.now + 2 * DAY)) == []


def test_a_row_says_what_was_paid_for(fleet: Fleet) -> None:
    rows = walk(fleet, days(MIDNIGHT, fleet.now))
    for row in rows:
        assert row["type"] == "instance"
        assert row["amount"] == pytest.approx(sum(item["amount"] for item in row["items"]), abs=0.001)
        assert MIDNIGHT <= row["start"] <= row["end"] <= fleet.now
        assert None not in row["metadata"].values()
    assert {item["type"] for row in rows for item in row["items"]} == {"gpu", "disk", "bwd", "bwu"}
    running = next(row for row in rows if row["items"][0]["type"] == "gpu")
    hours, price = running["items"][0]["description"].replace("/hour", "").split(" hours at $")
    assert running["items"][0]["amount"] == pytest.approx(float(hours) * float(price), rel=0.42)


def test_a_page_has_a_hundred_rows_unless_more_are_asked_for_and_five_hundred_at_most() -> None:
    fleet = Fleet(1, 600, MIDNIGHT)
    fleet.advance(MIDNIGHT + 3600)
    today = days(MIDNIGHT, MIDNIGHT)
    assert [ask(fleet, today)[1]["count"], ask(fleet, today, limit="900")[1]["count"]] == [100, 500]
    assert ask(fleet, today, limit="900")[1]["total"] >= 600
    sources = [row["source"] for row in walk(fleet, today, limit="70")]
    assert len(sources) == len(set(sources)) == ask(fleet, today)[1]["total"]


def test_the_latest_come_first_or_last(fleet: Fleet) -> None:
    starts = [row["start"] for row in walk(fleet, days(MIDNIGHT, fleet.now))]
    assert starts == sorted(starts, reverse=True)
    starts = [row["start"] for row in walk(fleet, days(MIDNIGHT, fleet.now), latest_first="false")]
    assert starts == sorted(starts)


def test_workers_are_charges_of_their_own_type(fleet: Fleet) -> None:
    everything = walk(fleet, days(MIDNIGHT, fleet.now))
    wanted = days(MIDNIGHT, fleet.now, type={"in": ["serverless"]})
    workers = walk(fleet, wanted)
    assert 0 < len(workers) < len(everything)
    assert all({"endpoint_id", "workergroup_id"} <= row["metadata"].keys() for row in workers)
    ids = {i.id for i in fleet.roster if endpoint_of(i.contract)}
    assert ids <= {int(row["source"].split("-")[1]) for row in workers}


def test_a_tree_collapses_workers_below_their_endpoint(fleet: Fleet) -> None:
    flat = ask(fleet, days(MIDNIGHT, fleet.now), limit="500")[1]["results"]
    page = ask(fleet, days(MIDNIGHT, fleet.now), limit="500", format="tree")[1]["results"]
    endpoints = [row for row in page if row["type"] == "serverless"]
    assert {row["source"] for row in endpoints} == {"endpoint-19392", "endpoint-19407"}
    assert total(page) == pytest.approx(total(flat))
    group = endpoints[0]["items"][0]
    assert group["source"].startswith("workergroup-")
    assert {row["type"] for row in group["items"]} == {"instance"}
