"""From the replies of a list to what is shown: the one way of every collector of objects."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from exporter.vast.errors import ApiError, BadReplyError
from tests.support import things

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

IN_PAGES = things.collector(things.PAGES)


def reply(*rows: object, token: str | None = None) -> dict[str, Any]:
    return {"things": [{"name": row} if isinstance(row, str) else row for row in rows], "next_token": token}


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    """Serves things, as they come in one reply or in pages."""
    return new_exporter(collectors=[things.COLLECTOR])


def samples(exporter: Exporter, metric: str) -> dict[str, float]:
    """Return the samples of a metric of things, by the thing's name."""
    return {
        dict(labels).get("thing", ""): value
        for (name, labels), value in exporter.samples().items()
        if name == f"vastai_{metric}"
    }


def shown(exporter: Exporter) -> list[str]:
    return list(samples(exporter, "thing_since_timestamp_seconds"))


@pytest.mark.parametrize("name", ["a", "", "caf\xe9", 'say "hi"', "two\nlines", "a\\", "7"])
def test_an_object_may_be_named_by_any_text(exporter: Exporter, account: Account, name: str) -> None:
    account.collect(things.COLLECTOR, reply({"name": name, "size": 1}))
    assert samples(exporter, "thing_size_bytes") == {name: 2**30}


def test_a_list_may_come_in_one_reply_in_any_order(exporter: Exporter, account: Account) -> None:
    (progress,) = account.collect(things.COLLECTOR, reply("c", "a", "b", token="ignored"))
    assert (progress.pages, progress.objects, progress.total, progress.total_pages) == (1, 3, None, 1)
    assert shown(exporter) == ["a", "b", "c"]
    assert len(exporter.api.asked) == 1


def test_what_a_whole_reply_does_not_name_is_gone(exporter: Exporter, account: Account) -> None:
    account.collect(things.COLLECTOR, reply("a", "b"))
    account.collect(things.COLLECTOR, reply("b"))
    assert shown(exporter) == ["b"]
    account.collect(things.COLLECTOR, reply())
    assert shown(exporter) == []
    assert samples(exporter, "things_seen_total") == {"": 0}


def test_pages_of_a_list_that_does_not_say_its_length_are_counted_as_they_come(
    exporter: Exporter, account: Account
) -> None:
    progress = account.collect(IN_PAGES, reply("a", "b", token="1"), reply("c", "d", token="2"), reply("e"))
    assert [(each.pages, each.objects, each.total, each.total_pages) for each in progress] == [
        (1, 2, None, None),
        (2, 4, None, None),
        (3, 5, None, None),
    ]
    assert shown(exporter) == ["a", "b", "c", "d", "e"]


def test_where_the_length_is_said_the_number_of_pages_follows(account: Account) -> None:
    listing = replace(things.PAGES, total="count")
    replies = [reply("a", "b", token="1") | {"count": 3}, reply("c") | {"count": 3}]
    progress = account.collect(things.collector(listing), *replies)
    assert [(each.total, each.total_pages) for each in progress] == [(3, 2), (3, 2)]


@pytest.mark.parametrize(("total", "pages"), [(0, 1), ("1", 1), (2, 1), (2.0, 1), (3, 2), (None, None)])
def test_there_is_one_page_at_least(account: Account, total: object, pages: int | None) -> None:
    listing = replace(things.PAGES, total="count")
    (progress,) = account.collect(things.collector(listing), reply("a") | {"count": total})
    assert progress.total_pages == pages


def test_a_page_replaces_what_was_known_of_its_range_only(exporter: Exporter, account: Account) -> None:
    account.collect(IN_PAGES, reply("a", "c", token="1"), reply("e", "g"))
    with pytest.raises(ApiError):
        account.collect(IN_PAGES, reply("b", "d", token="1"), {})
    assert shown(exporter) == ["b", "d", "e", "g"]


def test_a_walk_under_way_holds_nothing_of_what_its_pages_have_replaced(account: Account) -> None:
    # Or each walk would need the memory of two.
    account.collect(IN_PAGES, reply("a", "c", token="1"), reply("e", "g"))
    before = weakref.ref(account.stores[IN_PAGES.name].snapshot)
    walk = account.start(IN_PAGES, reply("b", "d", token="1"), reply("f", token="2"), reply("g"))
    assert before() is not None
    next(walk)
    next(walk)
    assert before() is None


def test_a_page_on_the_way_without_a_usable_row_leaves_what_was_known(
    exporter: Exporter, account: Account
) -> None:
    account.collect(IN_PAGES, reply("a", "b", token="1"), reply("c", "d"))
    for before in ([], [reply("b", token="1")]):
        with pytest.raises(ApiError):
            account.collect(IN_PAGES, *before, reply({}, {}, token="2"), {})
        assert shown(exporter) == (["b", "c", "d"] if before else ["a", "b", "c", "d"])


def test_after_a_page_on_the_way_without_a_usable_row_the_next_one_begins_where_that_did(
    exporter: Exporter, account: Account
) -> None:
    account.collect(IN_PAGES, reply("a", "b", token="1"), reply("c", "d"))
    progress = account.collect(IN_PAGES, reply({}, {}, token="1"), reply({}, "b", token="2"), reply("d"))
    assert [each.objects for each in progress] == [0, 1, 2]
    assert shown(exporter) == ["b", "d"]
    assert account.unreadable == {"id": 3}


def test_a_first_walk_is_shown_when_it_is_whole_also_where_a_page_says_nothing(
    exporter: Exporter, account: Account
) -> None:
    with pytest.raises(BadReplyError):
        account.collect(IN_PAGES, reply({}, token="1"), reply("a", "b", token="2"), {})
    assert shown(exporter) == []
    account.collect(IN_PAGES, reply({}, token="1"), reply("a", "b", token="2"), reply("c"))
    assert shown(exporter) == ["a", "b", "c"]


def test_what_was_known_of_an_object_comes_to_its_next_record(exporter: Exporter, account: Account) -> None:
    start = exporter.wall_clock()
    account.collect(IN_PAGES, reply("a", "c"))
    exporter.wall_clock.advance(60)
    account.collect(IN_PAGES, reply("a", "b", token="1"), reply("c"))
    found = samples(exporter, "thing_since_timestamp_seconds")
    assert {name: since - start for name, since in found.items()} == {"a": 0, "b": 60, "c": 0}


def test_a_row_without_a_key_is_left_out_and_counted_as_id(exporter: Exporter, account: Account) -> None:
    account.collect(things.COLLECTOR, reply("a", "a", {"name": 7}, None, "b"))
    assert shown(exporter) == ["a", "b"]
    assert account.unreadable == {"id": 3}


@pytest.mark.parametrize(
    ("field", "sent", "unreadable", "out_of_range"),
    [
        ("size", None, 0, 0),
        ("size", 0, 0, 0),
        ("size", -0.5, 0, 1),
        ("size", "-1", 0, 1),
        ("size", "much", 1, 0),
        ("starts", 1e9, 0, 0),
        ("starts", 1_000_000_001, 0, 1),
        ("charge", 100, 0, 0),
        ("charge", 100.5, 0, 1),
        ("charge", -1, 0, 0),
        ("charge", True, 1, 0),
        ("paints", -7, 0, 1),
        ("broken", 2, 1, 0),
    ],
)
def test_what_can_not_be_read_and_what_can_not_be_true_are_counted_apart(
    account: Account, field: str, sent: object, unreadable: int, out_of_range: int
) -> None:
    account.collect(things.COLLECTOR, reply({"name": "a", field: sent}))
    assert account.unreadable == ({field: 1} if unreadable else {})
    assert account.out_of_range == ({field: 1} if out_of_range else {})


def test_a_value_of_no_use_costs_its_own_sample_only(exporter: Exporter, account: Account) -> None:
    good = {"size": 1, "starts": 2, "charge": 50, "paints": 3, "colour": "red", "broken": False}
    odd = {"size": -1, "starts": [], "charge": -1, "paints": "x", "colour": {}, "broken": "no"}
    for field in good:
        account.collect(
            things.COLLECTOR, reply({"name": "good", **good}, {"name": "odd", **good, field: odd[field]})
        )
        names = [dict(labels).get("thing") for _, labels in exporter.samples()]
        missing = 0 if field == "colour" else 1  # its label is empty, its sample is there
        assert names.count("good") - names.count("odd") == missing


def test_the_list_is_asked_for_as_it_is_declared(exporter: Exporter, account: Account) -> None:
    account.collect(IN_PAGES, reply("a", token="behind a"), reply("b"))
    asked = [urlsplit(target) for target in exporter.api.asked]
    assert {target.path for target in asked} == {things.ENDPOINT.path}
    assert [dict(parse_qsl(target.query)) for target in asked] == [
        {"order": "name"},
        {"order": "name", "after_token": "behind a"},
    ]


def test_what_a_collector_keeps_from_run_to_run_outlives_its_walks(account: Account) -> None:
    store = account.stores["things"]
    store.snapshot = replace(store.snapshot, memory={"kept": 1})
    account.collect(IN_PAGES, reply("a", "b", token="1"), reply("c"))
    account.collect(things.COLLECTOR, reply("a"))
    assert store.snapshot.memory == {"kept": 1}


def test_how_long_a_walk_took_is_known_when_it_is_whole(exporter: Exporter, account: Account) -> None:
    store = account.stores["things"]
    walk = account.start(IN_PAGES, reply("a", "b", token="1"), reply("c"))
    next(walk)
    exporter.clock.advance(40)
    assert store.snapshot.seconds == 0
    assert len(list(walk)) == 1
    assert store.snapshot.seconds == 40
