"""Format the report of a probe as a table and as JSON, safe to publish."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from exporter import __version__
from exporter.collectors.assumptions.checks import error_word
from exporter.collectors.assumptions.declaration import Verdict
from exporter.collectors.assumptions.evidence import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exporter.collectors.assumptions.declaration import Assumption, Finding
    from exporter.collectors.assumptions.evidence import Answer
    from exporter.vast.endpoints import Endpoint

ALL_WELL = 0
NOT_ASKED = 1
DOES_NOT_HOLD = 3
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
#: Heading for assumptions about the API as a whole.
EVERYWHERE = "the API as a whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An endpoint and its results for a collector; `answered` tells whether they were sufficient."""

    collector: str
    endpoint: Endpoint
    answers: tuple[Answer, ...]
    answered: bool

    @property
    def came(self) -> str:
        """A summary of the results that is safe to show."""
        replies = sum(answer.reply is not None for answer in self.answers)
        counts = Counter(error_word(answer) for answer in self.answers if answer.error is not None)
        failures = [f"{word}{f' x {count}' * (count > 1)}" for word, count in counts.items()]
        told = [counted(replies, "reply", "replies")] * bool(replies) + failures
        return "; ".join(told) or "not asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An assumption and its finding; `collector` is "" for an assumption about the whole API."""

    collector: str
    assumption: Assumption
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All results of a probe, at `now` (epoch)."""

    asked: tuple[Asked, ...]
    results: tuple[Result, ...]
    now: float

    @property
    def counts(self) -> Counter[Verdict]:
        """Number of assumptions by verdict."""
        return Counter(result.finding.verdict for result in self.results)

    @property
    def exit_code(self) -> int:
        """Exit code of the program: a failed assumption takes precedence over an unanswered request."""
        if self.counts["does not hold"]:
            return DOES_NOT_HOLD
        return ALL_WELL if all(each.answered for each in self.asked) else NOT_ASKED

    @property
    def day(self) -> str:
        """Date of the probe."""
        return time.strftime("%Y-%m-%d", time.gmtime(self.now))


def as_table(report: Report) -> str:
    """Return the report in Markdown, which an issue renders as a table."""
    lines = [f"vastai-exporter {__version__}, {report.day}", ""]
    lines += _table(
        ("request", "collector", "result"),
        (
            (f"`{each.endpoint.method} {each.endpoint.path}`", each.collector, each.came)
            for each in report.asked
        ),
    )
    for collector, results in _grouped(report.results):
        lines += ["", f"**{collector or EVERYWHERE}**", ""]
        lines += _table(
            ("verdict", "assumption", "confidence before", "result"),
            (
                (
                    result.finding.verdict,
                    f"`{result.assumption.name}`: {result.assumption.sentence}",
                    result.assumption.confidence,
                    result.finding.came,
                )
                for result in results
            ),
        )
    lines += ["", _summary(report), ""]
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """Return the report as JSON."""
    content: dict[str, Any] = {
        "version": __version__,
        "day": report.day,
        "exit_code": report.exit_code,
        "asked": [
            {
                "collector": each.collector,
                "method": each.endpoint.method,
                "path": each.endpoint.path,
                "answered": each.answered,
                "came": each.came,
            }
            for each in report.asked
        ],
        "assumptions": [
            {
                "collector": result.collector,
                "name": result.assumption.name,
                "sentence": result.assumption.sentence,
                "confidence": result.assumption.confidence,
                "came": result.finding.came,
                "verdict": result.finding.verdict,
            }
            for result in report.results
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def _summary(report: Report) -> str:
    counts = report.counts
    told = ", ".join(f"{counts[verdict]} {verdict.replace('holds', 'hold')}" for verdict in VERDICTS)
    told = told.replace("does not hold", "do not hold")
    silent = sum(not each.answered for each in report.asked)
    if silent:
        told += f"; {counted(silent, 'endpoint')} not fully checked"
    return f"{told}."


def _grouped(results: Iterable[Result]) -> Iterator[tuple[str, list[Result]]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.collector, []).append(result)
    return iter(groups.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]
