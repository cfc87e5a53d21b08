"""Durations as Prometheus writes them: 500ms, 90s, 5m, 1h30m, 0s."""

from __future__ import annotations

import re

_UNITS = {"y": 365 * 86400.0, "w": 7 * 86400.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
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
    return sum(
        int(count) * unit for count, unit in zip(found.groups(), _UNITS.values(), strict=True) if count
    )


def format_duration(seconds: float) -> str:
    """Return `seconds` as `parse_duration` reads it, to the millisecond.

    >>> format_duration(5400.0)
    '1h30m'
    """
    left = round(seconds * 1000)
    words = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(_UNITS[unit] * 1000))
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"
