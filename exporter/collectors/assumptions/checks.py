"""Checks shared by several assumptions."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from exporter.collectors.assumptions.declaration import Check, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, number_in, numbers_in, span, word_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from exporter.collectors.assumptions.evidence import Answer, Evidence, Row

#: Form of the API's error codes. Text in any other form may contain anything, so it is not shown.
_ERROR_WORD = re.compile(r"[a-z]{2,16}(?:_[a-z]{2,16}){1,4}")
#: A larger value must be a percentage; percentages that never exceed it are fractions.
ONE = 1.0
#: Sample size from which small values count as evidence.
ENOUGH = 5
HOURS_IN_MONTH = 720.0
#: Epoch seconds of 2001, before Vast.ai existed; and maximum clock difference.
EPOCH = 1e9
DAY = 86_400
#: Plausible disk prices in dollars per GB and month.
CHEAPEST, DEAREST = 0.001, 10.0


def within(rows: Iterable[Row], name: str, least: float, most: float) -> Finding:
    """Check that all numbers in a field are in a range."""
    values = numbers_in(rows, name)
    if not values:
        return untold("no number")
    return (holds if least <= min(values) and max(values) <= most else fails)(span(values))


def percent(values: Collection[float], *, most: float = 100.0) -> Finding:
    """Check that numbers are percentages: fractions never exceed 1, and sums exceed 100."""
    if not values:
        return untold("no number")
    if max(values) > most or min(values) < 0:
        return fails(span(values))
    if max(values) > ONE:
        return holds(span(values))
    busy = sum(value > 0 for value in values)
    return (fails if busy >= ENOUGH else untold)(span(values))


def filled(rows_name: str, *names: str) -> Check:
    """Return a check that fields are never null."""

    def check(evidence: Evidence) -> Finding:
        rows = evidence.rows(rows_name)
        if not rows:
            return untold("no row")
        empty = Counter(name for row in rows for name in names if row.get(name) is None)
        if not empty:
            return holds(f"a value in each of {counted(len(rows))}")
        found = (f"{name} null in {count} of {len(rows)}" for name, count in empty.items())
        return fails(", ".join(found))

    return check


def disk_price(rows: Iterable[Row]) -> Finding:
    """Check that `storage_total_cost` is a plausible hourly price for a disk of that size."""
    pairs = [(number_in(row, "storage_total_cost"), number_in(row, "disk_space")) for row in rows]
    months = [cost * HOURS_IN_MONTH / size for cost, size in pairs if cost and size]
    if not months:
        return untold("no number above 0")
    usual = min(months) > CHEAPEST and max(months) < DEAREST
    return (holds if usual else fails)(f"{span(months)}, in dollars for a GB and month")


def epoch_seconds(rows_name: str, name: str) -> Check:
    """Return a check that the numbers in a field are epoch seconds, none of them far in the future."""

    def check(evidence: Evidence) -> Finding:
        times = numbers_in(evidence.rows(rows_name), name)
        if not times:
            return untold("no number")
        right = sum(EPOCH < each < evidence.now + DAY for each in times)
        return (holds if right == len(times) else fails)(f"times in {right} of {counted(len(times))}")

    return check


def words(rows_name: str, name: str, known: Collection[str], *, nullable: bool = False) -> Check:
    """Return a check that a field has only known values; unknown ones are counted but not shown."""

    def check(evidence: Evidence) -> Finding:
        rows = evidence.rows(rows_name)
        if not rows:
            return untold("no row")
        found = Counter(_known_word(row, name, known) for row in rows)
        came = ", ".join(f"{word} {count}" for word, count in found.items())
        wrong = found["another text"] + (0 if nullable else found["null"])
        return (fails if wrong else holds)(came)

    return check


def error_word(answer: Answer) -> str:
    """Return the status and the API's error code, if it has the form of one."""
    error = answer.error
    if error is None:
        return "not asked: no time" if answer.reply is None else " then ".join(answer.codes) or "answered"
    status = f"HTTP {error.status}" if error.status is not None else error.reason
    if not error.error:
        return f"{status}, without an error word"
    return f"{status}, {error.error if _ERROR_WORD.fullmatch(error.error) else 'another error word'}"


def _known_word(row: Row, name: str, known: Collection[str]) -> str:
    word = word_in(row, name)
    if word is None:
        return "null"
    return word if word in known else "another text"
