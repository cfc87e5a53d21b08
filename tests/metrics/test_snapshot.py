"""The page as unit of truth: a part replaces just the range of keys that it speaks for."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.metrics.lines import encode, labels
from exporter.metrics.snapshot import NO_LINES, Lines, Part, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    Key = int | str
    Bound = Key | None

ODD_TEXTS = [
    "",
    'instance_id="5"',
    '",instance_id="5',
    '\\",instance_id="5"',
    'x\n{account="a",instance_id="5"} 1\n',
    "\n",
    "\r",
    "\r\n",
    "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g",
    "\\",
    "}",
    "\0",
]
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)
NUMBERS = st.integers(1, 12)
NAMES = st.sampled_from(["", "a", "A", "b", "\xe9", *ODD_TEXTS[1:6]])
#: What keys may be: all numbers, or all texts.
by_either_key = pytest.mark.parametrize("keys", [NUMBERS, NAMES], ids=["numbers", "texts"])


class Thing(NamedTuple):
    """An object with a label that its user wrote, and how many lines it has of two metrics."""

    text: str
    some: int  # 0 or 1
    many: int


THINGS = st.builds(Thing, TEXTS, st.integers(0, 1), st.integers(0, 3))


def lines_of(name: str, key: Key, text: str, count: int = 1) -> bytes:
    """Return the lines of one object: they have its key in them, and what its user wrote."""
    names = ("account", "instance_id", "label", "number")
    found = (labels(names, ("me_id=", str(key), text, str(number))) for number in range(count))
    return encode("".join(f"{name}{{{each}}} 1\n" for each in found))


def items_of(snapshot: Snapshot[Any, Any], after: object = None, upto: object = None) -> dict[Any, Any]:
    """Return what is known in all parts that speak for any of a range."""
    return {key: item for each in snapshot.meeting(after, upto) for key, item in each.items.items()}


def text_of(items: Mapping[Any, Thing]) -> dict[str, bytes]:
    """Return the lines of objects: one of `one` each, `some` for some, and any number of `many`."""
    found = {
        "one": b"".join(lines_of("one", key, thing.text) for key, thing in items.items()),
        "some": b"".join(lines_of("some", key, thing.text, thing.some) for key, thing in items.items()),
        "many": b"".join(lines_of("many", key, thing.text, thing.many) for key, thing in items.items()),
    }
    return {name: chunk for name, chunk in found.items() if chunk}


def part(
    items: Mapping[Any, Thing | str], after: Bound = None, upto: Bound = None, confirmed: float = 0.0
) -> Part[Any, Thing]:
    """Return a part of objects; one that is given as a text has one line of each metric."""
    things = {
        key: Thing(thing, 1, 1) if isinstance(thing, str) else thing for key, thing in sorted(items.items())
    }
    text = text_of(things)
    counts = {
        "some": bytes(thing.some for thing in things.values()),
        "many": bytes(thing.many for thing in things.values()),
    }
    lines = Lines(text=text, counts={name: each for name, each in counts.items() if name in text})
    return Part(confirmed=confirmed, lines=lines, items=things, after=after, upto=upto)


def within(items: Mapping[Any, Any], after: Bound, upto: Bound) -> dict[Any, Any]:
    return {
        key: item
        for key, item in sorted(items.items())
        if (after is None or key > after) and (upto is None or key <= upto)
    }


def joined(snapshot: Snapshot[Any, Any]) -> dict[str, bytes]:
    """Return all lines of a snapshot."""
    names = ("one", "some", "many")
    found = {name: b"".join(each.lines.text.get(name, b"") for each in snapshot.parts) for name in names}
    return {name: chunk for name, chunk in found.items() if chunk}


def ranges(snapshot: Snapshot[Any, Any]) -> list[tuple[Bound, Bound]]:
    return [(each.after, each.upto) for each in snapshot.parts]


class Page(NamedTuple):
    after: Bound
    upto: Bound
    items: dict[Any, Thing]


@st.composite
def walks(draw: st.DrawFn, keys: st.SearchStrategy[Any]) -> list[Page]:
    """A walk over some fleet: whole, or broken off after some pages."""
    fleet = draw(st.dictionaries(keys, THINGS))
    ends = sorted(draw(st.sets(st.sampled_from(sorted(fleet))))) if fleet else []
    bounds: list[Bound] = [None, *ends, None]
    pages = [Page(after, upto, within(fleet, after, upto)) for after, upto in pairwise(bounds)]
    return pages[: draw(st.integers(1, len(pages)))]


@by_either_key
@settings(max_examples=100)
@given(data=st.data())
def test_whatever_walks_come_each_page_replaces_just_its_range(
    keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    history = data.draw(st.lists(walks(keys), min_size=1, max_size=4))
    snapshot: Snapshot[Any, Thing] = Snapshot()
    model: dict[Any, Thing] = {}
    for page in [page for walk in history for page in walk]:
        snapshot = snapshot.replacing([part(page.items, page.after, page.upto)])
        gone = within(model, page.after, page.upto)
        model = {key: thing for key, thing in model.items() if key not in gone} | page.items
        expected = dict(sorted(model.items()))
        assert [*items_of(snapshot).items()] == [*expected.items()]
        assert joined(snapshot) == text_of(expected)
        for before, behind in pairwise(snapshot.parts):
            assert before.upto is not None
            assert behind.after is not None
            assert before.upto <= behind.after


@by_either_key
@given(data=st.data())
def test_lines_stay_with_their_key_when_a_part_is_cut(
    keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    items = data.draw(st.dictionaries(keys, THINGS, max_size=9))
    whole = part(items, confirmed=7.0)
    for cut in data.draw(st.lists(keys, min_size=1, max_size=3)):
        before, behind = whole.before(cut), whole.behind(cut)
        assert before is not None
        assert behind is not None
        for found, left in ((before, within(items, None, cut)), (behind, within(items, cut, None))):
            assert [*found.items.items()] == [*left.items()]
            assert found.lines.text == text_of(left)
            assert found.confirmed == 7.0
        assert (before.after, before.upto) == (None, cut)
        assert (behind.after, behind.upto) == (cut, None)


@by_either_key
@given(data=st.data())
def test_lines_stay_with_their_key_however_often_a_part_is_cut(
    keys: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    items = data.draw(st.dictionaries(keys, THINGS, min_size=1, max_size=9))
    for key in sorted(items):
        snapshot: Snapshot[Any, Thing] = Snapshot(parts=(part(items),))
        others = data.draw(st.lists(st.sampled_from(sorted(items)), max_size=3))
        for other in others:
            below = max((each for each in sorted(items) if each < other), default=None)
            if other != key:  # take the other one out
                snapshot = snapshot.replacing([part({}, below, other)])
        left = {each: thing for each, thing in sorted(items.items()) if each == key or each not in others}
        assert items_of(snapshot) == left
        assert joined(snapshot) == text_of(left)


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize(("low", "key", "high"), [(4, 5, 6), ("4", "5", "6"), ("", "\n", '"')])
def test_no_text_of_a_user_looks_like_a_key_or_the_end_of_a_line(
    text: str, low: Key, key: Key, high: Key
) -> None:
    behind = part({low: text, key: "middle", high: text}).behind(low)
    assert behind is not None
    middle = behind.before(key)
    assert middle is not None
    assert middle.lines.text == text_of({key: Thing("middle", 1, 1)})


def test_where_no_object_is_left_of_a_cut_there_are_no_lines() -> None:
    before = part({5: "a", 6: "b"}).before(4)
    assert before is not None
    assert (before.items, before.lines) == ({}, NO_LINES)


def test_a_metric_of_which_no_line_is_left_is_not_there() -> None:
    behind = part({1: Thing("a", 1, 3), 2: Thing("b", 0, 0)}).behind(1)
    assert behind is not None
    assert behind.lines == Lines(text=text_of({2: Thing("b", 0, 0)}))


def test_a_part_says_nothing_of_what_lies_outside_of_its_range() -> None:
    middle = part({3: "a"}, 2, 5)
    assert (middle.before(2), middle.before(1), middle.before(None)) == (None, None, None)
    assert (middle.behind(5), middle.behind(6), middle.behind(None)) == (None, None, None)
    assert middle.before(5) is middle.before(9) is middle.behind(2) is middle.behind(1) is middle


@pytest.mark.parametrize(
    ("after", "upto", "meets"),
    [
        (None, None, True),
        (None, 2, False),
        (None, 3, True),
        (5, None, False),
        (4, None, True),
        (0, 2, False),
        (2, 3, True),
        (3, 4, True),
        (5, 6, False),
        (0, 9, True),
    ],
)
def test_ranges_meet_where_they_have_a_key_in_common(after: Bound, upto: Bound, *, meets: bool) -> None:
    middle = part({4: "b"}, 2, 5)
    assert (4 in items_of(Snapshot(parts=(middle,)), after, upto)) == meets
    around = (part({1: "a"}, None, 2), middle, part({6: "c"}, 5))
    assert (4 in items_of(Snapshot(parts=around), after, upto)) == meets
    assert items_of(Snapshot(parts=(part({1: "a"}),)), after, upto)


def test_new_parts_replace_what_they_cover_and_cut_what_they_meet() -> None:
    old = part({1: "old", 3: "old", 5: "old", 7: "old"}, confirmed=1.0)
    new = part({4: "new"}, 2, 5, confirmed=2.0)
    snapshot = Snapshot(parts=(old,)).replacing([new])
    assert [(found.after, found.upto, [*found.items], found.confirmed) for found in snapshot.parts] == [
        (None, 2, [1], 1.0),
        (2, 5, [4], 2.0),
        (5, None, [7], 1.0),
    ]


def test_empty_text_is_a_key_like_any_other() -> None:
    snapshot = Snapshot(parts=(part({"": "a", "a": "b"}),)).replacing([part({}, None, "")])
    assert (ranges(snapshot), list(items_of(snapshot))) == ([(None, ""), ("", None)], ["a"])


def test_a_part_that_lies_outside_is_left_as_it_is() -> None:
    first, last = part({1: "a"}, None, 2), part({9: "b"}, 5)
    snapshot = Snapshot(parts=(first, last)).replacing([part({}, 2, 5)])
    assert snapshot.parts[0] is first
    assert snapshot.parts[-1] is last


def test_a_part_of_all_keys_leaves_nothing_of_any_other() -> None:
    parts = part({1: "a"}, None, 1), part({2: "b"}, 1, 2), part({3: "c"}, 2)
    new = part({2: "new"})
    assert Snapshot(parts=parts).replacing([new]).parts == (new,)


def test_an_empty_last_page_says_that_all_is_gone() -> None:
    snapshot = Snapshot(parts=(part({1: "a", 2: "b"}),)).replacing([part({})])
    assert items_of(snapshot) == {}
    assert len(snapshot.parts) == 1


def test_the_items_of_a_range_are_all_there_and_those_of_far_away_are_not() -> None:
    parts = part({1: "a", 2: "b"}, None, 2), part({3: "c", 5: "d"}, 2, 5), part({6: "e"}, 5)
    snapshot = Snapshot(parts=parts)
    assert list(items_of(snapshot)) == [1, 2, 3, 5, 6]
    assert list(items_of(snapshot, 2, 3)) == [3, 5]
    assert list(items_of(snapshot, None, 2)) == [1, 2]
    assert list(items_of(snapshot, 5, None)) == [6]
    assert list(items_of(snapshot, 4, 6)) == [3, 5, 6]


def test_a_snapshot_stays_what_it_is_when_another_is_made_of_it() -> None:
    before = Snapshot(parts=(part({1: "a"}),), total=1)
    before.replacing([part({1: "b"})]).with_total(2).with_seconds(3.0)
    assert before == Snapshot(parts=(part({1: "a"}),), total=1)


def test_a_total_that_is_not_said_leaves_the_one_that_was() -> None:
    snapshot: Snapshot[int, Thing] = Snapshot(total=7)
    assert snapshot.with_total(None).total == 7
    assert snapshot.with_total(0).total == 0


def test_what_a_collector_remembers_is_kept_by_all_that_changes_the_rest() -> None:
    memory = object()
    snapshot: Snapshot[int, Thing] = Snapshot(memory=memory)
    assert snapshot.replacing([part({1: "a"})]).with_total(7).with_seconds(3.0).memory is memory


def test_each_part_is_shown_until_it_is_too_old() -> None:
    early, late = part({1: "a"}, None, 1, confirmed=100.0), part({2: "b"}, 1, confirmed=130.0)
    snapshot = Snapshot(parts=(early, late), seconds=30.0)
    assert snapshot.fresh(400.0, stale_after=300.0) == (early, late)
    assert snapshot.fresh(400.5, stale_after=300.0) == (late,)
    assert snapshot.fresh(430.5, stale_after=300.0) == ()


@pytest.mark.parametrize(
    ("seconds", "limit"), [(0.0, 300.0), (299.0, 300.0), (300.0, 300.0), (301.0, 602.0), (440.0, 880.0)]
)
def test_where_a_walk_takes_longer_than_data_may_age_the_limit_is_twice_the_walk(
    seconds: float, limit: float
) -> None:
    snapshot: Snapshot[int, Thing] = Snapshot(seconds=seconds)
    assert snapshot.limit(stale_after=300.0) == limit


def test_what_a_long_walk_read_first_is_shown_until_the_next_has_read_it_again() -> None:
    first, rest = part({1: "a"}, None, 1, confirmed=1.0), part({2: "b"}, 1, confirmed=440.0)
    snapshot = Snapshot(parts=(first, rest)).with_seconds(440.0)
    assert snapshot.fresh(880.0, stale_after=300.0) == (first, rest)
    assert snapshot.fresh(882.0, stale_after=300.0) == (rest,)
