"""Parse and format durations as Prometheus writes them: 500ms, 90s, 5m, 1h30m, 0s."""

from __future__ import annotations

import re

#: In milliseconds, as integers, to avoid rounding.
_UNITS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS), re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds of `text`.

    >>> parse_duration("1h30m")
    5400.0

    Raises:
        ValueError: it is not a duration.

    """
    found = _DURATION.fullmatch(text)
    if text == "0":
        return 0.0
    if not found or not text:
        raise ValueError("a duration such as 500ms, 90s, 5m or 1h30m")
    counts = (int(count or 0) for count in found.groups())
    return sum(count * unit for count, unit in zip(counts, _UNITS.values(), strict=True)) / 1000


def format_duration(seconds: float) -> str:
    """Return `seconds` in the format of `parse_duration`, to the millisecond.

    >>> format_duration(5400.0)
    '1h30m'
    """
    left = round(seconds * 1000)
    words = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"
