"""A walk yields every usable row once, and pages whose ranges leave no gap; or it fails, and says why."""

from __future__ import annotations

import json
from collections import deque
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import ApiError, BadReplyError, ClientError, IncompleteError
from exporter.vast.pages import (
    LARGEST_ID,
    MOST_PAGES,
    USUAL_PAGES,
    Listing,
    Page,
    compact_json,
    id_of,
    replies,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.vast.pages import Row
    from tests.support.scripted_api import Api, ClientSetup

    Walk = Callable[..., list[Page[Any]]]

LIMIT = 25
#: A list that is sorted by number.
INSTANCES = Listing(
    endpoint=Endpoint("/api/v1/instances/", 1.0),
    rows="instances",
    key=id_of,
    params={"limit": str(LIMIT), "select_cols": compact_json(["id"])},
    limit=LIMIT,
    total="total_instances",
)


def name_of(row: Row) -> str | None:
    name = row.get("name")
    return name if isinstance(name, str) else None


#: A list that is sorted by text, and does not say how long it is.
SECRETS = Listing(endpoint=Endpoint("/api/v0/secrets/", 1.0), rows="secrets", key=name_of, params={}, limit=3)
#: A list that comes in one reply, in whatever order.
VOLUMES = Listing(endpoint=Endpoint("/api/v0/volumes/", 1.0), rows="volumes", key=id_of, params={"all": "1"})

#: What can't be the id of a row.
ODD_IDS: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    "",
    "x",
    "1.0",
    "-3",
    " 7",
    "\u0663",
    20 * "1",
    2**63,
    LARGEST_ID,
    10**30,
    [1],
    {},
    1e30,
]
ODD_ROWS = [None, 7, "row", [1], {}, *({"id": value} for value in ODD_IDS)]


def page(rows: Sequence[Any], token: object = None, total: object = None) -> dict[str, Any]:
    return {"success": True, "instances": rows, "total_instances": total, "next_token": token}


def numbered(*ids: object) -> list[dict[str, object]]:
    return [{"id": number} for number in ids]


def named(*names: object) -> list[dict[str, object]]:
    return [{"name": name} for name in names]


def keys(pages: Sequence[Page[Any]]) -> list[list[Any]]:
    return [[key for key, _ in each.rows] for each in pages]


def ranges(pages: Sequence[Page[Any]]) -> list[tuple[Any, Any]]:
    """Return where each page begins and ends; None is the beginning, or the end, of the list."""
    return [(each.after, each.upto) for each in pages]


@pytest.fixture
def walked(api: Api, setup: ClientSetup) -> Walk:
    """Walks over replies, and returns all pages up to the end or the error."""
    setup.min_interval = 0.0
    client = setup.client()

    def run(
        *contents: object,
        listing: Listing[Any] = INSTANCES,
        error: type[ApiError] | None = None,
        match: str = "",
    ) -> list[Page[Any]]:
        api.replies.clear()
        api.replies += [each if isinstance(each, bytes) else api.reply(each) for each in contents]
        pages: list[Page[Any]] = []

        with pytest.raises(error, match=match) if error is not None else nullcontext():
            for each in walk(client, listing):
                pages.append(each)  # noqa: PERF402 - those before an error count
        return pages

    return run


def test_pages_follow_their_tokens_until_there_is_none(walked: Walk, api: Api) -> None:
    pages = walked(page(numbered(1, 2), "a"), page(numbered(5), "b"), page(numbered(9, 12)))
    assert [asked.params.get("after_token") for asked in api.asked] == [None, "a", "b"]
    assert keys(pages) == [[1, 2], [5], [9, 12]]
    assert ranges(pages) == [(None, 2), (2, 5), (5, None)]
    assert [(each.number, each.last) for each in pages] == [(1, False), (2, False), (3, True)]
    assert [each.left_out for each in pages] == [0, 0, 0]


def test_a_page_keeps_its_rows_as_they_came(walked: Walk) -> None:
    row = {"id": 7, "label": "x", "gpu_util": None}
    assert walked(page([row]))[0].rows == ((7, row),)


@pytest.mark.parametrize("token", [None, ""])
def test_the_last_page_speaks_for_all_beyond(walked: Walk, token: object) -> None:
    assert ranges(walked(page(numbered(3), token))) == [(None, None)]


def test_a_reply_without_a_token_is_the_last_page(walked: Walk) -> None:
    assert ranges(walked({"instances": numbered(3)})) == [(None, None)]


@pytest.mark.parametrize(
    "reply",
    [page([]), page([], total=0), page(None, total=0), {"instances": []}],  # type: ignore[arg-type]
)
def test_no_instances_are_one_empty_page(walked: Walk, reply: object) -> None:
    pages = walked(reply)
    assert (keys(pages), ranges(pages)) == ([[]], [(None, None)])


def test_the_last_page_may_be_empty(walked: Walk) -> None:
    pages = walked(page(numbered(1), "a"), page([]))
    assert (keys(pages), ranges(pages)) == ([[1], []], [(None, 1), (1, None)])


@pytest.mark.parametrize("total", [5, 0, None, "5", -1, [], 1e300, True])
def test_the_total_is_passed_on_as_it_came_and_changes_nothing(walked: Walk, total: object) -> None:
    pages = walked(page(numbered(1), "a", total), page(numbered(2), None, total))
    assert [each.total for each in pages] == [total, total]


@pytest.mark.parametrize("value", [7, "7", 7.0, "007"])
def test_an_id_may_be_written_as_text_or_as_a_float(walked: Walk, value: object) -> None:
    assert keys(walked(page(numbered(value)))) == [[7]]


@pytest.mark.parametrize("row", ODD_ROWS, ids=[json.dumps(row) for row in ODD_ROWS])
def test_a_row_without_a_usable_id_is_left_out_and_counted(walked: Walk, row: object) -> None:
    pages = walked(page([row, *numbered(4), row], "a"), page([row]))
    assert (keys(pages), [each.left_out for each in pages]) == ([[4], []], [2, 1])
    assert ranges(pages) == [(None, 4), (4, None)]


def test_an_id_of_thousands_of_digits_costs_its_row_only(walked: Walk, api: Api) -> None:
    body = b'{"instances": [{"id": 3}, {"id": %s}], "next_token": null}' % (5000 * b"9")
    api.otherwise = api.reply(body)
    pages = walked()
    assert (keys(pages), pages[0].left_out) == ([[3]], 1)


def test_of_a_row_that_comes_twice_the_first_counts(walked: Walk) -> None:
    first, again = {"id": 4, "label": "first"}, {"id": 4, "label": "again"}
    pages = walked(page([first, again, {"id": 5}], "a"), page([again, {"id": 6}]))
    assert [dict(each.rows) for each in pages] == [{4: first, 5: {"id": 5}}, {6: {"id": 6}}]
    assert [each.left_out for each in pages] == [1, 1]


def test_rows_out_of_order_are_put_in_order(walked: Walk) -> None:
    pages = walked(page(numbered(3, 1, 5), "a"), page(numbered(9, 7)))
    assert keys(pages) == [[1, 3, 5], [7, 9]]


def test_what_lies_beyond_the_last_row_of_a_page_belongs_to_the_next(walked: Walk) -> None:
    pages = walked(page(numbered(1, 9, 5), "a"), page(numbered(6, 9)))
    assert (keys(pages), ranges(pages)) == ([[1, 5], [6, 9]], [(None, 5), (5, None)])
    assert [each.left_out for each in pages] == [1, 0]


def test_what_lies_before_a_page_is_left_out(walked: Walk) -> None:
    pages = walked(page(numbered(5, 8), "a"), page(numbered(3, 8, 9)))
    assert (keys(pages), [each.left_out for each in pages]) == ([[5, 8], [9]], [0, 2])


def test_the_last_row_of_one_page_may_be_all_there_is_on_the_next(walked: Walk) -> None:
    pages = walked(page(numbered(5, 8), "a"), page(numbered(8), "b"), page(numbered(8)))
    assert (keys(pages), ranges(pages)) == ([[5, 8], [], []], [(None, 8), (8, 8), (8, None)])
    assert [each.left_out for each in pages] == [0, 1, 1]


def test_rows_may_vanish_on_the_way(walked: Walk) -> None:
    pages = walked(page(numbered(1, 2), "a", 5), page(numbered(9), None, 3))
    assert (keys(pages), ranges(pages)) == ([[1, 2], [9]], [(None, 2), (2, None)])


def test_a_repeated_token_leads_to_no_end(walked: Walk) -> None:
    replies = page(numbered(1), "a"), page(numbered(2), "b"), page(numbered(3), "a")
    pages = walked(*replies, error=IncompleteError, match="page 3 points to a page that was already read")
    assert keys(pages) == [[1], [2], [3]]


def test_a_server_that_ignores_the_cursor_is_noticed_on_its_second_page(walked: Walk) -> None:
    replies = page(numbered(1, 2), "a"), page(numbered(1, 2), "b")
    pages = walked(
        *replies, error=IncompleteError, match="page 2 contains only rows that belong to earlier pages"
    )
    assert keys(pages) == [[1, 2]]


@pytest.mark.parametrize("token", ["b", None])
def test_a_server_that_ignores_the_order_does_not_make_rows_look_gone(walked: Walk, token: object) -> None:
    replies = page(numbered(9, 8), "a"), page(numbered(7, 6), token)
    walked(*replies, error=IncompleteError, match="page 2 contains only rows that belong to earlier pages")


def test_an_empty_page_with_a_token_leads_to_no_end(walked: Walk) -> None:
    replies = page(numbered(1), "a"), page([], "b")
    pages = walked(*replies, error=IncompleteError, match="page 2 is empty but points to a next page")
    assert keys(pages) == [[1]]


def test_a_page_is_full_with_as_many_rows_as_were_asked_for(walked: Walk) -> None:
    full = range(1, LIMIT + 1)
    assert keys(walked(page(numbered(*full)))) == [list(full)]
    walked(
        page(numbered(*full, LIMIT + 1)),
        error=IncompleteError,
        match="page 1 has 26 rows; requested at most 25",
    )


@pytest.mark.parametrize("token", [0, 1, 1.5, True, False, [], ["a"], {}, "\ud800", "a\nb"])
def test_a_token_that_is_no_text_is_a_bad_reply(walked: Walk, token: object) -> None:
    assert not walked(page(numbered(1), token), error=BadReplyError, match="next_token is not a string")


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"instances": None},
        {"instances": None, "total_instances": 3},
        {"instances": {}},
        {"instances": "rows"},
        {"instances": 0, "total_instances": 0},
        {"total_instances": 0},
    ],
)
def test_a_reply_without_a_list_is_a_bad_reply(walked: Walk, reply: object) -> None:
    assert not walked(reply, error=BadReplyError, match="the reply has no list of instances")


def test_a_token_that_becomes_invalid_on_the_way_is_an_error_of_the_client(walked: Walk, api: Api) -> None:
    invalid = api.reply({"error": "invalid_token", "msg": "Invalid token"}, 400)
    pages = walked(page(numbered(1), "a"), invalid, error=ClientError, match="invalid_token")
    assert keys(pages) == [[1]]


class Endless:
    """An API whose every page names one more."""

    def __init__(self, total: object) -> None:
        self.asked = 0
        self._total = total

    def ask(self, _endpoint: Endpoint, _params: Mapping[str, str], /) -> dict[str, Any]:
        self.asked += 1
        return page(numbered(self.asked), f"token {self.asked}", self._total)


@pytest.mark.parametrize(
    ("total", "pages"),
    [
        (None, USUAL_PAGES),
        ("many", USUAL_PAGES),
        (7, USUAL_PAGES),
        (USUAL_PAGES * LIMIT, 4 * USUAL_PAGES),  # rows may be created while we walk, but not without end
        (10**9, MOST_PAGES),
    ],
)
def test_pages_without_end_come_to_one(total: object, pages: int) -> None:
    endless = Endless(total)
    with pytest.raises(IncompleteError, match=f"no last page after {pages} pages"):
        deque(walk(endless, INSTANCES), maxlen=0)
    assert endless.asked == pages


# What a page speaks for


@pytest.mark.parametrize("row", [{}, {"id": None}, "row"])
def test_a_page_on_the_way_without_a_usable_row_speaks_for_nothing(walked: Walk, row: object) -> None:
    pages = walked(page([row], "a"), page(numbered(5), "b"), page([row, row], "c"), page(numbered(9)))
    assert [each.speaks for each in pages] == [False, True, False, True]
    assert ranges([each for each in pages if each.speaks]) == [(None, 5), (5, None)]
    assert [each.left_out for each in pages] == [1, 0, 2, 0]


def test_a_last_page_without_a_usable_row_says_that_there_is_none(walked: Walk) -> None:
    pages = walked(page(numbered(5), "a"), page([{}]))
    assert (pages[1].speaks, ranges(pages)) == (True, [(None, 5), (5, None)])


# Lists that are keyed by text


def test_a_list_may_be_sorted_by_text(walked: Walk) -> None:
    pages = walked(
        {"secrets": named("B", "a"), "next_token": "t"}, {"secrets": named("aa", "\xe9")}, listing=SECRETS
    )
    assert (keys(pages), ranges(pages)) == ([["B", "a"], ["aa", "\xe9"]], [(None, "a"), ("a", None)])


def test_empty_text_is_a_key_like_any_other(walked: Walk) -> None:
    pages = walked({"secrets": named(""), "next_token": "t"}, {"secrets": named("", "0")}, listing=SECRETS)
    assert (keys(pages), ranges(pages)) == ([[""], ["0"]], [(None, ""), ("", None)])
    assert [each.left_out for each in pages] == [0, 1]


@pytest.mark.parametrize("row", [None, 7, "name", {}, {"name": None}, {"name": 7}, {"id": 7}])
def test_a_row_for_which_the_list_has_no_key_is_left_out_and_counted(walked: Walk, row: object) -> None:
    (found,) = walked({"secrets": [row, *named("a")]}, listing=SECRETS)
    assert (keys([found]), found.left_out) == ([["a"]], 1)


def test_a_list_that_does_not_say_how_long_it_is_has_no_total(walked: Walk) -> None:
    (found,) = walked({"secrets": named("a"), "total": 7}, listing=SECRETS)
    assert found.total is None


def test_an_empty_list_may_be_null_where_no_total_says_otherwise(walked: Walk) -> None:
    (found,) = walked({"secrets": None}, listing=SECRETS)
    assert (found.rows, found.speaks) == ((), True)


# Lists that come in one reply


def test_a_list_without_pages_is_one_reply_whatever_its_length_order_and_token(
    walked: Walk, api: Api
) -> None:
    numbers = [*range(5000, 0, -1)]
    (found,) = walked({"volumes": numbered(*numbers), "next_token": "more"}, listing=VOLUMES)
    assert keys([found]) == [sorted(numbers)]
    assert (found.number, found.last, found.speaks) == (1, True, True)
    assert ranges([found]) == [(None, None)]
    assert [asked.params for asked in api.asked] == [{"all": "1"}]


def test_of_a_list_without_pages_rows_are_left_out_as_of_any_other(walked: Walk) -> None:
    (found,) = walked({"volumes": [*numbered(2, 1, 2), *ODD_ROWS]}, listing=VOLUMES)
    assert (keys([found]), found.left_out) == ([[1, 2]], 1 + len(ODD_ROWS))


# What is asked


def test_what_one_walk_asks_for_stands_beside_what_the_list_always_asks_for(
    api: Api, setup: ClientSetup
) -> None:
    setup.min_interval = 0.0
    api.replies += [api.reply(page(numbered(1), "a")), api.reply(page(numbered(2)))]
    list(walk(setup.client(), INSTANCES, {"select_filters": "{}"}))
    always = {"limit": "25", "select_cols": '["id"]', "select_filters": "{}"}
    assert [asked.params for asked in api.asked] == [always, always | {"after_token": "a"}]
    assert {asked.path for asked in api.asked} == {INSTANCES.endpoint.path}


def test_replies_come_as_they_are_each_with_whether_it_is_the_last(api: Api, setup: ClientSetup) -> None:
    # For what is sorted in another way: the newest first, say.
    setup.min_interval = 0.0
    contents = [page(numbered(9, 8), "a"), page(numbered(7, 8), "b"), page(numbered(1))]
    api.replies += [api.reply(content) for content in contents]
    found = list(replies(setup.client(), INSTANCES, {"order": "newest"}))
    assert found == [(contents[0], False), (contents[1], False), (contents[2], True)]
    assert [asked.params["order"] for asked in api.asked] == 3 * ["newest"]


def test_replies_lead_to_an_end_too(api: Api, setup: ClientSetup) -> None:
    setup.min_interval = 0.0
    api.otherwise = api.reply(page(numbered(1), "a"))
    with pytest.raises(IncompleteError, match="page 2 points to a page that was already read"):
        list(replies(setup.client(), INSTANCES))


# Whatever comes


class Case(NamedTuple):
    """A list, its rows' field for the key, keys that it may have, and rows that it can't use."""

    listing: Listing[Any]
    field: str
    keys: st.SearchStrategy[Any]
    odd_rows: Sequence[object]


BY_NUMBER = Case(INSTANCES, "id", st.integers(1, 10**9) | st.integers(1, LARGEST_ID - 1), ODD_ROWS)
BY_TEXT = Case(
    SECRETS, "name", st.text(max_size=5), [None, 7, "a", {}, {"name": None}, {"name": 7}, {"name": []}]
)


@pytest.mark.parametrize("case", [BY_NUMBER, BY_TEXT], ids=["by number", "by text"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_pages_hold_each_usable_row_comes_once_and_in_order(
    case: Case, walked: Walk, data: st.DataObject
) -> None:
    def rows(*found: object) -> list[Any]:
        return [{case.field: key} for key in found]

    good = sorted(data.draw(st.sets(case.keys, max_size=60), "keys"))
    sent: list[dict[str, Any]] = []
    odd, start = 0, 0
    while start < len(good) or not sent:
        size = data.draw(st.integers(1, 20), "size")
        chunk, rest = good[start : start + size], good[start + size :]
        seen = good[: start + size]
        repeated = rows(*data.draw(st.lists(st.sampled_from(seen), max_size=2))) if good else []
        noise = [*data.draw(st.lists(st.sampled_from(case.odd_rows), max_size=3)), *repeated]
        odd += len(noise)
        body, last = (rows(*chunk[:-1]), rows(chunk[-1])) if rest else (rows(*chunk), [])
        content = [*data.draw(st.permutations([*body, *noise])), *last]
        token = f"after {start}" if rest else None
        sent.append({case.listing.rows: content, "next_token": token})
        start += size
    pages = walked(*sent, listing=replace(case.listing, limit=LIMIT))
    assert [key for each in keys(pages) for key in each] == good
    assert sum(each.left_out for each in pages) == odd
    assert [each.after for each in pages] == [None, *(each.upto for each in pages[:-1])]
    assert pages[-1].upto is None
    for each in pages:
        assert all(each.after is None or each.after < key for key, _ in each.rows)
        assert all(each.upto is None or key <= each.upto for key, _ in each.rows)
