"""JSON values become numbers and texts; what can't be read costs its own sample and is counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collectors.instances import COLUMNS, FIELDS, ROWS
from exporter.metrics.values import (
    CUT,
    LONGEST_TEXT,
    UnreadableError,
    flag,
    inner_number,
    number,
    status,
    text,
)
from tests.support.odd_json import json_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Exporter

UNREADABLE_NUMBERS = [
    "true",
    "false",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e300",
    "1" + 500 * "0",
    "[]",
    "[1]",
    "{}",
    '{"value": 1}',
    '""',
    '"  "',
    '"lots"',
    '"1,5"',
    '"1_000"',
    '"0x10"',
    '"NaN"',
    '"inf"',
    '"-Infinity"',
    '"1e400"',
    '"1 2"',
    '"\\u0661\\u0662"',
    '"\\u00b2"',
    '"\\u00a07"',
    '"' + 400 * "0" + '7"',
    '"1\\u0000"',
]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("0", 0),
        ("7", 7),
        ("-7", -7),
        ("0.054", 0.054),
        ("-0.0", 0.0),
        ("1e-320", 1e-320),
        ("1e99", 1e99),
        ("1" + 99 * "0", 10**99),
        ('"7"', 7),
        ('" 7.50\\n"', 7.5),
        ('"+7"', 7),
        ('"-.5"', -0.5),
        ('"5."', 5),
        ('"1E3"', 1000),
        ('"' + 399 * "0" + '7"', 7),
    ],
)
def test_a_number_is_read_also_where_it_is_written_as_text(sent: str, expected: float) -> None:
    read = number(json.loads(sent))
    assert read == expected
    assert type(read) in {int, float}


@pytest.mark.parametrize("sent", UNREADABLE_NUMBERS)
def test_what_is_no_finite_number_of_a_sane_size_is_unreadable(sent: str) -> None:
    with pytest.raises(UnreadableError):
        number(json.loads(sent))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("true", 1), ("false", 0), ("1", 1), ("0", 0), ("1.0", 1), ('"1"', 1), ('"0"', 0)],
)
def test_a_flag_is_0_or_1(sent: str, expected: int) -> None:
    assert repr(flag(json.loads(sent))) == repr(expected)


@pytest.mark.parametrize("sent", ["2", "-1", "0.5", '"true"', '"yes"', '""', "[]", "{}", "NaN", "1e400"])
def test_what_is_neither_true_nor_false_is_no_flag(sent: str) -> None:
    with pytest.raises(UnreadableError):
        flag(json.loads(sent))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ('""', ""),
        ('" llama "', " llama "),
        ('"null"', "null"),
        ("12", "12"),
        ("12.0", "12"),
        ("-3", "-3"),
        ("1.5", "1.5"),
        ('"1e400"', "1e400"),
        ('"\\ud83d\\udc4d"', "\N{THUMBS UP SIGN}"),
        ('"a\\ud83db"', "a\N{REPLACEMENT CHARACTER}b"),
        ('"\\udc4d\\ud83d"', 2 * "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_text_is_passed_on_as_it_is_and_a_number_as_its_digits(sent: str, expected: str) -> None:
    assert text(json.loads(sent)) == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (500 * "x", 500 * "x"),
        (501 * "x", 497 * "x" + CUT),
        (100_000 * "x", 497 * "x" + CUT),
        (250 * "é", 250 * "é"),
        (251 * "é", 248 * "é" + CUT),
        (166 * "\u20ac" + "ab", 166 * "\u20ac" + "ab"),
        (167 * "\u20ac", 165 * "\u20ac" + CUT),
        (125 * "😀", 125 * "😀"),
        (126 * "😀", 124 * "😀" + CUT),
        (200 * "\ud83d", 165 * "\ufffd" + CUT),
    ],
)
def test_text_that_is_too_long_is_cut_at_a_whole_character_and_marked(sent: str, expected: str) -> None:
    for read in (text, status):
        found = read(sent)
        assert found == expected
        assert len(found.encode()) <= LONGEST_TEXT


@pytest.mark.parametrize("sent", ["true", "false", "[]", '["a"]', "{}", "NaN", "Infinity", "1e400"])
def test_a_label_that_is_neither_text_nor_a_number_is_unreadable(sent: str) -> None:
    with pytest.raises(UnreadableError):
        text(json.loads(sent))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ('"running"', "running"),
        ('" running\\n"', "running"),
        ('"Running"', "Running"),
        ('"shelved (again)"', "shelved (again)"),
        ("3", "3"),
        ('""', None),
        ('" \\t\\n"', None),
    ],
)
def test_any_text_is_a_status_and_a_blank_one_is_absent(sent: str, expected: str | None) -> None:
    assert status(json.loads(sent)) == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [('{"rate": 0.5}', 0.5), ('{"rate": "0.5"}', 0.5), ('{"rate": null}', None), ("{}", None)],
)
def test_an_inner_number_is_one_inside_of_an_object(sent: str, expected: float | None) -> None:
    assert inner_number("rate")(json.loads(sent)) == expected


@pytest.mark.parametrize(
    "sent", ['{"rate": true}', '{"rate": "much"}', '{"rate": {}}', "[0.5]", "0.5", '"a"']
)
def test_an_inner_number_of_what_is_no_object_or_is_no_number_is_unreadable(sent: str) -> None:
    with pytest.raises(UnreadableError):
        inner_number("rate")(json.loads(sent))


JSON = json_values("discountedTotalPerHour")


@pytest.mark.parametrize("read", [number, flag, text, status, inner_number("discountedTotalPerHour")])
@given(value=JSON)
def test_any_value_is_read_or_unreadable_and_never_more(
    read: Callable[[object], float | str | None], value: object
) -> None:
    try:
        found = read(value)
    except UnreadableError:
        return
    assert found is None or type(found) in {int, float, str}
    if isinstance(found, str):
        found.encode()
    elif found is not None:
        assert abs(found * 10**12) < float("inf")


@settings(max_examples=100)
@given(field=st.sampled_from(sorted(FIELDS.names)), value=JSON)
def test_any_value_in_any_field_costs_at_most_the_samples_of_that_field_and_is_counted_at_most_once(
    new_exporter: Callable[..., Exporter], whole_row: dict[str, Any], field: str, value: object
) -> None:
    account = new_exporter().account()
    account.walk([{**whole_row, "id": 1, field: value}, {**whole_row, "id": 2}])
    own = {each.name for each in ROWS if field in {read.name for read in each.fields}}
    odd, normal = account.values(1), account.values(2)
    assert odd.keys() <= normal.keys()
    assert normal.keys() - odd.keys() <= own
    assert {name: value for name, value in odd.items() if name not in own} == {
        name: value for name, value in normal.items() if name not in own
    }
    assert set(account.unreadable) <= {field}
    assert account.unreadable.get(field, 0) <= 1


@settings(max_examples=100)
@given(row=st.dictionaries(st.sampled_from(COLUMNS), JSON))
def test_a_row_of_any_values_never_fails_a_walk(
    new_exporter: Callable[..., Exporter], row: dict[str, object]
) -> None:
    exporter = new_exporter()
    account = exporter.account()
    account.walk([{**row, "id": 1}, {"id": 2}, row])
    assert account.values(2)["vastai_instance_info"] == 1
    assert all(count <= 3 for count in account.unreadable.values())
    exporter.samples()
    exporter.samples(openmetrics=True)
