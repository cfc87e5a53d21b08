"""What a row of the metric table is: a metric's name, meaning, labels, source and how it is read, once."""

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
#: Bytes a second in one Mbit/s.
MEGABIT = 125_000

BYTES_PER_SECOND = "bytes_per_second"
DOLLARS_PER_HOUR = "dollars_per_hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric.

    Attributes:
        name: with prefix and unit.
        help: one sentence; no quotes and no backslashes, so that it is the same in both formats.
        type: as Prometheus calls it.
        labels: its label names, in the order in which they are written.
        notes: for docs/metrics.md, how the value comes about where the help does not say it.
        group: what it is asked for and left out together with; "" for its collector's name.

    """

    name: str
    help: str
    type: Literal["gauge", "counter", "histogram"] = "gauge"
    labels: tuple[str, ...] = ("account",)
    notes: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Metric, Generic[R_contra]):
    """A metric with at most one sample for each object that the API tells of.

    Attributes:
        fields: the API's fields that it comes from.
        value: the sample's value, or None for no sample.
        label_values: the values of the labels behind those that identify the object.

    """

    fields: tuple[Field, ...]
    value: Callable[[R_contra], Number | None]
    label_values: Callable[[R_contra], tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Generic[R_contra]):
    """When a value holds: in words for the docs, as a test of the record, and the fields that it looks at."""

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
    """Return the row of a metric that is one field of the API, times `scale`.

    Args:
        name: the metric's.
        meaning: the help, without the field and the full stop.
        field: where the value comes from.
        scale: from the API's unit to the base unit.
        labels: what identifies the object.
        type: the metric's.
        when: no sample where it does not hold.
        notes: what else there is to say.

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
    """Return a function that takes the number in `field` of a record, times `scale`, where `when` holds."""
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
