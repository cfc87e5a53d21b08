"""Define a row of the metric table: name, meaning, labels, source and reading of a metric."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from exporter.metrics.fields import Field, NumberField, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.metrics.values import Number

R_contra = TypeVar("R_contra", bound=Record, contravariant=True)
R = TypeVar("R", bound=Record)

PERCENT = Fraction(1, 100)
MIB = 2**20
GIB = 2**30
KILOBYTE = 10**3
MEGABYTE = 10**6
GIGABYTE = 10**9
#: Bytes per second in one Mbit/s.
MEGABIT = 125_000

BYTES_PER_SECOND = "bytes_per_second"
DOLLARS_PER_HOUR = "dollars_per_hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric.

    Attributes:
        name: name with prefix and unit.
        help: one sentence without quotes and backslashes, so that it is the same in both formats.
        type: Prometheus type.
        labels: label names, in the order of the exposition.
        notes: for docs/metrics.md, how the value is derived if the help does not say it.
        group: group that is requested or omitted as a whole; "" for the collector's name.

    """

    name: str
    help: str
    type: Literal["gauge", "counter", "histogram"] = "gauge"
    labels: tuple[str, ...] = ("account",)
    notes: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Metric, Generic[R_contra]):
    """A metric with at most one sample per API object.

    Attributes:
        fields: source fields in the API.
        value: returns the sample's value, or None for no sample.
        label_values: returns the values of the labels that follow the identifying ones.

    """

    fields: tuple[Field, ...]
    value: Callable[[R_contra], Number | None]
    label_values: Callable[[R_contra], tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Generic[R_contra]):
    """Condition for a sample: its wording in the docs, its test of a record, and the fields that it reads."""

    words: str
    holds: Callable[[R_contra], bool]
    fields: tuple[Field, ...]


def field_row(
    name: str,
    meaning: str,
    field: NumberField,
    scale: Fraction | int = 1,
    *,
    labels: tuple[str, ...],
    type: Literal["gauge", "counter"] = "gauge",  # noqa: A002 - Prometheus calls it that
    when: Condition[R] | None = None,
    notes: str = "",
) -> Row[R]:
    """Return the row of a metric that is one API field times `scale`.

    Args:
        name: metric name.
        meaning: help text, without the field and the full stop.
        field: source field.
        scale: factor from the API's unit to the base unit.
        labels: identifying labels.
        type: metric type.
        when: condition without which there is no sample.
        notes: further notes.

    """
    return Row(
        name=name,
        help=f"{meaning} (API field {field.name}).",
        type=type,
        labels=labels,
        notes="; ".join(filter(None, (*_how_it_is_read(field, scale, when), notes))),
        fields=(field, *(when.fields if when is not None else ())),
        value=scaled(field, scale, when=when.holds if when is not None else None),
    )


def scaled(
    field: NumberField, scale: Fraction | int = 1, *, when: Callable[[R], bool] | None = None
) -> Callable[[R], Number | None]:
    """Return a function that returns the number in `field` times `scale`, provided that `when` holds."""
    name, times, over = field.name, scale.numerator, scale.denominator
    if when is None and scale == 1:
        return lambda record: record.numbers.get(name)

    def value(record: R) -> Number | None:
        number = record.numbers.get(name)
        if number is None or (when is not None and not when(record)):
            return None
        return number * times if over == 1 else number * times / over

    return value


def _how_it_is_read(field: NumberField, scale: Fraction | int, when: Condition[R] | None) -> tuple[str, ...]:
    times, over = f"{scale.numerator:,}".replace(",", " "), f"{scale.denominator:,}".replace(",", " ")
    return (
        f"x {times}" * (scale.numerator != 1),
        f"/ {over}" * (scale.denominator != 1),
        field.unknown.words if field.unknown is not None else "",
        _range(field),
        when.words if when is not None else "",
    )


def _range(field: NumberField) -> str:
    if (field.least, field.most) == (-inf, inf):
        return ""
    if field.most == inf:
        return f"valid from {field.least:g}"
    if field.least == -inf:
        return f"valid up to {field.most:g}"
    return f"valid from {field.least:g} to {field.most:g}"
