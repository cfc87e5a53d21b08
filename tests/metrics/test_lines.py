"""The text of samples: escaped so that both formats read it back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.fields import Record, number_field, text_field
from exporter.metrics.lines import encode, escape, header, labels, of_objects, of_samples, sample
from exporter.metrics.rows import Metric, Row, scaled
from exporter.metrics.snapshot import Lines


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("", ""),
        ('say "hi"', r"say \"hi\""),
        ("C:\\new", r"C:\\new"),
        ("two\nlines", r"two\nlines"),
        ('\\"\n', r"\\\"\n"),
        ("\\n", r"\\n"),
        ("\r\t\0\x85\u2028", "\r\t\0\x85\u2028"),
        ('{a="b"} 1 # x', r"{a=\"b\"} 1 # x"),
    ],
)
def test_only_what_would_end_a_label_or_a_line_is_escaped(text: str, written: str) -> None:
    assert escape(text) == written


def test_labels_are_written_in_their_order() -> None:
    assert labels(("b", "a"), ("1", 'x"y')) == r'b="1",a="x\"y"'


@pytest.mark.parametrize("values", [(), ("1",), ("1", "2", "3")])
def test_a_label_without_a_value_or_the_other_way_round_is_an_error(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="zip"):
        labels(("a", "b"), values)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (-7, "-7"), (0.1, "0.1"), (1e-7, "1e-07"), (1e99, "1e+99"), (2**70, "1180591620717411303424")],
)
def test_a_value_is_written_so_that_no_digit_is_lost(value: float, written: str) -> None:
    assert sample("m", 'a="b"', value) == f'm{{a="b"}} {written}\n'
    assert float(written) == value


def test_without_labels_there_are_no_braces() -> None:
    assert sample("m", "", 1) == "m 1\n"


@pytest.mark.parametrize(("openmetrics", "family"), [(False, "vastai_things_total"), (True, "vastai_things")])
def test_openmetrics_names_a_counter_without_its_ending(*, openmetrics: bool, family: str) -> None:
    metric = Metric(name="vastai_things_total", help="Things.", type="counter")
    expected = f"# HELP {family} Things.\n# TYPE {family} counter\n"
    assert header(metric, openmetrics=openmetrics) == expected.encode()


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_gauge_has_the_same_name_in_both_formats(*, openmetrics: bool) -> None:
    metric = Metric(name="vastai_sum_total_flops", help="Things.")
    expected = b"# HELP vastai_sum_total_flops Things.\n# TYPE vastai_sum_total_flops gauge\n"
    assert header(metric, openmetrics=openmetrics) == expected


def test_half_a_surrogate_pair_does_not_stop_the_rest_from_being_written() -> None:
    assert encode("a\ud83db\n") == b"a?b\n"


def test_a_header_is_that_of_the_metrics_type() -> None:
    metric = Metric(name="vastai_wait_seconds", help="Waits.", type="histogram")
    expected = b"# HELP vastai_wait_seconds Waits.\n# TYPE vastai_wait_seconds histogram\n"
    assert header(metric) == header(metric, openmetrics=True) == expected


# The lines of objects

SIZE, DEPTH, NAME = number_field("size"), number_field("depth"), text_field("name")
ROWS: tuple[Row[Record], ...] = (
    Row(name="size", help="", fields=(SIZE,), value=scaled(SIZE)),
    Row(
        name="info",
        help="",
        labels=("id", "name", "depth"),
        fields=(SIZE, NAME, DEPTH),
        value=scaled(SIZE),
        label_values=lambda record: (record.text(NAME), str(record.number(DEPTH))),
    ),
    Row(name="depth", help="", fields=(DEPTH,), value=scaled(DEPTH)),
)


def test_a_metric_has_lines_only_of_the_objects_that_have_a_value() -> None:
    objects = [
        ('id="1"', Record({"size": 0}, {"name": 'a"b'})),
        ('id="2"', Record({}, {"name": "c"})),
        ('id="3"', Record({"size": 2.5}, {})),
    ]
    assert of_objects(ROWS, objects) == Lines(
        text={
            "size": b'size{id="1"} 0\nsize{id="3"} 2.5\n',
            "info": b'info{id="1",name="a\\"b",depth="None"} 0\ninfo{id="3",name="",depth="None"} 2.5\n',
        },
        counts={"size": b"\1\0\1", "info": b"\1\0\1"},
    )


def test_where_each_object_has_its_line_nothing_is_counted() -> None:
    objects = [(f'id="{number}"', Record({"size": number}, {})) for number in (1, 2)]
    assert of_objects(ROWS[:1], objects) == Lines(text={"size": b'size{id="1"} 1\nsize{id="2"} 2\n'})


def test_no_objects_have_no_lines() -> None:
    assert of_objects(ROWS, []) == Lines(text={})


def test_metrics_that_lack_the_same_objects_share_what_says_so() -> None:
    # Of 40 metrics and thousands of objects it would be much.
    objects = [(f'id="{number}"', Record({"size": 1} if number % 3 else {}, {})) for number in range(9)]
    counts = of_objects(ROWS, objects).counts
    assert counts["size"] is counts["info"]


TEXTS = st.sampled_from(
    ["", "\n", '"', "\\", "a\nb", "\r\n", "\x85\u2028", '"} 1\nsize{id="7"} 1']
) | st.text(max_size=5)
RECORDS = st.builds(
    Record,
    st.dictionaries(st.sampled_from(["size", "depth"]), st.integers(-9, 9) | st.floats(-1e9, 1e9)),
    st.fixed_dictionaries({"name": TEXTS}),
)


@given(
    records=st.lists(st.tuples(TEXTS, RECORDS), max_size=8), first=st.integers(0, 8), size=st.integers(0, 8)
)
def test_the_lines_of_some_of_the_objects_are_those_that_they_would_have_alone(
    records: list[tuple[str, Record]], first: int, size: int
) -> None:
    objects = [(labels(("id",), (key,)), record) for key, record in records]
    last = min(first + size, len(objects))
    some, alone = of_objects(ROWS, objects).of(first, last), of_objects(ROWS, objects[first:last])
    assert some.text == alone.text
    # Where an object without a line is cut off, one each may be said in as many words.
    for name in some.text:
        ones = bytes([1]) * len(objects[first:last])
        assert some.counts.get(name, ones) == alone.counts.get(name, ones)


# The lines of an account


def test_the_samples_of_an_account_stand_in_the_order_of_their_labels() -> None:
    metric = Metric(name="things", help="", labels=("account", "state", "label"))
    samples = [(("b", "x"), 1), (("a", "y"), 2.5), (("a", 'x"'), 0)]
    assert of_samples(metric, "me", samples) == (
        b'things{account="me",state="a",label="x\\""} 0\n'
        b'things{account="me",state="a",label="y"} 2.5\n'
        b'things{account="me",state="b",label="x"} 1\n'
    )


def test_an_account_may_have_one_sample_or_none() -> None:
    metric = Metric(name="things", help="")
    assert of_samples(metric, 'm"e', [((), 7)]) == b'things{account="m\\"e"} 7\n'
    assert of_samples(metric, "me", []) == b""
