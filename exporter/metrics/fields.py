"""Declare the API's fields: how each is read, and which values are unknown or invalid.

A field is declared once and shared by all rows that read it. null, a missing field and a value that the API
sends for "unknown" (a sentinel) give no value. Unreadable and out-of-range values give none either, and are
counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf, nextafter
from typing import TYPE_CHECKING

from exporter.metrics.values import LARGEST, SHORT, Number, UnreadableError, flag, inner_number, number, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


#: A number within ± this limit is used as it is, without further checks.
PLAIN = nextafter(LARGEST, 0.0)


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Values that the API sends for "unknown": all below `known_from`."""

    words: str
    known_from: float


NEGATIVE = Sentinel("below 0 means unknown", 0.0)
NOT_POSITIVE = Sentinel("0 or below means unknown", nextafter(0.0, inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberField:
    """A numeric field.

    Attributes:
        name: name in the API.
        read: converts the API's value to a number, or raises `UnreadableError`.
        unknown: values that mean "unknown".
        least: smallest plausible value, in the API's unit.
        most: largest plausible value, in the API's unit.

    """

    name: str
    read: Callable[[object], Number | None] = number
    unknown: Sentinel | None = None
    least: float = -inf
    most: float = inf

    @property
    def has_range(self) -> bool:
        """Whether some readable values are implausible."""
        return (self.least, self.most) != (-inf, inf)

    @property
    def plain(self) -> tuple[float, float]:
        """The range in which a JSON number is used as it is; (inf, -inf) if there is none."""
        if self.read is not number:
            return inf, -inf
        known_from = -inf if self.unknown is None else self.unknown.known_from
        return max(self.least, known_from, -PLAIN), min(self.most, PLAIN)

    def value(self, sent: object, problems: Problems) -> Number | None:
        """Return the number, or None if there is no usable one; unusable values are counted."""
        try:
            value = self.read(sent)
        except UnreadableError:
            problems.unreadable[self.name] += 1
            return None
        if value is None or (self.unknown is not None and value < self.unknown.known_from):
            return None
        if self.least <= value <= self.most:
            return value
        problems.out_of_range[self.name] += 1
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextField:
    """A text field; `read` converts the API's value to text, or to None if it is equivalent to null."""

    name: str
    read: Callable[[object], str | None] = text

    def value(self, sent: object, problems: Problems) -> str | None:
        """Return the text, or None if there is no usable one; unreadable values are counted."""
        try:
            return self.read(sent)
        except UnreadableError:
            problems.unreadable[self.name] += 1
            return None


Field = NumberField | TextField


def number_field(
    name: str, *, unknown: Sentinel | None = None, least: float = -inf, most: float = inf
) -> NumberField:
    """Return the numeric field `name`; see `NumberField`."""
    return NumberField(name=name, unknown=unknown, least=least, most=most)


def flag_field(name: str) -> NumberField:
    """Return the boolean field `name`, read as 1 or 0."""
    return NumberField(name=name, read=flag)


def inner_field(name: str, inner: str) -> NumberField:
    """Return the number `inner` of the object in the field `name`."""
    return NumberField(name=name, read=inner_number(inner))


def text_field(name: str) -> TextField:
    """Return the text field `name`."""
    return TextField(name=name)


@dataclass(frozen=True, slots=True)
class Problems:
    """Number of unusable values per field: unreadable, or out of range."""

    unreadable: Counter[str] = field(default_factory=Counter)
    out_of_range: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Record:
    """Values of one API object: numbers and texts by field; unknown fields are absent."""

    numbers: Mapping[str, Number]
    texts: Mapping[str, str]

    def number(self, wanted: NumberField) -> Number | None:
        """Return the number in a field, or None."""
        return self.numbers.get(wanted.name)

    def text(self, wanted: TextField) -> str:
        """Return the text in a field, or ""."""
        return self.texts.get(wanted.name, "")


class Fields:
    """An ordered set of fields.

    Attributes:
        names: names of all fields.
        ranged: names of the fields with a plausible range.

    Args:
        fields: fields; identical duplicates are allowed.

    Raises:
        ValueError: two fields have the same name but differ.

    """

    def __init__(self, fields: Iterable[Field]) -> None:
        found: dict[str, Field] = {}
        for each in fields:
            if found.setdefault(each.name, each) != each:
                raise ValueError(f"the field {each.name} is declared in two ways")
        self.names = tuple(found)
        numbers = [each for each in found.values() if isinstance(each, NumberField)]
        self.ranged = tuple(each.name for each in numbers if each.has_range)
        self._numbers = tuple((each.name, *each.plain, each) for each in numbers)
        texts = [each for each in found.values() if isinstance(each, TextField)]
        self._texts = tuple((each.name, SHORT if each.read is text else -1, each) for each in texts)

    def read(self, row: Mapping[str, object], problems: Problems) -> Record:
        """Return the values in `row`; unusable values are counted in `problems`."""
        return Record(self._read_numbers(row, problems), self._read_texts(row, problems))

    def _read_numbers(self, row: Mapping[str, object], problems: Problems) -> dict[str, Number]:
        found: dict[str, Number] = {}
        for name, low, high, each in self._numbers:  # runs for every value of every row; nearly all are plain
            sent = row.get(name)
            if (type(sent) is float or type(sent) is int) and low <= sent <= high:
                found[name] = sent
            elif sent is not None and (value := each.value(sent, problems)) is not None:
                found[name] = value
        return found

    def _read_texts(self, row: Mapping[str, object], problems: Problems) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, short, each in self._texts:
            sent = row.get(name)
            if type(sent) is str and len(sent) <= short and sent.isascii():
                found[name] = sent
            elif sent is not None and (value := each.value(sent, problems)) is not None:
                found[name] = value
        return found
