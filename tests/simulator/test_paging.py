from __future__ import annotations

import base64
import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import DEFAULT_START, Account, Fleet
from exporter.simulator.api.endpoint import Question
from exporter.simulator.api.paging import Table, take_page
from exporter.simulator.api.query import Order, PageLimits, Query, QueryError, parse_limit
from exporter.simulator.endpoints.instances import list_instances
from exporter.simulator.fleet.instance_row import STORED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.simulator.fleet.instance import Instance

ORDERS = [f'[{{"col":"{column}","dir":"{turn}"}}]' for column in STORED for turn in ("asc", "desc", "up")]


def ask(fleet: Fleet, **params: object) -> dict[str, object]:
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()}
    reply = json.loads(list_instances(Question(Account("", fleet, None), texts, {})).body)
    assert isinstance(reply, dict)
    return reply


def ids(reply: dict[str, object]) -> list[int]:
    rows = reply["instances"]
    assert isinstance(rows, list)
    return [fields["id"] for fields in rows]


def walk(fleet: Fleet, **params: object) -> list[int]:
    found: list[int] = []
    token: object = ""
    while token is not None:
        reply = ask(fleet, **params, after_token=token)
        found += ids(reply)
        token = reply["next_token"]
    return found


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet(1, 130, DEFAULT_START)


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(0, 90), limit=st.integers(-3, 40), seed=st.integers(0, 9), order=st.sampled_from(ORDERS)
)
def test_walking_all_pages_lists_every_instance_exactly_once(
    size: int, limit: int, seed: int, order: str
) -> None:
    fleet = Fleet(seed, size, DEFAULT_START)
    assert sorted(walk(fleet, limit=limit, order_by=order)) == fleet.ids()
    assert walk(fleet, limit=limit) == fleet.ids()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), limit=st.integers(3, 25))
def test_a_walk_while_instances_come_and_go_misses_none_that_stayed_and_repeats_none(
    seed: int, limit: int
) -> None:
    fleet = Fleet(seed, 60, DEFAULT_START, incidents=False)
    random = Random(seed)
    before = set(fleet.ids())
    found: list[int] = []
    token: object = ""
    while token is not None:
        reply = ask(fleet, limit=limit, order_by=[{"col": "id", "dir": "asc"}], after_token=token)
        found += ids(reply)
        token = reply["next_token"]
        fleet.advance(fleet.now + 60)
        for _ in range(random.randrange(3)):
            fleet.destroy(random.choice(fleet.ids()))
        fleet.rent()
    assert found == sorted(set(found))
    assert before & set(fleet.ids()) <= set(found)


def test_the_cursor_goes_on_behind_an_instance_that_was_destroyed() -> None:
    fleet = Fleet(1, 30, DEFAULT_START)
    first = ask(fleet, limit=10)
    fleet.destroy(ids(first)[-1])
    assert ids(ask(fleet, limit=10, after_token=first["next_token"])) == fleet.ids()[9:19]


def test_a_page_says_how_many_rows_it_has_and_how_many_there_are(fleet: Fleet) -> None:
    reply = ask(fleet)
    assert list(reply) == [
        *("success", "instances_found", "total_instances", "label_counts", "next_token", "instances")
    ]
    assert (reply["success"], reply["instances_found"], reply["total_instances"]) == (True, 25, 130)
    labels = Counter(instance.contract.label or "" for instance in list(fleet.roster)[:25])
    assert reply["label_counts"] == labels


@pytest.mark.parametrize(("limit", "rows"), [(1, 1), (25, 25), (26, 25), (10_000, 25), (0, 5), (-1, 5)])
def test_the_limit_is_clamped_and_means_five_when_it_is_not_positive(
    fleet: Fleet, limit: int, rows: int
) -> None:
    assert ask(fleet, limit=limit)["instances_found"] == rows


def test_the_last_page_has_no_token_even_when_it_is_full() -> None:
    fleet = Fleet(1, 50, DEFAULT_START)
    second = ask(fleet, after_token=ask(fleet)["next_token"])
    assert (second["instances_found"], second["next_token"]) == (25, None)


def test_an_empty_account_has_one_empty_page() -> None:
    reply = ask(Fleet(1, 0, DEFAULT_START))
    assert (reply["instances"], reply["next_token"], reply["total_instances"]) == ([], None, 0)


def test_the_token_holds_the_last_id_of_the_page(fleet: Fleet) -> None:
    reply = ask(fleet, limit=3)
    token = reply["next_token"]
    assert isinstance(token, str)
    assert json.loads(base64.b64decode(token)) == {"values": {"id": ids(reply)[-1]}}


@pytest.mark.parametrize(
    "token",
    [
        "garbage",
        "é",
        base64.b64encode(b"{}").decode(),
        base64.b64encode(b"[1]").decode(),
        base64.b64encode(b'{"values": {"id": "x"}}').decode(),
        base64.b64encode(b'{"values": {"start_date": 1}}').decode(),
    ],
)
def test_a_bad_token_is_refused(fleet: Fleet, token: str) -> None:
    with pytest.raises(QueryError) as caught:
        ask(fleet, after_token=token)
    assert caught.value.error == "invalid_token"


def test_a_token_of_another_order_is_refused(fleet: Fleet) -> None:
    token = ask(fleet)["next_token"]
    with pytest.raises(QueryError) as caught:
        ask(fleet, order_by=[{"col": "label"}], after_token=token)
    assert caught.value.error == "invalid_token"
    wrong = base64.b64encode(b'{"values": {"label": 5, "id": 1}}').decode()
    with pytest.raises(QueryError) as caught:
        ask(fleet, order_by=[{"col": "label"}], after_token=wrong)
    assert caught.value.error == "invalid_token"


@pytest.mark.parametrize(
    "params",
    [
        {"order_by": '[{"col":"dph_total"}]'},
        {"order_by": '[{"col":["id"]}]'},
        {"order_by": '{"col":"id"}'},
        {"order_by": "["},
        {"limit": "many"},
        {"select_cols": '"id"'},
        {"select_cols": "[1]"},
        {"select_filters": "[]"},
        {"select_filters": '{"dph_total":{"gt":1}}'},
        {"select_filters": '{"num_gpus":{"gt":1}}'},
        {"select_filters": '{"id":{"like":1}}'},
        {"select_filters": '{"id":5}'},
        {"select_filters": '{"id":{"gt":"x"}}'},
        {"select_filters": '{"id":{"in":5}}'},
        {"select_filters": '{"id":{"notin":5}}'},
    ],
)
def test_a_bad_query_is_refused(fleet: Fleet, params: dict[str, str]) -> None:
    with pytest.raises(QueryError) as caught:
        ask(fleet, **params)
    assert caught.value.error == "invalid_request"
    assert caught.value.message.startswith("Error in query parameters: ")


def test_the_message_names_a_column_that_cannot_be_filtered(fleet: Fleet) -> None:
    with pytest.raises(QueryError, match="dph_total is not a valid search key"):
        ask(fleet, select_filters={"dph_total": {"gt": 1}})


def test_rows_come_in_the_order_asked_for_with_the_id_deciding_ties(fleet: Fleet) -> None:
    found = walk(fleet, order_by=[{"col": "gpu_name", "dir": "desc"}])
    keys = [(fleet.instance(i).contract.machine.gpu.name, -i) for i in found]
    assert keys == sorted(keys, reverse=True)
    assert walk(fleet, order_by=[{"col": "id", "dir": "desc"}]) == fleet.ids()[::-1]
    assert walk(fleet, order_by=[{"col": "start_date", "dir": "sideways"}]) == fleet.ids()


def test_null_labels_come_last_and_when_descending_first(fleet: Fleet) -> None:
    ascending = [fleet.instance(i).contract.label for i in walk(fleet, order_by=[{"col": "label"}])]
    number = ascending.count(None)
    assert ascending[-number:] == [None] * number
    descending = walk(fleet, order_by=[{"col": "label", "dir": "desc"}])
    assert [fleet.instance(i).contract.label for i in descending[:number]] == [None] * number


@pytest.mark.parametrize("name", ["eq", "neq", "gt", "gte", "lt", "lte"])
def test_each_operator_selects_what_it_says(fleet: Fleet, name: str) -> None:
    pivot = fleet.ids()[40]
    expected = {
        "eq": fleet.ids()[40:41],
        "neq": [i for i in fleet.ids() if i != pivot],
        "gt": fleet.ids()[41:],
        "gte": fleet.ids()[40:],
        "lt": fleet.ids()[:40],
        "lte": fleet.ids()[:41],
    }
    assert walk(fleet, select_filters={"id": {name: pivot}}) == expected[name]


def test_lists_select_and_null_in_them_means_unlabelled(fleet: Fleet) -> None:
    unlabelled = [i.id for i in fleet.roster if i.contract.label is None]
    assert walk(fleet, select_filters={"label": {"in": [None]}}) == unlabelled
    labelled = [i.id for i in fleet.roster if i.contract.label is not None]
    assert walk(fleet, select_filters={"label": {"notin": [None]}}) == labelled
    greater = [i.id for i in fleet.roster if (i.contract.label or "") > "p"]
    assert walk(fleet, select_filters={"label": {"gt": "p"}}) == greater


def test_filters_combine_and_the_total_counts_what_matches(fleet: Fleet) -> None:
    filters = {"gpu_name": {"in": ["RTX 4090", "H100 SXM"]}, "actual_status": {"eq": "running"}}
    expected = [
        i.id
        for i in fleet.roster
        if i.contract.machine.gpu.name in ("RTX 4090", "H100 SXM") and i.status == "running"
    ]
    assert walk(fleet, select_filters=filters, limit=4) == expected
    assert ask(fleet, select_filters=filters, limit=4)["total_instances"] == len(expected)


def test_offline_is_computed_so_that_a_filter_never_matches_it() -> None:
    fleet = Fleet(1, 300, DEFAULT_START)
    offline = [i.id for i in fleet.roster if i.shown_status == "offline"]
    assert offline
    assert walk(fleet, select_filters={"actual_status": {"eq": "offline"}}) == []
    stored = fleet.instance(offline[0]).status
    assert offline[0] in walk(fleet, select_filters={"actual_status": {"eq": stored}})


def test_only_the_columns_asked_for_are_sent_and_a_star_is_all(fleet: Fleet) -> None:
    reply = ask(fleet, select_cols=["id", "label", "dph_totl"], limit=1)
    rows = reply["instances"]
    assert isinstance(rows, list)
    assert list(rows[0]) == ["id", "label", "dph_totl"]
    assert rows[0]["dph_totl"] is None
    assert ask(fleet, select_cols=["*"], limit=1) == ask(fleet, limit=1)


def test_a_page_of_a_large_fleet_looks_at_its_own_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    fleet = Fleet(1, 3000, DEFAULT_START)
    after = fleet.roster.after

    def counting(instance_id: int | None) -> Iterator[Instance]:
        nonlocal looked_at
        for instance in after(instance_id):
            looked_at += 1
            yield instance

    monkeypatch.setattr(fleet.roster, "after", counting)
    ask(fleet, after_token=ask(fleet)["next_token"])
    assert looked_at == 2 * 26


# Any rows, not of instances only: what other lists are made of.


def days(latest: Order, limit: int, after: tuple[object, ...] | None = None) -> list[tuple[int, int]]:
    rows = [(day, number) for day in range(3) for number in range(4)]
    table = Table(rows, {"day": lambda r: r[0], "id": lambda r: 10 * r[0] + r[1]}, key="id")
    page = take_page(table, Query(limit, after, (latest, Order("id", descending=False))))
    assert page.total == 12
    return page.rows


def test_any_rows_are_sorted_and_gone_on_with() -> None:
    latest = Order("day", descending=True)
    assert days(latest, 5) == [(2, 0), (2, 1), (2, 2), (2, 3), (1, 0)]
    assert days(latest, 5, after=(1, 10)) == [(1, 1), (1, 2), (1, 3), (0, 0), (0, 1)]


@pytest.mark.parametrize(("text", "rows"), [(None, 100), ("100", 100), ("501", 500), ("0", 1)])
def test_every_list_has_limits_of_its_own(text: str | None, rows: int) -> None:
    params = {} if text is None else {"limit": text}
    assert parse_limit(params, PageLimits(default=100, most=500, low=1)) == rows
