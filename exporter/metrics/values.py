"""Convert JSON values from the API to numbers and text, and detect unreadable ones.

null and a missing field are absent: they give no sample and are not counted. A number written as text is a
number. Any other value of a wrong type is unreadable: it gives no sample and is counted by field.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Number = int | float

#: Above any quantity in the API; keeps scaled values finite.
LARGEST = 1e100
#: Maximum bytes of a text in UTF-8. Prometheus applies `label_value_length_limit` to bytes, and one longer
#: value would fail the whole scrape.
LONGEST_TEXT = 500
#: Characters that always fit, since none takes more than 4 bytes.
SHORT = LONGEST_TEXT // 4
#: Appended to truncated text.
CUT = "\N{HORIZONTAL ELLIPSIS}"
#: A lone surrogate, which JSON allows and UTF-8 does not.
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)


class UnreadableError(ValueError):
    """A value of the wrong type or form for its field."""


def number(value: object) -> Number:
    """Return a finite number, also from numeric text; true and false are not numbers."""
    if isinstance(value, str):
        if len(value) > 400 or not _NUMBER.fullmatch(value):  # noqa: PLR2004 - longer than any float
            raise UnreadableError
        value = float(value)
    # Compares types, because isinstance treats true as 1. This runs for every value of every page.
    if (type(value) is float or type(value) is int) and -LARGEST < value < LARGEST:
        return value
    raise UnreadableError


def flag(value: object) -> Number:
    """Return 1 or 0 for a boolean, which may be written as a number."""
    if isinstance(value, bool):
        return int(value)
    read = number(value)
    if read not in {0, 1}:
        raise UnreadableError
    return int(read)


def text(value: object) -> str:
    """Return text that is valid in UTF-8 and truncated if too long; a number becomes its digits."""
    if isinstance(value, str):
        # Replaced here and not on output: texts with the same output must count as one.
        if not value.isascii():
            value = _SURROGATE.sub("\ufffd", value)
        return _cut(value) if len(value) > SHORT else value
    read = number(value)
    return str(int(read)) if read == int(read) else repr(read)


def _cut(text: str) -> str:
    """Return `text`, truncated with a mark if it is too long."""
    whole = text[: LONGEST_TEXT + 1].encode()
    if len(whole) <= LONGEST_TEXT:
        return text
    room = LONGEST_TEXT - len(CUT.encode())
    return whole[:room].decode(errors="ignore") + CUT


def status(value: object) -> str | None:
    """Return any non-blank text as the status, without surrounding whitespace, else None."""
    return text(value).strip() or None


def inner_number(name: str) -> Callable[[object], Number | None]:
    """Return a reader for the number `name` inside an object."""

    def read(value: object) -> Number | None:
        if not isinstance(value, dict):
            raise UnreadableError
        inner = value.get(name)
        return None if inner is None else number(inner)

    return read
