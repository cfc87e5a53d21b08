"""Rows of the metric table: a field of the API times a scale, and words that say how it is read."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.fields import NEGATIVE, NOT_POSITIVE, NumberField, Record, flag_field, number_field
from exporter.metrics.rows import GIB, MIB, PERCENT, Condition, Row, field_row, scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.metrics.values import Number

SIZE = number_field("size")
ON = flag_field("on")
WHILE_ON: Condition[Record] = Condition(
    words="only while on", holds=lambda record: record.number(ON) == 1, fields=(ON,)
)


def row(
    field: NumberField = SIZE,
    scale: Fraction | int = 1,
    *,
    when: Condition[Record] | None = None,
    notes: str = "",
) -> Row[Record]:
    return field_row("vastai_thing_size", "Size", field, scale, labels=("account",), when=when, notes=notes)


def value_of(scale: Fraction | int) -> Callable[[Record], Number | None]:
    return scaled(SIZE, scale)


def record(**numbers: float) -> Record:
    return Record(numbers, {})


@pytest.mark.parametrize(
    ("number", "scale", "expected"),
    [
        (7, 1, 7),
        (0.1, 1, 0.1),
        (2, GIB, 2147483648),
        (0.5, MIB, 524288.0),
        (29, PERCENT, 0.29),  # times 0.01 it would be 0.29000000000000004
        (57, PERCENT, 0.57),
        (0, PERCENT, 0.0),
        (-3, 60, -180),
        (2**60 + 1, 1000, (2**60 + 1) * 1000),
        (1, Fraction(3, 8), 0.375),
    ],
)
def test_a_number_is_scaled_without_losing_digits(
    number: float, scale: Fraction | int, expected: float
) -> None:
    assert repr(value_of(scale)(record(size=number))) == repr(expected)


@given(st.integers(-(10**12), 10**12))
def test_a_percentage_is_the_nearest_number_there_is(percent: int) -> None:
    assert value_of(PERCENT)(record(size=percent)) == percent / 100


def test_what_is_not_there_has_no_sample() -> None:
    assert value_of(GIB)(record(other=7)) is None


@pytest.mark.parametrize(("on", "expected"), [({"on": 1}, 7), ({"on": 0}, None), ({}, None)])
def test_where_the_condition_does_not_hold_there_is_no_sample(
    on: dict[str, float], expected: float | None
) -> None:
    assert row(when=WHILE_ON).value(record(size=7, **on)) == expected
    assert row().value(record(size=7, **on)) == 7


def test_a_row_names_its_field_and_all_that_its_condition_looks_at() -> None:
    assert row().help == "Size (API field size)."
    assert row().fields == (SIZE,)
    assert row(when=WHILE_ON).fields == (SIZE, ON)


def test_a_row_is_a_gauge_unless_it_is_said_to_be_a_counter() -> None:
    assert row().type == "gauge"
    counter: Row[Record] = field_row(
        "vastai_starts_total", "Starts", SIZE, labels=("account",), type="counter"
    )
    assert counter.type == "counter"


@pytest.mark.parametrize(
    ("made", "notes"),
    [
        (row(), ""),
        (row(scale=60), "x 60"),
        (row(scale=MIB), "x 1 048 576"),
        (row(scale=PERCENT), "/ 100"),
        (row(scale=Fraction(1024, 1_000_000)), "x 16; / 15 625"),
        (row(number_field("size", unknown=NEGATIVE)), "below 0 means unknown"),
        (row(number_field("size", unknown=NOT_POSITIVE)), "0 or below means unknown"),
        (row(number_field("size", least=0)), "valid from 0"),
        (row(number_field("size", least=0, most=100)), "valid from 0 to 100"),
        (row(number_field("size", least=-0.5, most=1.5)), "valid from -0.5 to 1.5"),
        (row(number_field("size", most=100)), "valid up to 100"),
        (row(when=WHILE_ON), "only while on"),
        (row(notes="as sent"), "as sent"),
        (
            row(
                number_field("size", unknown=NEGATIVE, most=200, least=0),
                PERCENT,
                when=WHILE_ON,
                notes="as sent",
            ),
            "/ 100; below 0 means unknown; valid from 0 to 200; only while on; as sent",
        ),
    ],
)
def test_the_notes_say_how_a_value_comes_about(made: Row[Record], notes: str) -> None:
    assert made.notes == notes
