"""What is read of an object: each field once; what is unknown, unreadable or can't be true gives no value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.fields import (
    NEGATIVE,
    NOT_POSITIVE,
    Field,
    Fields,
    NumberField,
    Problems,
    Record,
    Sentinel,
    TextField,
    flag_field,
    inner_field,
    number_field,
    text_field,
)
from exporter.metrics.values import status, text

PRICE = inner_field("prices", "hourly")


def read(row: dict[str, Any], *fields: Field) -> tuple[Record, Problems]:
    problems = Problems()
    return Fields(fields).read(row, problems), problems


def counted(problems: Problems) -> tuple[dict[str, int], dict[str, int]]:
    """Return what was unreadable, and what was out of range, by field."""
    return dict(problems.unreadable), dict(problems.out_of_range)


def test_each_field_is_read_as_it_is_declared() -> None:
    row = {"size": "7.5", "on": True, "prices": {"hourly": 0.5}, "name": 12, "state": " up\n", "other": []}
    size, on, name, state = (
        number_field("size"),
        flag_field("on"),
        text_field("name"),
        TextField(name="state", read=status),
    )
    record, problems = read(row, size, on, PRICE, name, state)
    assert record == Record({"size": 7.5, "on": 1, "prices": 0.5}, {"name": "12", "state": "up"})
    assert (record.number(size), record.text(name)) == (7.5, "12")
    assert counted(problems) == ({}, {})


@pytest.mark.parametrize(
    "row", [{}, {"size": None, "name": None, "prices": None}, {"prices": {}, "size": None}]
)
def test_null_and_missing_are_absent_and_not_counted(row: dict[str, Any]) -> None:
    size, name = number_field("size", least=1), text_field("name")
    record, problems = read(row, size, name, PRICE)
    assert record == Record({}, {})
    assert (record.number(size), record.number(PRICE), record.text(name)) == (None, None, "")
    assert counted(problems) == ({}, {})


def test_a_text_that_is_as_good_as_null_is_absent_and_an_empty_one_is_not() -> None:
    blank = TextField(name="blank", read=lambda value: text(value).strip() or None)
    record, problems = read({"blank": " ", "empty": ""}, blank, text_field("empty"))
    assert record == Record({}, {"empty": ""})
    assert counted(problems) == ({}, {})


def test_what_can_not_be_read_is_counted_by_field_and_costs_no_other() -> None:
    row = {"a": "much", "b": [], "c": 2, "prices": 0.5, "e": 1}
    record, problems = read(
        row, number_field("a"), text_field("b"), flag_field("c"), PRICE, number_field("e")
    )
    assert record == Record({"e": 1}, {})
    assert counted(problems) == ({"a": 1, "b": 1, "c": 1, "prices": 1}, {})


@pytest.mark.parametrize(
    ("sentinel", "unknown", "known"),
    [(NEGATIVE, [-1, -0.001, "-1"], [0, 0.0, "0", 7]), (NOT_POSITIVE, [0, "0.0", -1], [0.001, "7"])],
)
def test_what_the_api_sends_for_unknown_is_absent_and_not_counted(
    sentinel: Sentinel, unknown: list[object], known: list[object]
) -> None:
    field = number_field("a", unknown=sentinel, least=0, most=10)
    for value in unknown:
        record, problems = read({"a": value}, field)
        assert (record.number(field), counted(problems)) == (None, ({}, {}))
    for value in known:
        record, problems = read({"a": value}, field)
        assert (record.number(field), counted(problems)) == (float(str(value)), ({}, {}))


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        ({"least": 0}, [0, 1e99, "0"], [-0.001, "-1"]),
        ({"most": 100}, [-1e99, 100, 100.0], [100.001, "101"]),
        ({"least": -5, "most": 5}, [-5, 0, 5], [-5.5, 6]),
    ],
)
def test_what_can_not_be_true_is_absent_and_counted_apart_from_what_can_not_be_read(
    limits: dict[str, float], inside: list[object], outside: list[object]
) -> None:
    field = number_field("a", **limits)  # type: ignore[arg-type] # there is no sentinel among them
    for value in inside:
        record, problems = read({"a": value}, field)
        assert (record.number(field), counted(problems)) == (float(str(value)), ({}, {}))
    for value in outside:
        record, problems = read({"a": value}, field)
        assert (record.number(field), counted(problems)) == (None, ({}, {"a": 1}))


def test_problems_of_many_objects_add_up() -> None:
    fields, problems = Fields([number_field("a", least=0), text_field("b")]), Problems()
    for row in ({"a": -1, "b": []}, {"a": -1, "b": "x"}, {"a": "x", "b": {}}):
        fields.read(row, problems)
    assert counted(problems) == ({"a": 1, "b": 2}, {"a": 2})


def test_problems_are_not_shared() -> None:
    Problems().unreadable["a"] += 1
    assert counted(Problems()) == ({}, {})


# A set of fields


def test_fields_stand_in_their_order_and_once_each() -> None:
    a, b, c = number_field("a"), text_field("b"), number_field("c")
    assert Fields([c, a, b, a, c, number_field("a")]).names == ("c", "a", "b")


@pytest.mark.parametrize(
    "other",
    [
        number_field("a", least=0),
        number_field("a", most=7),
        number_field("a", unknown=NEGATIVE),
        flag_field("a"),
        text_field("a"),
        inner_field("a", "b"),
        NumberField(name="a", read=lambda _: None),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_field_that_is_declared_in_two_ways_is_an_error(other: Field, *, turned: bool) -> None:
    declared: list[Field] = [number_field("a"), number_field("b"), other]
    with pytest.raises(ValueError, match="the field a is declared in two ways"):
        Fields(reversed(declared) if turned else declared)


def test_an_inner_number_has_to_be_declared_once_for_all_rows() -> None:
    assert Fields([PRICE, PRICE]).names == ("prices",)
    with pytest.raises(ValueError, match="the field prices is declared in two ways"):
        Fields([PRICE, inner_field("prices", "daily")])


def test_the_fields_with_a_range_are_known() -> None:
    fields: list[Field] = [
        number_field("a"),
        number_field("b", least=0),
        number_field("c", most=0),
        number_field("d", unknown=NEGATIVE),
        flag_field("e"),
        text_field("f"),
        number_field("g", least=1, most=2),
    ]
    assert Fields(fields).ranged == ("b", "c", "g")


VALUES: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3) | st.just([])
)


@given(row=st.dictionaries(st.sampled_from("abcd"), VALUES))
def test_each_value_that_is_there_is_read_unknown_or_counted_once(row: dict[str, object]) -> None:
    fields: list[Field] = [
        number_field("a", least=-2, most=2),
        number_field("b", unknown=NEGATIVE, most=3),
        text_field("c"),
        flag_field("d"),
    ]
    record, problems = read(row, *fields)
    for name in "abcd":
        count = problems.unreadable[name] + problems.out_of_range[name]
        there = name in record.numbers or name in record.texts
        assert count + there == (row.get(name) is not None) or (name == "b" and count + there == 0)
    assert all(-2 <= record.numbers[name] <= 3 for name in record.numbers)
