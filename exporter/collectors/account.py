"""The account's credit, from users/current. The key, addresses and phone in the reply are not read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.collectors.base import Collector, Progress, Run, reads
from exporter.metrics import lines
from exporter.metrics.rows import Gauge, Number, Record, scaled
from exporter.metrics.snapshot import Part
from exporter.metrics.values import flag, number, record
from exporter.vast.pace import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Its threshold is not documented; 1 s is the least that any endpoint has.
ENDPOINT = Endpoint("/api/v0/users/current/", 1.0)


def _threshold(row: Record) -> Number | None:
    return scaled("balance_threshold")(row) if row["balance_threshold_enabled"] else None


def _autobill(name: str) -> Gauge:
    def value(row: Record) -> Number | None:
        return scaled(name)(row) if row["autobill_amount"] else None

    what = {
        "autobill_threshold": "Credit below which auto-billing tops up",
        "autobill_amount": "What auto-billing adds",
    }
    return Gauge(
        name=f"vastai_account_{name}_dollars",
        help=f"{what[name]} (API field {name}).",
        reading="absent while auto-billing is off, that is while autobill_amount is null or 0",
        reads={name: number, "autobill_amount": number},
        value=value,
    )


GAUGES = (
    Gauge(
        name="vastai_account_credit_dollars",
        help="Prepaid credit that can be spent; below 0 the account is in its grace (API field credit).",
        reads={"credit": number},
        value=scaled("credit"),
    ),
    Gauge(
        name="vastai_account_balance_dollars",
        help="The balance beside the credit, 0 for most renters (API field balance).",
        reads={"balance": number},
        value=scaled("balance"),
    ),
    Gauge(
        name="vastai_account_balance_threshold_dollars",
        help="Credit below which Vast.ai sends a mail (API field balance_threshold).",
        reading="only while balance_threshold_enabled is true",
        reads={"balance_threshold": number, "balance_threshold_enabled": flag},
        value=_threshold,
    ),
    _autobill("autobill_threshold"),
    _autobill("autobill_amount"),
)
READS = reads(GAUGES)


def collect(run: Run) -> Iterator[Progress]:
    """Ask for the account; see `exporter.collectors.base.Collect`."""
    reply = run.client.get(ENDPOINT, {})
    unreadable: Counter[str] = Counter()
    row = record(reply, READS, unreadable)
    run.unreadable(unreadable)
    known = lines.labels(("account",), (run.account,))
    part: Part[None] = Part(confirmed=run.clock(), lines=lines.of_objects(GAUGES, [(known, row)]))
    run.known.snapshot = run.known.snapshot.replacing([part])
    yield Progress(pages=1, objects=1, total=1)


COLLECTOR = Collector(
    name="account",
    endpoint=ENDPOINT,
    objects="accounts",
    gauges=GAUGES,
    collect=collect,
)
