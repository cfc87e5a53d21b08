"""A walk yields every usable row once, and pages whose ranges leave no gap; or it fails, and says why."""

from __future__ import annotations

import json
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.vast.errors import ApiError, BadReplyError, ClientError, IncompleteError
from exporter.vast.pages import END, LIMIT, MOST_PAGES, USUAL_PAGES, Page, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.vast.pace import Endpoint
    from tests.support.scripted_api import Api, World

    Walk = Callable[..., list[Page]]

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
    END,
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


def ids(pages: Sequence[Page]) -> list[list[int]]:
    return [[key for key, _ in each.rows] for each in pages]


def ranges(pages: Sequence[Page]) -> list[tuple[int, int]]:
    return [(each.after, each.upto) for each in pages]


@pytest.fixture
def walked(api: Api, world: World, endpoint: Endpoint) -> Walk:
    """Walks over replies, and returns all pages up to the end or the error."""
    world.min_interval = 0.0
    client = world.client()

    def run(*replies: object, error: type[ApiError] | None = None, match: str = "") -> list[Page]:
        api.replies.clear()
        api.replies += [each if isinstance(each, bytes) else api.reply(each) for each in replies]
        pages: list[Page] = []

        with pytest.raises(error, match=match) if error is not None else nullcontext():
            for each in walk(client, endpoint, columns=["id"], filters={}):
                pages.append(each)  # noqa: PERF402 - those before an error count
        return pages

    return run


def test_pages_follow_their_tokens_until_there_is_none(walked: Walk, api: Api) -> None:
    pages = walked(page(numbered(1, 2), "a"), page(numbered(5), "b"), page(numbered(9, 12)))
    assert [asked.params.get("after_token") for asked in api.asked] == [None, "a", "b"]
    assert ids(pages) == [[1, 2], [5], [9, 12]]
    assert ranges(pages) == [(0, 2), (2, 5), (5, END)]
    assert [each.number for each in pages] == [1, 2, 3]
    assert [each.left_out for each in pages] == [0, 0, 0]


def test_a_page_keeps_its_rows_as_they_came(walked: Walk) -> None:
    row = {"id": 7, "label": "x", "gpu_util": None}
    assert walked(page([row]))[0].rows == ((7, row),)


@pytest.mark.parametrize("token", [None, ""])
def test_the_last_page_speaks_for_all_beyond(walked: Walk, token: object) -> None:
    assert ranges(walked(page(numbered(3), token))) == [(0, END)]


def test_a_reply_without_a_token_is_the_last_page(walked: Walk) -> None:
    assert ranges(walked({"instances": numbered(3)})) == [(0, END)]


@pytest.mark.parametrize(
    "reply",
    [page([]), page([], total=0), page(None, total=0), {"instances": []}],  # type: ignore[arg-type]
)
def test_no_instances_are_one_empty_page(walked: Walk, reply: object) -> None:
    pages = walked(reply)
    assert (ids(pages), ranges(pages)) == ([[]], [(0, END)])


def test_the_last_page_may_be_empty(walked: Walk) -> None:
    pages = walked(page(numbered(1), "a"), page([]))
    assert (ids(pages), ranges(pages)) == ([[1], []], [(0, 1), (1, END)])


@pytest.mark.parametrize("total", [5, 0, None, "5", -1, [], 1e300, True])
def test_the_total_is_passed_on_as_it_came_and_changes_nothing(walked: Walk, total: object) -> None:
    pages = walked(page(numbered(1), "a", total), page(numbered(2), None, total))
    assert [each.total for each in pages] == [total, total]


@pytest.mark.parametrize("value", [7, "7", 7.0, "007"])
def test_an_id_may_be_written_as_text_or_as_a_float(walked: Walk, value: object) -> None:
    assert ids(walked(page(numbered(value)))) == [[7]]


@pytest.mark.parametrize("row", ODD_ROWS, ids=[json.dumps(row) for row in ODD_ROWS])
def test_a_row_without_a_usable_id_is_left_out_and_counted(walked: Walk, row: object) -> None:
    pages = walked(page([row, *numbered(4), row], "a"), page([row]))
    assert (ids(pages), [each.left_out for each in pages]) == ([[4], []], [2, 1])
    assert ranges(pages) == [(0, 4), (4, END)]


def test_an_id_of_thousands_of_digits_costs_its_row_only(walked: Walk, api: Api) -> None:
    body = b'{"instances": [{"id": 3}, {"id": %s}], "next_token": null}' % (5000 * b"9")
    api.otherwise = api.reply(body)
    pages = walked()
    assert (ids(pages), pages[0].left_out) == ([[3]], 1)


def test_of_a_row_that_comes_twice_the_first_counts(walked: Walk) -> None:
    first, again = {"id": 4, "label": "first"}, {"id": 4, "label": "again"}
    pages = walked(page([first, again, {"id": 5}], "a"), page([again, {"id": 6}]))
    assert [dict(each.rows) for each in pages] == [{4: first, 5: {"id": 5}}, {6: {"id": 6}}]
    assert [each.left_out for each in pages] == [1, 1]


def test_rows_out_of_order_are_put_in_order(walked: Walk) -> None:
    pages = walked(page(numbered(3, 1, 5), "a"), page(numbered(9, 7)))
    assert ids(pages) == [[1, 3, 5], [7, 9]]


def test_what_lies_beyond_the_last_row_of_a_page_belongs_to_the_next(walked: Walk) -> None:
    pages = walked(page(numbered(1, 9, 5), "a"), page(numbered(6, 9)))
    assert (ids(pages), ranges(pages)) == ([[1, 5], [6, 9]], [(0, 5), (5, END)])
    assert [each.left_out for each in pages] == [1, 0]


def test_what_lies_before_a_page_is_left_out(walked: Walk) -> None:
    pages = walked(page(numbered(5, 8), "a"), page(numbered(3, 8, 9)))
    assert (ids(pages), [each.left_out for each in pages]) == ([[5, 8], [9]], [0, 2])


def test_the_last_row_of_one_page_may_be_all_there_is_on_the_next(walked: Walk) -> None:
    pages = walked(page(numbered(5, 8), "a"), page(numbered(8), "b"), page(numbered(8)))
    assert (ids(pages), ranges(pages)) == ([[5, 8], [], []], [(0, 8), (8, 8), (8, END)])
    assert [each.left_out for each in pages] == [0, 1, 1]


def test_rows_may_vanish_on_the_way(walked: Walk) -> None:
    pages = walked(page(numbered(1, 2), "a", 5), page(numbered(9), None, 3))
    assert (ids(pages), ranges(pages)) == ([[1, 2], [9]], [(0, 2), (2, END)])


def test_a_repeated_token_leads_to_no_end(walked: Walk) -> None:
    replies = page(numbered(1), "a"), page(numbered(2), "b"), page(numbered(3), "a")
    pages = walked(*replies, error=IncompleteError, match="page 3 names a page that was there before")
    assert ids(pages) == [[1], [2], [3]]


def test_a_server_that_ignores_the_cursor_is_noticed_on_its_second_page(walked: Walk) -> None:
    replies = page(numbered(1, 2), "a"), page(numbered(1, 2), "b")
    pages = walked(*replies, error=IncompleteError, match="page 2 has only rows that belong before it")
    assert ids(pages) == [[1, 2]]


@pytest.mark.parametrize("token", ["b", None])
def test_a_server_that_ignores_the_order_does_not_make_rows_look_gone(walked: Walk, token: object) -> None:
    replies = page(numbered(9, 8), "a"), page(numbered(7, 6), token)
    walked(*replies, error=IncompleteError, match="page 2 has only rows that belong before it")


def test_an_empty_page_with_a_token_leads_to_no_end(walked: Walk) -> None:
    replies = page(numbered(1), "a"), page([], "b")
    pages = walked(*replies, error=IncompleteError, match="page 2 is empty and names a next one")
    assert ids(pages) == [[1]]


def test_a_page_is_full_with_as_many_rows_as_were_asked_for(walked: Walk) -> None:
    full = range(1, LIMIT + 1)
    assert ids(walked(page(numbered(*full)))) == [list(full)]
    walked(
        page(numbered(*full, LIMIT + 1)), error=IncompleteError, match="page 1 has 26 rows, 25 were asked for"
    )


@pytest.mark.parametrize("token", [0, 1, 1.5, True, False, [], ["a"], {}, "\ud800", "a\nb"])
def test_a_token_that_is_no_text_is_a_bad_reply(walked: Walk, token: object) -> None:
    assert not walked(page(numbered(1), token), error=BadReplyError, match="next_token is not text")


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
    assert not walked(reply, error=BadReplyError, match="a reply without a list of instances")


def test_a_token_that_becomes_invalid_on_the_way_is_an_error_of_the_client(walked: Walk, api: Api) -> None:
    invalid = api.reply({"error": "invalid_token", "msg": "Invalid token"}, 400)
    pages = walked(page(numbered(1), "a"), invalid, error=ClientError, match="invalid_token")
    assert ids(pages) == [[1]]


class Endless:
    """An API whose every page names one more."""

    def __init__(self, total: object) -> None:
        self.asked = 0
        self._total = total

    def get(self, _endpoint: Endpoint, _params: Mapping[str, str], /) -> dict[str, Any]:
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
def test_pages_without_end_come_to_one(endpoint: Endpoint, total: object, pages: int) -> None:
    endless = Endless(total)
    with pytest.raises(IncompleteError, match=f"no end after {pages} pages"):
        deque(walk(endless, endpoint, columns=["id"], filters={}), maxlen=0)
    assert endless.asked == pages


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_pages_hold_each_usable_row_comes_once_and_in_order(
    walked: Walk, data: st.DataObject
) -> None:
    good = sorted(data.draw(st.sets(st.integers(1, 10**9) | st.integers(1, END - 1), max_size=60), "ids"))
    replies: list[dict[str, Any]] = []
    odd, start = 0, 0
    while start < len(good) or not replies:
        size = data.draw(st.integers(1, 20), "size")
        chunk, rest = good[start : start + size], good[start + size :]
        rows: list[Any] = numbered(*chunk)
        repeated = (
            numbered(*data.draw(st.lists(st.sampled_from(good[: start + size]), max_size=2))) if good else []
        )
        noise = [*data.draw(st.lists(st.sampled_from(ODD_ROWS), max_size=3)), *repeated]
        odd += len(noise)
        body, last = (rows[:-1], rows[-1:]) if rest else (rows, [])
        replies.append(
            page([*data.draw(st.permutations([*body, *noise])), *last], f"after {start}" if rest else None)
        )
        start += size
    pages = walked(*replies)
    assert [key for each in ids(pages) for key in each] == good
    assert sum(each.left_out for each in pages) == odd
    assert [each.after for each in pages] == [0, *(each.upto for each in pages[:-1])]
    assert pages[-1].upto == END
    assert all(each.after < key <= each.upto for each in pages for key, _ in each.rows)
