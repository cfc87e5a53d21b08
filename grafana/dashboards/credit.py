"""Credit, accounts, contracts and prepaid credit: panels of the dashboard Cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.dashboards.inventory import CONTRACT_STEPS
from grafana.dashboards.runway import RUNWAY_STEPS
from grafana.lib.board import instance_link
from grafana.lib.palette import AUTO_TOP_UP, GOOD, NEUTRAL, STATUS_WORDS, WARNING, WATCH
from grafana.lib.panels import (
    DOLLARS,
    DOLLARS_PER_HOUR,
    DURATION,
    SECONDS,
    Query,
    lines,
    overlaid,
    without_values,
)
from grafana.lib.promql import (
    ACCOUNT_BURN,
    COUNTED_24H,
    COUNTED_30D,
    LASTS,
    PREPAID,
    REMAINING,
    SPENT_24H,
    SPENT_30D,
    chosen,
    labelled,
    of_accounts,
    once,
    with_status,
)
from grafana.lib.tables import Column, rows
from grafana.lib.thresholds import span, threshold

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

CREDIT = "vastai_account_credit_dollars"
PREPAID_STEPS = (
    (None, WARNING),
    (threshold("prepaid_warning_seconds"), WATCH),
    (threshold("prepaid_info_seconds"), GOOD),
)
#: Dollars from which a rise is a top-up and not rounding.
LEAST_TOP_UP = 1


def over_time() -> Panel:
    """Return the credit of each account, and its top-ups."""

    def change(name: str) -> str:
        value = of_accounts(name)
        return f"max by (account) ({value} - {value} offset $__interval)"

    top_up = f"{change(CREDIT)} + on (account) {change('vastai_account_spend_dollars_total')}"
    panel = lines(
        "Credit and top-ups",
        "Lines: credit of each account. Bars: top-ups of all accounts per step. A top-up is the change in"
        f" credit plus the spend of the step, if that is at least {LEAST_TOP_UP} $.",
        Query(f"max by (account) ({of_accounts(CREDIT)})", "{{account}}"),
        Query(f"sum({top_up} >= {LEAST_TOP_UP})", "top-ups"),
        unit=DOLLARS,
        colors={"top-ups": NEUTRAL},
        no_value="No account's credit is known in the selected range",
    )
    return overlaid(without_values(panel), "top-ups")


def accounts() -> Panel:
    """Return each account's credit."""
    return rows(
        "Accounts",
        "Shortest runway first. Auto top-up: automatic billing adds its amount whenever the credit falls"
        " below its threshold. Accounts whose credit the exporter may not read are missing here.",
        Query(f"min by (account) ({LASTS})"),
        Query(f"min by (account) ({of_accounts(CREDIT)})"),
        Query(f"max by (account) ({of_accounts(ACCOUNT_BURN)})"),
        Query(f"max by (account) ({of_accounts('vastai_account_autobill_threshold_dollars')})"),
        Query(f"max by (account) ({of_accounts('vastai_account_autobill_amount_dollars')})"),
        columns=(
            Column(field="account", title="account"),
            Column(field="Value #B", title="credit", unit=DOLLARS, decimals=1, width=75),
            Column(field="Value #C", title="spend", unit=DOLLARS_PER_HOUR, decimals=2, width=90),
            Column(
                field="Value #A",
                title="runway",
                unit=SECONDS,
                decimals=1,
                width=100,
                mappings=AUTO_TOP_UP,
                steps=RUNWAY_STEPS,
            ),
            Column(field="Value #D", title="top-up at", unit=DOLLARS, decimals=1, width=75),
            Column(field="Value #E", title="adds", unit=DOLLARS, decimals=1, width=70),
        ),
        worst_first="Value #A",
        ascending=True,
    )


def spend_by_account() -> Panel:
    """Return the spend of each account, from all three sources."""

    def billed(window: str) -> str:
        charges = of_accounts("vastai_charges_dollars", f'window="{window}"')
        return f"sum by (account) (max by (account, source, item) ({charges}))"

    money = (
        "est. 1 d",
        "count. 1 d",
        "billed 1 d",
        "est. 30 d",
        "count. 30 d",
        "billed mo.",
    )
    return rows(
        "Spend by account",
        "Estimated: by status, without traffic. Counted: everything, by Vast.ai's counter, as far back as"
        " there is data. Billed: yesterday and this month (UTC); needs the collector charges.",
        Query(f"max by (account) ({of_accounts(SPENT_24H)})"),
        Query(f"max by (account) ({of_accounts(COUNTED_24H)})"),
        Query(billed("yesterday")),
        Query(f"max by (account) ({of_accounts(SPENT_30D)})"),
        Query(f"max by (account) ({of_accounts(COUNTED_30D)})"),
        Query(billed("month")),
        columns=(
            Column(field="account", title="account", least=80),
            *(
                Column(field=f"Value #{letter}", title=title, unit=DOLLARS, decimals=1, least=75)
                for letter, title in zip("ABCDEF", money, strict=True)
            ),
        ),
        worst_first="Value #D",
    )


def contracts() -> Panel:
    """Return the contracts that end next."""
    return rows(
        "Contracts ending",
        f"The next 50 to end. Yellow below {span('contract_info_seconds')}, orange below"
        f" {span('contract_warning_seconds')}, red below {span('contract_critical_seconds')}. When a"
        " contract ends, the instance stops and cannot be started again. Its data may be deleted 48 h"
        " later.",
        Query(f"bottomk(50, {labelled(with_status(of_accounts(REMAINING)))})"),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label"),
            Column(field="gpu_name", title="GPU model"),
            Column(field="status", title="status", mappings=STATUS_WORDS, width=85),
            Column(
                field="Value", title="ends in", unit=DURATION, decimals=0, width=110, steps=CONTRACT_STEPS
            ),
            Column(field="account", title="account"),
        ),
        worst_first="Value",
        ascending=True,
        no_value="No contract with a known end",
    )


def reserved() -> Panel:
    """Return the reserved instances whose prepaid credit ends next."""
    return rows(
        "Reserved credit runway",
        "The 50 reserved instances whose prepaid credit runs out first. When it is used up, the discount"
        f" lapses and the account pays the full price. Yellow below {span('prepaid_info_seconds')}, orange"
        f" below {span('prepaid_warning_seconds')}.",
        Query(f"bottomk(50, {labelled(of_accounts(PREPAID))})"),
        Query(chosen(once("vastai_instance_credit_balance_dollars"))),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label"),
            Column(field="Value #B", title="credit", unit=DOLLARS, decimals=1, width=75),
            Column(
                field="Value #A", title="runway", unit=DURATION, decimals=0, width=90, steps=PREPAID_STEPS
            ),
            Column(field="account", title="account"),
        ),
        worst_first="Value #A",
        ascending=True,
        most=50,
        no_value="No known prepaid credit",
    )
