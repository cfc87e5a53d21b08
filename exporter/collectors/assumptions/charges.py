"""Assumptions about charges."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, number_in, numbers_in, rows_in, word_in

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

ROWS = "results"
ITEMS = ("gpu", "disk", "bwd", "bwu")
#: Maximum rounding difference in dollars between amounts and their sum.
ROUNDING = 0.01


def _items(evidence: Evidence) -> Finding:
    words = [word_in(item, "type") for row in evidence.rows(ROWS) for item in rows_in(row, "items")]
    if not words:
        return untold("no item")
    found = Counter(word if word in ITEMS else "another text" for word in words)
    came = ", ".join(f"{word} {count}" for word, count in found.items())
    return (fails if found["another text"] else holds)(came)


def _amount(evidence: Evidence) -> Finding:
    pairs = [
        (whole, sum(numbers_in(items, "amount")))
        for row in evidence.rows(ROWS)
        if (whole := number_in(row, "amount")) is not None and (items := rows_in(row, "items"))
    ]
    if not pairs:
        return untold("no row with items")
    right = sum(abs(whole - parts) <= ROUNDING for whole, parts in pairs)
    return (holds if right == len(pairs) else fails)(f"so in {right} of {counted(len(pairs))}")


ASSUMPTIONS = (
    Assumption(
        name="charges_permission",
        sentence="charges need the permission `billing_read`",
        consequence="without it, the collector fails with the reason `auth`; nothing else is affected",
        confidence="open",
        origin="inferred",
    ),
    Assumption(
        name="charges_settled",
        sentence="the charges of a day may change for a few more days",
        consequence="the exporter requests the last 7 days again",
        confidence="open",
        origin="measured",
    ),
    Assumption(
        name="charges_items",
        sentence="a charge has items of the types " + ", ".join(f"`{each}`" for each in ITEMS),
        consequence="the label `item` of `vastai_charges_dollars`; any other type is exported as sent",
        confidence="likely",
        origin="documents",
        check=_items,
    ),
    Assumption(
        name="charges_amount",
        sentence="the amount of a charge is the sum of its items",
        consequence="the exporter adds up the items; without items, it uses the amount",
        confidence="likely",
        origin="documents",
        check=_amount,
    ),
)
