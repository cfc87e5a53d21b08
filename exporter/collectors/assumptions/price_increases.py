"""Assumptions about price increases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import error_word
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, numbers_in, span

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

ROWS = "pending_price_increases"
NONE = "no_pending_price_increase"
HOUR = 3600
#: Plausible GPU prices in dollars per hour.
CHEAPEST, DEAREST = 0.001, 100.0


def _none(evidence: Evidence) -> Finding:
    if evidence.rows(ROWS):
        return untold(f"there are some: {counted(len(evidence.rows(ROWS)))}")
    for answer in evidence.answers:
        if answer.reply is not None:
            return (holds if answer.reply.get(ROWS) == [] else fails)("an answer without rows")
        if answer.error is not None and answer.error.error == NONE:
            return holds(error_word(answer))
    return untold("no answer")


def _truncated(evidence: Evidence) -> Finding:
    said = [reply["truncated"] for reply in evidence.replies if "truncated" in reply]
    if not said:
        return untold("not said")
    return (fails if any(said) else holds)("more than came" if any(said) else "all of them came")


def _second(evidence: Evidence) -> Finding:
    prices = [price * HOUR for price in numbers_in(evidence.rows(ROWS), "old_gpu_costpersec") if price > 0]
    if not prices:
        return untold("no number above 0")
    usual = min(prices) > CHEAPEST and max(prices) < DEAREST
    return (holds if usual else fails)(f"{span(prices)}, in dollars an hour")


ASSUMPTIONS = (
    Assumption(
        name="increases_none",
        sentence=f"an account without increases gets an empty list, or a 404 with `{NONE}`",
        consequence="both give a `vastai_price_increases` of 0",
        confidence="open",
        origin="client",
        check=_none,
    ),
    Assumption(
        name="increases_truncated",
        sentence="one reply contains all increases: `truncated` is false",
        consequence="the exporter shows all returned rows, whatever `truncated` says",
        confidence="open",
        origin="client",
        check=_truncated,
    ),
    Assumption(
        name="increases_per_second",
        sentence="`old_gpu_costpersec` and `new_gpu_costpersec` are dollars per second for one GPU",
        consequence=(
            "multiplied by 3600 in `vastai_price_increase_old_gpu_dollars_per_hour`,"
            " `vastai_price_increase_new_gpu_dollars_per_hour`"
        ),
        confidence="likely",
        origin="client",
        check=_second,
    ),
)
