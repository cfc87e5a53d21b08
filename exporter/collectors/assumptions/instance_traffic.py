"""Assumptions about an instance's traffic: link speed, billed amounts and price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import ENOUGH, within
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import age_of, counted, number_in, rounded
from exporter.collectors.assumptions.instance_pages import ROWS

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

HOUR = 3600.0
MINUTE = 60.0
#: KB per second in one Mbit/s.
KB_IN_MEGABIT = 125.0
#: Factor by which a link may exceed its measured speed.
SPARE = 1.5
LARGER_UNIT = 1000.0


def _billed(evidence: Evidence) -> Finding:
    """Compare billed traffic with what the link can have carried since the contract began."""
    if not any(name in row for row in evidence.rows(ROWS) for name in ("inet_up_billed", "inet_down_billed")):
        return untold("not in the rows")
    shares, tiny = [], 0
    for row in evidence.rows(ROWS):
        age = age_of(row, evidence.now)
        for way in ("up", "down"):
            billed, speed = number_in(row, f"inet_{way}_billed"), number_in(row, f"inet_{way}")
            if not billed or not speed or not age:
                continue
            shares.append(billed / (speed * KB_IN_MEGABIT * max(age, MINUTE)))
            # A container image alone exceeds 1000 KB.
            tiny += way == "down" and billed < LARGER_UNIT and age > HOUR
    if not shares:
        return untold("no traffic was billed")
    count = counted(len(shares), "number")
    came = f"as KB {rounded(max(shares))} at most of what the link can carry, in {count}"
    if max(shares) > SPARE:
        return fails(came)
    if max(shares) * LARGER_UNIT > SPARE:  # in MB, the link could not have carried it
        return holds(came)
    return (fails if tiny >= ENOUGH else untold)(f"{came}; below 1000 in {counted(tiny)}")


ASSUMPTIONS = (
    Assumption(
        name="billed_kilobytes",
        sentence="`inet_up_billed` and `inet_down_billed` are the KB billed since the contract began",
        consequence=(
            "multiplied by 1000 in `vastai_instance_inet_up_billed_bytes_total`,"
            " `vastai_instance_inet_down_billed_bytes_total`; null means none yet"
        ),
        confidence="sure",
        origin="measured",
        check=_billed,
    ),
    Assumption(
        name="billed_factor",
        sentence="one of these KB is 1000 bytes, not 1024",
        consequence="multiplied by 1000",
        confidence="likely",
        origin="measured",
    ),
    Assumption(
        name="inet_speed",
        sentence="`inet_up` and `inet_down` are the link's speed in Mbit/s, not traffic",
        consequence=(
            "multiplied by 125,000 in `vastai_instance_inet_up_bytes_per_second`,"
            " `vastai_instance_inet_down_bytes_per_second`"
        ),
        confidence="sure",
        origin="client",
        check=lambda evidence: within(evidence.rows(ROWS), "inet_down", 0, 1e6),
    ),
    Assumption(
        name="traffic_price",
        sentence="`inet_up_cost` and `inet_down_cost` are dollars per GB",
        consequence=(
            "divided by 1e9 in `vastai_instance_inet_up_cost_dollars_per_byte`,"
            " `vastai_instance_inet_down_cost_dollars_per_byte`"
        ),
        confidence="likely",
        origin="measured",
        check=lambda evidence: within(evidence.rows(ROWS), "inet_down_cost", 0, 2),
    ),
)
