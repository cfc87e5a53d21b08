"""The text of samples: escaped so that both formats read it back."""

from __future__ import annotations

import pytest

from exporter.metrics.lines import encode, escape, header, labels, of_objects, sample
from exporter.metrics.rows import Gauge, Metric, Record, scaled


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
    metric = Metric(name="vastai_things_total", help="Things.", kind="counter")
    expected = f"# HELP {family} Things.\n# TYPE {family} counter\n"
    assert header(metric, openmetrics=openmetrics) == expected.encode()


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_gauge_has_the_same_name_in_both_formats(*, openmetrics: bool) -> None:
    metric = Metric(name="vastai_sum_total_flops", help="Things.")
    expected = b"# HELP vastai_sum_total_flops Things.\n# TYPE vastai_sum_total_flops gauge\n"
    assert header(metric, openmetrics=openmetrics) == expected


def test_half_a_surrogate_pair_does_not_stop_the_rest_from_being_written() -> None:
    assert encode("a\ud83db\n") == b"a?b\n"


def test_a_metric_has_lines_only_of_the_objects_that_have_a_value() -> None:
    size = Gauge(name="size", help="", reads={}, value=scaled("size"))
    name = Gauge(name="name", help="", labels=("id", "name"), reads={}, value=scaled("size"), texts=_name)
    depth = Gauge(name="depth", help="", reads={}, value=scaled("depth"))
    objects: list[tuple[str, Record]] = [
        ('id="1"', {"size": 0, "depth": None, "name": 'a"b'}),
        ('id="2"', {"size": None, "depth": None, "name": "c"}),
        ('id="3"', {"size": 2.5, "depth": None, "name": ""}),
    ]
    assert of_objects((size, name, depth), objects) == {
        "size": b'size{id="1"} 0\nsize{id="3"} 2.5\n',
        "name": b'name{id="1",name="a\\"b"} 0\nname{id="3",name=""} 2.5\n',
    }


def _name(record: Record) -> tuple[str, ...]:
    return (str(record["name"]),)
