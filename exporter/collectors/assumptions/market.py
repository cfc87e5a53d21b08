"""Assumptions about the market's offers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import words
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, number_in, numbers_in, rows_in, span, word_in

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence, Row

ROWS = "offers"
MOST = 64
#: Plausible GPU prices in dollars per hour.
CHEAPEST, DEAREST = 0.001, 100.0
#: Maximum rounding difference in dollars per hour between prices and their sum.
ROUNDING = 0.001


def _answers(evidence: Evidence) -> list[list[Row]]:
    """Return the offers of each reply that has any."""
    return [rows for reply in evidence.replies if (rows := rows_in(reply, ROWS))]


def _most(evidence: Evidence) -> Finding:
    counts = [len(rows) for rows in _answers(evidence)]
    if not counts:
        return untold("no offer")
    return (holds if max(counts) <= MOST else fails)(f"{max(counts)} at most")


def _filtered(evidence: Evidence) -> Finding:
    answers = _answers(evidence)
    if not answers:
        return untold("no offer")
    mixed = sum(
        len({(word_in(row, "gpu_name"), number_in(row, "num_gpus")) for row in rows}) > 1 for rows in answers
    )
    came = f"more than one model or number in {mixed} of {counted(len(answers), 'answer')}"
    return (fails if mixed else holds)(came)


def _ordered(evidence: Evidence) -> Finding:
    answers = [numbers_in(rows, "dph_total") for rows in _answers(evidence)]
    if not any(len(prices) > 1 for prices in answers):
        return untold("no two prices")
    wrong = sum(prices != sorted(prices) for prices in answers)
    return (fails if wrong else holds)(f"not so in {wrong} of {counted(len(answers), 'answer')}")


def _verified(evidence: Evidence) -> Finding:
    found = Counter(word_in(row, "verification") == "verified" for row in evidence.rows(ROWS))
    if not found:
        return untold("no offer")
    return (fails if found[False] else holds)(f"verified {found[True]}, others {found[False]}")


def _price(evidence: Evidence) -> Finding:
    rows = evidence.rows(ROWS)
    prices = [
        price / gpus
        for row in rows
        if (price := number_in(row, "dph_base")) and (gpus := number_in(row, "num_gpus"))
    ]
    if not prices:
        return untold("no number above 0")
    sums = [
        abs(total - base - disk) <= ROUNDING
        for row in rows
        if (total := number_in(row, "dph_total")) is not None
        and (base := number_in(row, "dph_base")) is not None
        and (disk := number_in(row, "storage_total_cost")) is not None
    ]
    usual = min(prices) > CHEAPEST and max(prices) < DEAREST and all(sums)
    came = f"{span(prices)}, in dollars an hour for a GPU; the sum is right in {sum(sums)} of {len(sums)}"
    return (holds if usual else fails)(came)


def _bid(evidence: Evidence) -> Finding:
    pairs = [
        (bid, base)
        for row in evidence.rows(ROWS)
        if row.get("is_bid") is True
        and (bid := number_in(row, "min_bid")) is not None
        and (base := number_in(row, "dph_base")) is not None
    ]
    if not pairs:
        return untold("no offer for bids")
    same = sum(abs(bid - base) <= ROUNDING for bid, base in pairs)
    return (holds if same == len(pairs) else fails)(f"so in {same} of {counted(len(pairs))}")


def _discounted(evidence: Evidence) -> Finding:
    pairs = [
        (less, total)
        for row in evidence.rows(ROWS)
        if (less := number_in(row, "discounted_dph_total")) is not None
        and (total := number_in(row, "dph_total")) is not None
    ]
    if not pairs:
        return untold("no number")
    right = sum(less <= total + ROUNDING for less, total in pairs)
    return (holds if right == len(pairs) else fails)(f"so in {right} of {counted(len(pairs))}")


ASSUMPTIONS = (
    Assumption(
        name="market_permission",
        sentence="a search needs the permission `misc`",
        consequence="without it, the collector fails with the reason `auth`; nothing else is affected",
        confidence="open",
        origin="documents",
    ),
    Assumption(
        name="offers_pace",
        sentence=(
            "offer searches are limited to 10 per minute; one 429 named a limit of 5, perhaps per second"
        ),
        consequence="at most one search every 6.6 s",
        confidence="likely",
        origin="documents",
    ),
    Assumption(
        name="offers_quota",
        sentence="there is also a daily quota of searches, of unknown size, until midnight UTC",
        consequence=(
            "when it is used up, the exporter stops searching until then; that is not a failure, and"
            " `vastai_market_quota_exhausted` shows it"
        ),
        confidence="open",
        origin="client",
    ),
    Assumption(
        name="offers_most",
        sentence=f"a search returns at most {MOST} offers, whatever the limit",
        consequence=f"prices cover the cheapest {MOST} offers",
        confidence="sure",
        origin="measured",
        check=_most,
    ),
    Assumption(
        name="offers_filtered",
        sentence="`gpu_name` and `num_gpus` filter exactly; names contain spaces",
        consequence="one search for each kind; other results are dropped",
        confidence="likely",
        origin="documents",
        check=_filtered,
    ),
    Assumption(
        name="offers_verified",
        sentence="with `verified`, a search returns only offers whose `verification` is `verified`",
        consequence="other offers are dropped if our instance is verified",
        confidence="likely",
        origin="documents",
        check=_verified,
    ),
    Assumption(
        name="offers_verification",
        sentence="`verification` is `verified`, `unverified` or `deverified`",
        consequence="any other value counts as not verified",
        confidence="likely",
        origin="measured",
        check=words(ROWS, "verification", ("verified", "unverified", "deverified")),
    ),
    Assumption(
        name="offers_order",
        sentence="`order` by `dph_total` gives the cheapest offers first",
        consequence="the results therefore include the cheapest offers",
        confidence="likely",
        origin="documents",
        check=_ordered,
    ),
    Assumption(
        name="offers_price",
        sentence=(
            "`dph_base` is dollars per hour for all GPUs of an offer; `dph_total` also includes the disk"
        ),
        consequence="`dph_base` / `num_gpus` in `vastai_market_gpu_price_dollars_per_hour`",
        confidence="likely",
        origin="documents",
        check=_price,
    ),
    Assumption(
        name="offers_bid",
        sentence=(
            "in a search for bids, `min_bid` and `dph_base` are the lowest bid for all GPUs of an offer"
        ),
        consequence="`min_bid` / `num_gpus` in `vastai_market_gpu_price_dollars_per_hour`, for bids",
        confidence="likely",
        origin="client",
        check=_bid,
    ),
    Assumption(
        name="offers_discounted",
        sentence="`discounted_dph_total` is the price of a reserved instance, including the disk",
        consequence=(
            "`storage_total_cost` is subtracted in `vastai_market_gpu_price_dollars_per_hour` for `reserved`"
        ),
        confidence="open",
        origin="documents",
        check=_discounted,
    ),
    Assumption(
        name="offers_echo",
        sentence=(
            "in a search for bids, `min_bid` of a machine that we rent is our own bid, up to an hour late"
        ),
        consequence="offers on machines that we rent are dropped",
        confidence="sure",
        origin="measured",
    ),
)
