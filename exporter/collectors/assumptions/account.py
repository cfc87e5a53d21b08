"""Assumptions about the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import number_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.collectors.assumptions.evidence import Evidence


def _sign(evidence: Evidence, name: str) -> str:
    """Return the sign of a dollar amount, the only part of it that may be shown."""
    for reply in evidence.replies:
        if name not in reply:
            return "not there"
        value = number_in(reply, name)
        if value is None:
            return "null" if reply[name] is None else "no number"
        return "below 0" if value < 0 else "above 0" if value > 0 else "0"
    return "no reply"


def _is(name: str, right: tuple[str, ...], wrong: tuple[str, ...]) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        came = _sign(evidence, name)
        verdict = holds if came in right else fails if came in wrong else untold
        return verdict(came)

    return check


def _threshold(evidence: Evidence) -> Finding:
    came = _sign(evidence, "balance_threshold")
    enabled = any(reply.get("balance_threshold_enabled") in (True, 1) for reply in evidence.replies)
    told = f"{came}, {'enabled' if enabled else 'not enabled'}"
    return (holds if came == "below 0" and enabled else untold)(told)


def _autobill(evidence: Evidence) -> Finding:
    amount, threshold = _sign(evidence, "autobill_amount"), _sign(evidence, "autobill_threshold")
    came = f"amount {amount}, threshold {threshold}"
    if amount == "null":
        return holds(came)
    return (fails if {"below 0", "not there", "no number"} & {amount, threshold} else untold)(came)


ASSUMPTIONS = (
    Assumption(
        name="credit",
        sentence="`credit` is the amount that can be spent, and may be below 0",
        consequence="exported as sent in `vastai_account_credit_dollars`",
        confidence="sure",
        origin="measured",
        check=_is("credit", ("below 0", "0", "above 0"), ("not there", "null", "no number")),
    ),
    Assumption(
        name="total_spend",
        sentence="`total_spend` is the lifetime spend, as a negative number that keeps falling",
        consequence="`vastai_account_spend_dollars_total` is this number without its sign",
        confidence="sure",
        origin="measured",
        check=_is("total_spend", ("below 0",), ("above 0", "not there", "no number")),
    ),
    Assumption(
        name="spend_in_steps",
        sentence="credit and spend change in steps of a few minutes",
        consequence="rates cover at least 5 minutes",
        confidence="likely",
        origin="measured",
    ),
    Assumption(
        name="balance_threshold",
        sentence="a `balance_threshold` of 0 or below is no threshold, even if it is enabled",
        consequence="`vastai_account_balance_threshold_dollars` exists only if it is enabled and above 0",
        confidence="likely",
        origin="measured",
        check=_threshold,
    ),
    Assumption(
        name="autobill_off",
        sentence="`autobill_amount` is null while auto-billing is off",
        consequence=(
            "no sample of `vastai_account_autobill_amount_dollars` and its threshold then, nor if the"
            " amount is 0"
        ),
        confidence="likely",
        origin="measured",
        check=_autobill,
    ),
    Assumption(
        name="credit_used_up",
        sentence=(
            "at a credit of 0, instances stop, starts fail with `insufficient_credit`, and data is deleted"
            " after a while"
        ),
        consequence="alerts fire earlier, based on how long the credit lasts",
        confidence="sure",
        origin="measured",
    ),
)
