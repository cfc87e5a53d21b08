"""How values of the API's JSON become numbers and texts, and what of them can't be read.

null and missing are absent: no sample, and nothing to count. A number written as text is a number. Anything
else that is not what the field should hold is unreadable: no sample, and counted by field.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Number = int | float

#: No quantity of the API comes near it; it keeps a scaled value finite.
LARGEST = 1e100
#: Bytes of a text in UTF-8: so Prometheus counts for `label_value_length_limit`, beyond which one value would
#: cost the whole scrape.
LONGEST_TEXT = 500
#: Characters that fit whatever they are: none has more than 4 bytes.
SHORT = LONGEST_TEXT // 4
#: Stands at the end of a text that was longer.
CUT = "\N{HORIZONTAL ELLIPSIS}"
#: Half a surrogate pair: JSON may hold it, UTF-8 may not.
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)


class UnreadableError(ValueError):
    """A value that is not what its field should hold."""


def number(value: object) -> Number:
    """Return a finite number; text that is a number is read, true and false are not numbers."""
    if isinstance(value, str):
        if len(value) > 400 or not _NUMBER.fullmatch(value):  # noqa: PLR2004 - longer than any float
            raise UnreadableError
        value = float(value)
    # By type and not by isinstance, for which true is a 1; this runs for every value of every page.
    if (type(value) is float or type(value) is int) and -LARGEST < value < LARGEST:
        return value
    raise UnreadableError


def flag(value: object) -> Number:
    """Return 1 or 0 for true and false, which may be written as numbers."""
    if isinstance(value, bool):
        return int(value)
    read = number(value)
    if read not in {0, 1}:
        raise UnreadableError
    return int(read)


def text(value: object) -> str:
    """Return text as it can be written in UTF-8, cut where it is too long, and a number as its digits."""
    if isinstance(value, str):
        # Here and not where it is written: two texts that are written alike have to be counted as one.
        if not value.isascii():
            value = _SURROGATE.sub("\ufffd", value)
        return _cut(value) if len(value) > SHORT else value
    read = number(value)
    return str(int(read)) if read == int(read) else repr(read)


def _cut(text: str) -> str:
    """Return `text`, or as much of it as fits with a mark behind it."""
    whole = text[: LONGEST_TEXT + 1].encode()
    if len(whole) <= LONGEST_TEXT:
        return text
    room = LONGEST_TEXT - len(CUT.encode())
    return whole[:room].decode(errors="ignore") + CUT


def status(value: object) -> str | None:
    """Return a status; any text is one, but for blanks around it; a blank one is absent."""
    return text(value).strip() or None


def inner_number(name: str) -> Callable[[object], Number | None]:
    """Return a reader for the number `name` inside of an object."""

    def read(value: object) -> Number | None:
        if not isinstance(value, dict):
            raise UnreadableError
        inner = value.get(name)
        return None if inner is None else number(inner)

    return read
