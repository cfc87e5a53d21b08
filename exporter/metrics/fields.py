"""Fields of the API's objects: which are read, how, and what of their values means nothing.

A field is declared once and named by every row that reads it. null and missing give no value. What the API
sends for "unknown" (a sentinel) gives none either. What can't be read, and what can't be true, is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from exporter.metrics.values import Number, UnreadableError, flag, inner_number, number, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Values by which the API says that it does not know: in words for the docs, and as a test."""

    words: str
    matches: Callable[[Number], bool]


NEGATIVE = Sentinel("negative is unknown", lambda value: value < 0)
NOT_POSITIVE = Sentinel("0 and below is unknown", lambda value: value <= 0)


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

    def admits(self, value: Number, problems: Problems) -> bool:
        """Return whether a value that was read says anything; one that can't be true is counted."""
        if self.unknown is not None and self.unknown.matches(value):
            return False
        if self.least <= value <= self.most:
            return True
        problems.out_of_range[self.name] += 1
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextField:
    """A field that holds text; `read` makes text of what the API sent, None where that is as good as null."""

    name: str
    read: Callable[[object], str | None] = text


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
        self._numbers = tuple(
            (each.name, each.read, each if each.unknown is not None or each.has_range else None)
            for each in numbers
        )
        self._texts = tuple(
            (each.name, each.read, None) for each in found.values() if isinstance(each, TextField)
        )

    def read(self, row: Mapping[str, object], problems: Problems) -> Record:
        """Return what `row` says; what is no use is counted in `problems`."""
        return Record(_read(row, self._numbers, problems), _read(row, self._texts, problems))


def _read(
    row: Mapping[str, object],
    fields: Iterable[tuple[str, Callable[[object], Any], NumberField | None]],
    problems: Problems,
) -> dict[str, Any]:
    """Return what can be read and says anything, by name; this runs for every value of every row.

    Args:
        row: of the API.
        fields: the name of each, how it is read, and the field itself where its values need a second look.
        problems: where the rest is counted.

    """
    found: dict[str, Any] = {}
    for name, read, checked in fields:
        if (sent := row.get(name)) is None:
            continue
        try:
            value = read(sent)
        except UnreadableError:
            problems.unreadable[name] += 1
            continue
        if value is not None and (checked is None or checked.admits(value, problems)):
            found[name] = value
    return found
