"""Collect the account's credit from users/current, without the reply's key, addresses and phone number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions import account as assumptions
from exporter.collectors.base import Collector, Progress, Run, fields_of
from exporter.metrics import lines
from exporter.metrics.fields import NOT_POSITIVE, Problems, Record, flag_field, number_field
from exporter.metrics.rows import Condition, Row, field_row
from exporter.metrics.snapshot import Part
from exporter.vast.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.metrics.values import Number

#: 1 s is the smallest threshold of any endpoint.
ENDPOINT = Endpoint("/api/v0/users/current/", 1.0, documented=False)
IDENTITY = ("account",)

CREDIT = number_field("credit", least=-1e9, most=1e9)
MAIL_ENABLED = flag_field("balance_threshold_enabled")
AUTOBILL_AMOUNT = number_field("autobill_amount", least=0, most=1e9)
#: Total spending so far, as a negative number that decreases.
TOTAL_SPEND = number_field("total_spend", least=-1e12, most=0)

MAIL_IS_ENABLED: Condition[Record] = Condition(
    words="only while balance_threshold_enabled is true",
    holds=lambda record: record.number(MAIL_ENABLED) == 1,
    fields=(MAIL_ENABLED,),
)
AUTO_BILLING_IS_ON: Condition[Record] = Condition(
    words="absent while auto-billing is off (autobill_amount is null or 0)",
    holds=lambda record: bool(record.number(AUTOBILL_AMOUNT)),
    fields=(AUTOBILL_AMOUNT,),
)


def _spent(record: Record) -> Number | None:
    total = record.number(TOTAL_SPEND)
    return None if total is None else abs(total)


SPEND: Row[Record] = Row(
    name="vastai_account_spend_dollars_total",
    help="Total amount that the account has spent, including traffic (API field total_spend).",
    type="counter",
    labels=IDENTITY,
    notes="x -1; top-ups do not change it; the API updates it every few minutes",
    fields=(TOTAL_SPEND,),
    value=_spent,
)
ROWS: tuple[Row[Record], ...] = (
    field_row(
        "vastai_account_credit_dollars",
        "Prepaid credit left to spend, below 0 during the grace period",
        CREDIT,
        labels=IDENTITY,
    ),
    field_row(
        "vastai_account_balance_dollars",
        "Account balance apart from the credit, 0 for most renters",
        number_field("balance", least=-1e9, most=1e9),
        labels=IDENTITY,
    ),
    SPEND,
    field_row(
        "vastai_account_balance_threshold_dollars",
        "Credit below which Vast.ai sends an email",
        number_field("balance_threshold", unknown=NOT_POSITIVE, least=0, most=1e9),
        labels=IDENTITY,
        when=MAIL_IS_ENABLED,
    ),
    field_row(
        "vastai_account_autobill_threshold_dollars",
        "Credit below which auto-billing tops up",
        number_field("autobill_threshold", least=0, most=1e9),
        labels=IDENTITY,
        when=AUTO_BILLING_IS_ON,
    ),
    field_row(
        "vastai_account_autobill_amount_dollars",
        "Amount that auto-billing adds",
        AUTOBILL_AMOUNT,
        labels=IDENTITY,
        when=AUTO_BILLING_IS_ON,
    ),
)
FIELDS = fields_of(ROWS)


def collect(run: Run) -> Iterator[Progress]:
    """Request the account; see `exporter.collectors.base.Collect`."""
    problems = Problems()
    record = FIELDS.read(run.client.ask(ENDPOINT), problems)
    run.report(problems)
    labels = lines.labels(IDENTITY, (run.account,))
    part = Part(confirmed=run.clock(), lines=lines.of_objects(ROWS, [(labels, record)]), items={1: record})
    run.store.snapshot = run.store.snapshot.replacing([part])
    yield Progress(pages=1, objects=1, total=1)


COLLECTOR = Collector(
    name="account",
    title="The account",
    about="the account's credit",
    permission="user_read",
    endpoints=(ENDPOINT,),
    objects="accounts",
    interval=300.0,
    stale_after=1800.0,
    collect=collect,
    enabled=True,
    rows=ROWS,
    assumptions=assumptions.ASSUMPTIONS,
    opens="the account's environment variables **in plain text**, SSH keys, addresses, the list of API keys,"
    " sub-accounts, templates",
)
