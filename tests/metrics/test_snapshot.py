"""The page as unit of truth: a part replaces just the range of ids that it speaks for."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.metrics.lines import encode, labels
from exporter.metrics.snapshot import Part, Snapshot
from exporter.vast.pages import END

ODD_TEXTS = [
    "",
    'instance_id="5"',
    '",instance_id="5',
    '\\",instance_id="5"',
    'x\n{account="a",instance_id="5"} 1\n',
    "\r",
    "\r\n",
    "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g",
    "\\",
    "}",
    "\0",
]
texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)


def line(name: str, key: int, text: str) -> bytes:
    names = ("account", "instance_id", "label")
    return encode(f"{name}{{{labels(names, ('me_id=', str(key), text))}}} {key}\n")


def part(items: dict[int, str], after: int = 0, upto: int = END, confirmed: float = 0.0) -> Part[str]:
    """Return a part of two metrics, one of which only even ids have."""
    ordered = dict(sorted(items.items()))
    found = {
        "one": b"".join(line("one", key, text) for key, text in ordered.items()),
        "two": b"".join(line("two", key, text) for key, text in ordered.items() if key % 2 == 0),
    }
    return Part(
        confirmed=confirmed,
        lines={name: chunk for name, chunk in found.items() if chunk},
        after=after,
        upto=upto,
        items=ordered,
    )


class Page(NamedTuple):
    after: int
    upto: int
    items: dict[int, str]


@st.composite
def walks(draw: st.DrawFn) -> list[Page]:
    """A walk over some fleet: whole, or broken off after some pages."""
    fleet = draw(st.dictionaries(st.integers(1, 12), texts))
    ends = sorted(draw(st.sets(st.sampled_from(sorted(fleet))))) if fleet else []
    bounds = [0, *ends, END]
    pages = [
        Page(after, upto, {key: text for key, text in fleet.items() if after < key <= upto})
        for after, upto in pairwise(bounds)
    ]
    return pages[: draw(st.integers(1, len(pages)))]


@settings(max_examples=100)
@given(st.lists(walks(), min_size=1, max_size=4))
def test_whatever_walks_come_each_page_replaces_just_its_range(history: list[list[Page]]) -> None:
    snapshot: Snapshot[str] = Snapshot()
    model: dict[int, str] = {}
    for page in [page for walk in history for page in walk]:
        snapshot = snapshot.replacing([part(page.items, page.after, page.upto)])
        model = {key: text for key, text in model.items() if not page.after < key <= page.upto}
        model |= page.items
        expected = part(model)
        joined = {
            name: b"".join(found.lines.get(name, b"") for found in snapshot.parts) for name in ("one", "two")
        }
        assert {name: chunk for name, chunk in joined.items() if chunk} == expected.lines
        assert [*snapshot.items(0, END).items()] == [*expected.items.items()]
        assert all(before.upto <= after.after for before, after in pairwise(snapshot.parts))


@given(items=st.dictionaries(st.integers(1, 9), texts), after=st.integers(0, 9), upto=st.integers(0, 9))
def test_a_part_that_is_cut_holds_just_the_lines_of_its_range(
    items: dict[int, str], after: int, upto: int
) -> None:
    left = {key: text for key, text in items.items() if after < key <= upto}
    assert part(items, confirmed=7.0).within(after, upto) == part(left, after, upto, 7.0)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_no_text_of_a_user_looks_like_an_id(text: str) -> None:
    found = part({4: text, 5: "five", 6: text}).within(4, 5)
    assert found.lines == {"one": line("one", 5, "five")}


def test_new_parts_replace_what_they_cover_and_cut_what_they_meet() -> None:
    old = part({1: "old", 3: "old", 5: "old", 7: "old"}, confirmed=1.0)
    new = part({4: "new"}, 2, 5, confirmed=2.0)
    snapshot = Snapshot(parts=(old,)).replacing([new])
    assert [(found.after, found.upto, found.items, found.confirmed) for found in snapshot.parts] == [
        (0, 2, {1: "old"}, 1.0),
        (2, 5, {4: "new"}, 2.0),
        (5, END, {7: "old"}, 1.0),
    ]


def test_a_part_that_lies_outside_is_left_as_it_is() -> None:
    first, last = part({1: "a"}, 0, 2), part({9: "b"}, 5)
    snapshot = Snapshot(parts=(first, last)).replacing([part({}, 2, 5)])
    assert snapshot.parts[0] is first
    assert snapshot.parts[-1] is last


def test_an_empty_last_page_says_that_all_is_gone() -> None:
    snapshot = Snapshot(parts=(part({1: "a", 2: "b"}),)).replacing([part({})])
    assert snapshot.items(0, END) == {}
    assert len(snapshot.parts) == 1


def test_a_snapshot_stays_what_it_is_when_another_is_made_of_it() -> None:
    before = Snapshot(parts=(part({1: "a"}),), total=1)
    before.replacing([part({1: "b"})]).with_total(2).with_seconds(3.0)
    assert before == Snapshot(parts=(part({1: "a"}),), total=1)


def test_a_total_that_is_not_said_leaves_the_one_that_was() -> None:
    snapshot: Snapshot[str] = Snapshot(total=7)
    assert snapshot.with_total(None).total == 7
    assert snapshot.with_total(0).total == 0


def test_each_part_is_shown_until_it_is_too_old() -> None:
    early, late = part({1: "a"}, 0, 1, confirmed=100.0), part({2: "b"}, 1, confirmed=130.0)
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
    snapshot: Snapshot[str] = Snapshot(seconds=seconds)
    assert snapshot.limit(stale_after=300.0) == limit


def test_what_a_long_walk_read_first_is_shown_until_the_next_has_read_it_again() -> None:
    first, rest = part({1: "a"}, 0, 1, confirmed=1.0), part({2: "b"}, 1, confirmed=440.0)
    snapshot = Snapshot(parts=(first, rest)).with_seconds(440.0)
    assert snapshot.fresh(880.0, stale_after=300.0) == (first, rest)
    assert snapshot.fresh(882.0, stale_after=300.0) == (rest,)
