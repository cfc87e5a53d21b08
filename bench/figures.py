"""The result of a measurement: a ratio, its operands and its target."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One ratio.

    Attributes:
        part: the part of the benchmark.
        what: what was measured.
        ours: our value as text with unit.
        beside: the value to compare with, as text with unit.
        ratio: our value divided by the other.
        target: the maximum ratio; None if it is only reported.

    """

    part: str
    what: str
    ours: str
    beside: str
    ratio: float
    target: float | None = None

    @property
    def good(self) -> bool:
        """Whether the target is met, if there is one."""
        return self.target is None or self.ratio <= self.target

    @property
    def verdict(self) -> str:
        """`pass`, `FAIL`, or nothing without a target."""
        if self.target is None:
            return ""
        return "pass" if self.good else "FAIL"


HEADINGS = ("part", "what", "ours", "beside", "ratio", "target", "")


def table(figures: Sequence[Figure]) -> str:
    """Return the figures in columns."""
    rows = [HEADINGS, *map(_cells, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _cells(figure: Figure) -> tuple[str, ...]:
    target = "" if figure.target is None else f"<= {figure.target:g}"
    return (
        figure.part,
        figure.what,
        figure.ours,
        figure.beside,
        f"{figure.ratio:.3g}",
        target,
        figure.verdict,
    )


def milliseconds(seconds: float) -> str:
    """Return `seconds` as text."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds * 1e3:,.0f} ms"


def p99(values: Sequence[float]) -> float:
    """Return the value that 99 of 100 values do not exceed."""
    return quantiles(values, n=100, method="inclusive")[-1]


def compared(part: str, what: str, ours: float, theirs: float, name: str, target: float | None) -> Figure:
    """Return the ratio of two durations in seconds; `name` names the second."""
    return Figure(
        part=part,
        what=what,
        ours=milliseconds(ours),
        beside=f"{name} {milliseconds(theirs)}",
        ratio=ours / theirs,
        target=target,
    )
