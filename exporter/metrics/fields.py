"""Fields of the API's objects: which are read, how, and what of their values means nothing.

A field is declared once and named by every row that reads it. null and missing give no value. What the API
sends for "unknown" (a sentinel) gives none either. What can't be read, and what can't be true, is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf, nextafter
from typing import TYPE_CHECKING

from exporter.metrics.values import LARGEST, SHORT, Number, UnreadableError, flag, inner_number, number, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


#: What lies between it and its negative is a number by itself, without a second look.
PLAIN = nextafter(LARGEST, 0.0)


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Values by which the API says that it does not know: all below `known_from`."""

    words: str
    known_from: float


NEGATIVE = Sentinel("below 0 means unknown", 0.0)
NOT_POSITIVE = Sentinel("0 or below means unknown", nextafter(0.0, inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberField:
    """A field that holds a number.

    Attributes:
        name: as the API has it.
        read: makes a number of what the API sent, or raises `UnreadableError`.
        unknown: values that mean "unknown".
        least: in the API's unit; what is below can't be true.
        most: in the API's unit; what is above can't be true.

    """

    name: str
    read: Callable[[object], Number | None] = number
    unknown: Sentinel | None = None
    least: float = -inf
    most: float = inf

    @property
    def has_range(self) -> bool:
        """Whether some of what can be read can't be true."""
        return (self.least, self.most) != (-inf, inf)

    @property
    def plain(self) -> tuple[float, float]:
        """The range in which a number of the JSON is the value as it stands; (inf, -inf) where none is."""
        if self.read is not number:
            return inf, -inf
        known_from = -inf if self.unknown is None else self.unknown.known_from
        return max(self.least, known_from, -PLAIN), min(self.most, PLAIN)

    def value(self, sent: object, problems: Problems) -> Number | None:
        """Return the number that the API sent, or None where it is of no use: that is counted."""
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
    """A field that holds text; `read` makes text of what the API sent, None where that is as good as null."""

    name: str
    read: Callable[[object], str | None] = text

    def value(self, sent: object, problems: Problems) -> str | None:
        """Return the text that the API sent, or None where it is of no use: what can't be read is counted."""
        try:
            return self.read(sent)
        except UnreadableError:
            problems.unreadable[self.name] += 1
            return None


Field = NumberField | TextField


def number_field(
    name: str, *, unknown: Sentinel | None = None, least: float = -inf, most: float = inf
) -> NumberField:
    """Return the field `name`, which holds a number; see `NumberField`."""
    return NumberField(name=name, unknown=unknown, least=least, most=most)


def flag_field(name: str) -> NumberField:
    """Return the field `name`, which holds true or false: 1 or 0."""
    return NumberField(name=name, read=flag)


def inner_field(name: str, inner: str) -> NumberField:
    """Return the number `inner` of the object in the field `name`."""
    return NumberField(name=name, read=inner_number(inner))


def text_field(name: str) -> TextField:
    """Return the field `name`, which holds text."""
    return TextField(name=name)


@dataclass(frozen=True, slots=True)
class Problems:
    """How many values of each field were no use: not readable, or outside of what can be true."""

    unreadable: Counter[str] = field(default_factory=Counter)
    out_of_range: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Record:
    """What one object of the API said: its numbers and texts by field; what it did not say is not there."""

    numbers: Mapping[str, Number]
    texts: Mapping[str, str]

    def number(self, wanted: NumberField) -> Number | None:
        """Return the number in a field, or None."""
        return self.numbers.get(wanted.name)

    def text(self, wanted: TextField) -> str:
        """Return the text in a field, or ""."""
        return self.texts.get(wanted.name, "")


class Fields:
    """A set of fields, in order and each of them once.

    Attributes:
        names: of all.
        ranged: names of those of which not all that can be read can be true.

    Args:
        fields: may name one more than once, if it is the same.

    Raises:
        ValueError: two fields have the same name and are not read alike.

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
        """Return what `row` says; what is no use is counted in `problems`."""
        return Record(self._read_numbers(row, problems), self._read_texts(row, problems))

    def _read_numbers(self, row: Mapping[str, object], problems: Problems) -> dict[str, Number]:
        found: dict[str, Number] = {}
        for name, low, high, each in self._numbers:  # for every value of every row: nearly all are plain
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
