"""What a row of the metric table is: a metric's name, meaning, labels, source and reading, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fractions import Fraction

Number = int | float
#: What one object of the API said, by field: a number, text, or None for all that gives no sample.
Record = Mapping[str, Number | str | None]
#: Makes a value of the API usable, or raises `exporter.metrics.values.UnreadableError`.
Reader = Callable[[object], Number | str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric.

    Attributes:
        name: with prefix and unit.
        help: one sentence; no quotes and no backslashes, so that it is the same in both formats.
        kind: its type.
        labels: its label names, in the order in which they are written.
        reading: for docs/metrics.md, how the value comes about where the help does not say it.

    """

    name: str
    help: str
    kind: Literal["gauge", "counter", "histogram"] = "gauge"
    labels: tuple[str, ...] = ("account",)
    reading: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge(Metric):
    """A gauge with one sample for each object that the API tells of.

    Attributes:
        reads: the API's fields that it comes from, and how each is read.
        value: the sample's value, or None for no sample.
        texts: the values of the labels behind those that identify the object.

    """

    reads: Mapping[str, Reader]
    value: Callable[[Record], Number | None]
    texts: Callable[[Record], tuple[str, ...]] | None = field(default=None)


def scaled(
    name: str, scale: Fraction | int = 1, *, running_only: bool = False, negative_is_unknown: bool = False
) -> Callable[[Record], Number | None]:
    """Return a function that takes field `name` of a record, times `scale`.

    Args:
        name: the API's field; it is read as a number.
        scale: from the API's unit to the base unit.
        running_only: no sample unless the record's `status` is running.
        negative_is_unknown: no sample where the number is below 0.

    """
    times, over = scale.numerator, scale.denominator

    def value(record: Record) -> Number | None:
        number = record[name]
        if number is None or isinstance(number, str):
            return None
        if (running_only and record["status"] != "running") or (negative_is_unknown and number < 0):
            return None
        return number * times if over == 1 else number * times / over

    return value
