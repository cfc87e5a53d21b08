"""Assumptions about an instance's price fields, and which of them is charged in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import disk_price
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, number_in, span, with_status
from exporter.collectors.assumptions.instance_pages import ROWS

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence, Row

LEAST_RAISE = 1.2
#: Maximum relative difference between equal prices.
NEAR = 0.02
HALTED = ("created", "loading", "stopped", "exited")


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= NEAR * max(abs(one), abs(other)) + 1e-6


def _bidding(evidence: Evidence) -> list[Row]:
    return [row for row in with_status(evidence.rows(ROWS), "running") if row.get("is_bid") in (True, 1)]


def _majority(right: int, count: int, none: str) -> Finding:
    """Check that most rows match, since single rows may be between two states."""
    if not count:
        return untold(none)
    return (holds if 2 * right > count else fails)(f"so in {right} of {counted(count)}")


def _min_bid(evidence: Evidence) -> Finding:
    pairs = [(number_in(row, "min_bid"), number_in(row, "dph_base")) for row in _bidding(evidence)]
    shares = [least / bid for least, bid in pairs if least is not None and bid]
    found = _majority(
        sum(share > LEAST_RAISE - NEAR for share in shares), len(shares), "no interruptible one is running"
    )
    return Finding(f"{found.came}; x {span(shares)}", found.verdict) if shares else found


def _is_bid(evidence: Evidence) -> Finding:
    pairs = [
        (number_in(row, "dph_base"), number_in(row, "instance", "gpuCostPerHour"))
        for row in _bidding(evidence)
    ]
    known = [(bid, paid) for bid, paid in pairs if bid is not None and paid is not None]
    return _majority(sum(_near(*pair) for pair in known), len(known), "no interruptible one is running")


def _sum(evidence: Evidence) -> Finding:
    found = [
        (whole, base + disk)
        for row in evidence.rows(ROWS)
        if (whole := number_in(row, "dph_total")) is not None
        and (base := number_in(row, "dph_base")) is not None
        and (disk := number_in(row, "storage_total_cost")) is not None
    ]
    return _majority(sum(_near(*pair) for pair in found), len(found), "no row with all three")


def _total_hour(evidence: Evidence) -> Finding:
    rows = evidence.rows(ROWS)
    running = _same(with_status(rows, "running"), "dph_total")
    halted = _same(with_status(rows, *HALTED), "storage_total_cost")
    came = (
        f"running: dph_total in {running[0]} of {running[1]}; halted: storage in {halted[0]} of {halted[1]}"
    )
    if any(2 * right <= count for right, count in (running, halted) if count):
        return fails(came)
    return (holds if halted[1] else untold)(came)


def _same(rows: list[Row], name: str) -> tuple[int, int]:
    """Return the number of rows in which `instance.totalHour` equals a field, and the number compared."""
    pairs = [(number_in(row, "instance", "totalHour"), number_in(row, name)) for row in rows]
    known = [(now, said) for now, said in pairs if now is not None and said is not None]
    return sum(_near(*pair) for pair in known), len(known)


def _in_between(evidence: Evidence) -> Finding:
    rows = with_status(evidence.rows(ROWS), "rebooting", "unknown")
    right, count = _same(rows, "dph_total")
    return _majority(right, count, "none is rebooting or unknown")


ASSUMPTIONS = (
    Assumption(
        name="dph_base_is_bid",
        sentence="`dph_base` of an interruptible instance is its bid: `instance.gpuCostPerHour` while"
        " it runs",
        consequence="exported as sent in `vastai_instance_dph_base_dollars_per_hour`",
        confidence="sure",
        origin="measured",
        check=_is_bid,
    ),
    Assumption(
        name="dph_total_sum",
        sentence="`dph_total` is `dph_base` plus the disk, in dollars per hour, in every state",
        consequence=(
            "the current cost is `vastai_instance_burn_dollars_per_hour`; nothing adds up `dph_total`"
        ),
        confidence="sure",
        origin="measured",
        check=_sum,
    ),
    Assumption(
        name="total_hour",
        sentence=(
            "`instance.totalHour` is the full price while running, and only the disk's price while stopped"
        ),
        consequence=(
            "`vastai_instance_burn_dollars_per_hour` depends on the state; it uses the discounted variant"
            " of the field while the GPU is paid for"
        ),
        confidence="likely",
        origin="measured",
        check=_total_hour,
    ),
    Assumption(
        name="billed_in_between",
        sentence="the statuses `rebooting` and `unknown` cost the full price",
        consequence="`vastai_instance_burn_dollars_per_hour` includes the full price in these statuses",
        confidence="open",
        origin="inferred",
        check=_in_between,
    ),
    Assumption(
        name="billed_from_running",
        sentence="`created` and `loading` cost only the disk; the GPU is billed from `running` on",
        consequence="`vastai_instance_burn_dollars_per_hour` follows this",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="min_bid_is_a_raise",
        sentence=(
            "`min_bid` is the lowest possible raise, the larger of the machine's floor and 1.2 x the own"
            " bid; it is not the market price, and may be outdated"
        ),
        consequence=(
            "exported as sent in `vastai_instance_min_bid_dollars_per_hour`; no rule or panel compares with"
            " it"
        ),
        confidence="sure",
        origin="measured",
        check=_min_bid,
    ),
    Assumption(
        name="storage_hour",
        sentence="`storage_total_cost` is dollars per hour for the whole disk",
        consequence="exported as sent in `vastai_instance_storage_total_cost_dollars_per_hour`",
        confidence="sure",
        origin="measured",
        check=lambda evidence: disk_price(evidence.rows(ROWS)),
    ),
)
