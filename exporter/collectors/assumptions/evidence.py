"""Hold the replies and errors that a probe collected, with safe accessors for checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.metrics.fields import Problems
from exporter.metrics.values import Number, UnreadableError, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from exporter.vast.endpoints import Endpoint
    from exporter.vast.errors import ApiError, Reason

    Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of one request.

    Attributes:
        endpoint: the endpoint.
        codes: HTTP statuses of all attempts; "error" for an attempt without a reply.
        reply: the reply's object, or None.
        error: why there is no reply; if both are None, there was no time for the request.

    """

    endpoint: Endpoint
    codes: tuple[str, ...] = ()
    reply: Mapping[str, Any] | None = None
    error: ApiError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All results for one collector, or for all collectors.

    Attributes:
        answers: results of the regular requests.
        answer: result of one assumption's additional request.
        problems: unusable values.
        failure: why the run failed, or None.
        now: seconds since the epoch.
        headers: headers of every reply.

    """

    answers: tuple[Answer, ...] = ()
    answer: Answer | None = None
    problems: Problems = field(default_factory=Problems)
    failure: Reason | None = None
    now: float = 0.0
    headers: tuple[Mapping[str, str], ...] = ()

    @property
    def replies(self) -> tuple[Row, ...]:
        """The objects of the successful replies."""
        return tuple(answer.reply for answer in self.answers if answer.reply is not None)

    def rows(self, name: str) -> list[Row]:
        """Return the objects in all lists under `name`."""
        return [row for reply in self.replies for row in rows_in(reply, name)]

    def objects(self) -> Iterator[Row]:
        """Yield the replies, and the objects in them and in their lists."""
        for reply in self.replies:
            yield reply
            for value in reply.values():
                inner = value if isinstance(value, list) else [value]
                yield from (each for each in inner if isinstance(each, dict))


def rows_in(reply: Row, name: str) -> list[Row]:
    """Return the objects in a reply's list under `name`."""
    rows = reply.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def number_in(row: Row, name: str, inner: str = "") -> Number | None:
    """Return the number in a field, or in the object in a field; None if there is none."""
    value = row.get(name)
    if inner:
        value = value.get(inner) if isinstance(value, dict) else None
    try:
        return None if value is None else number(value)
    except UnreadableError:
        return None


def numbers_in(rows: Iterable[Row], name: str) -> list[Number]:
    """Return all numbers in a field of the rows."""
    return [value for row in rows if (value := number_in(row, name)) is not None]


def word_in(row: Row, name: str) -> str | None:
    """Return the text in a field, for comparison only and never for display; "" if it is not text."""
    value = row.get(name)
    if value is None:
        return None
    return value.strip() if isinstance(value, str) else ""


def with_status(rows: Iterable[Row], *statuses: str) -> list[Row]:
    """Return the instances with one of these statuses."""
    return [row for row in rows if word_in(row, "actual_status") in statuses]


def age_of(row: Row, now: float) -> float | None:
    """Return the age of a contract in seconds."""
    start = number_in(row, "start_date")
    return None if start is None else max(0.0, now - start)


def counted(count: int, noun: str = "row", nouns: str = "") -> str:
    """Return a count with its noun; `nouns` is the plural if it is irregular."""
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"


def rounded(value: float) -> str:
    """Return a number rounded to two digits, so that it does not identify anything."""
    return f"{float(f'{value:.2g}'):.6g}"


def span(values: Collection[float]) -> str:
    """Return the range of the numbers, rounded."""
    if not values:
        return "no number"
    least, most = rounded(min(values)), rounded(max(values))
    return f"{least if least == most else f'{least} to {most}'} in {counted(len(values))}"


def named(names: Iterable[str]) -> str:
    """Return field names that the exporter itself declares, as a list for display."""
    return ", ".join(names)
