"""Budgets and market prices: tables of the dashboard Cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import instance_link
from grafana.lib.palette import CRITICAL, GOOD, WARNING, WATCH
from grafana.lib.panels import COUNT, DOLLARS, RATIO, Query
from grafana.lib.promql import chosen, labelled, of_accounts, once
from grafana.lib.tables import Column, rows

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

ABOVE = "account_instance:vastai_instance_above_market_dollars_per_hour:max"
MEDIAN = "account_instance:vastai_market_gpu_price_dollars_per_hour:median"
BUDGET_STEPS = ((None, GOOD), (0.8, WATCH), (1, WARNING), (1.2, CRITICAL))


def budgets() -> Panel:
    """Return each budget with its spend so far and its forecast."""

    def both(account: str, label: str) -> str:
        """Return a value for accounts and a value for labels that have a budget."""
        of_all = f"max by (account) ({of_accounts(account)})"
        of_label = f"max by (account, label) ({of_accounts(label)})"
        budget, label_budget = _budgets()
        return f"({of_all} and on (account) {budget}) or ({of_label} and on (account, label) {label_budget})"

    budget, label_budget = _budgets()
    month, forecast = "vastai_spend_dollars:sum_month", "vastai_spend_dollars:forecast_month"
    will = both(f"account:{forecast}", f"account_label:{forecast}")
    return rows(
        "Budgets",
        "Budgets of accounts and labels for this month (UTC): the budget, the spend so far, and the"
        " forecast for the end of the month at the present pace. The spend comes from the bill if the"
        " collector charges reads it.",
        Query(f"{budget} or {label_budget}"),
        Query(both(f"account:{month}", f"account_label:{month}")),
        Query(will),
        Query(f"({will}) / on (account, label) ({budget} or {label_budget})"),
        columns=(
            Column(field="account", title="account", least=70),
            Column(field="label", title="label", least=70),
            Column(field="Value #A", title="budget", unit=DOLLARS, decimals=1, width=65),
            Column(field="Value #B", title="spent", unit=DOLLARS, decimals=1, width=65),
            Column(field="Value #C", title="forecast", unit=DOLLARS, decimals=1, width=67),
            Column(field="Value #D", title="of it", unit=RATIO, decimals=0, width=55, steps=BUDGET_STEPS),
        ),
        worst_first="Value #D",
        no_value="No data, or no budget is set (docs/configuration.md)",
    )


def _budgets() -> tuple[str, str]:
    account = of_accounts("vastai_account_budget_dollars_per_month")
    label = of_accounts("vastai_label_budget_dollars_per_month")
    return f"max by (account) ({account})", f"max by (account, label) ({label})"


def above_market() -> Panel:
    """Return the instances that cost more than comparable offers."""

    def beside(metric: str) -> str:
        """Return a value of the instances above the market; cheap ones may have a saving too."""
        return f"({chosen(once(metric))} and on (account, instance_id) {of_accounts(ABOVE)})"

    return rows(
        "Price vs. market",
        "Instances that cost much more than the median offer for the same GPU model, number of GPUs and"
        " rental type, in dollars per hour. Median: the price of one GPU. Above: how much more the instance"
        " costs than at the median. Saves: what a move to the cheapest comparable offer would save. Needs"
        " the collector market.",
        Query(labelled(of_accounts(ABOVE))),
        Query(beside(MEDIAN)),
        Query(beside("vastai_market_saving_dollars_per_hour")),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label", least=70),
            Column(field="gpu_name", title="GPU model", least=70),
            Column(field="Value #B", title="median", unit=DOLLARS, decimals=3, width=68),
            Column(field="Value #A", title="above", unit=DOLLARS, decimals=2, width=68),
            Column(field="Value #C", title="saves", unit=DOLLARS, decimals=2, width=68),
            Column(field="account", title="account", least=70),
        ),
        worst_first="Value #A",
        no_value="No instance is above the market, or the collector market is off (docs/configuration.md)",
    )


def offers() -> Panel:
    """Return the market's offers for the rented kinds."""

    def price(stat: str) -> str:
        found = f'vastai_market_gpu_price_dollars_per_hour{{stat="{stat}",gpu_name=~`${{gpu_name:regex}}`}}'
        return f"max by (gpu_name, num_gpus, rental) ({found})"

    return rows(
        "Market offers",
        "Market price of one GPU in dollars per hour, for each GPU model, number of GPUs and rental type"
        " that you rent. Covers the cheapest 64 offers. Needs the collector market.",
        Query(price("min")),
        Query(price("p25")),
        Query(price("median")),
        Query("max by (gpu_name, num_gpus, rental) (vastai_market_offers{gpu_name=~`${gpu_name:regex}`})"),
        columns=(
            Column(field="gpu_name", title="GPU model", least=75),
            Column(field="num_gpus", title="GPUs", width=50),
            Column(field="rental", title="rental", least=75),
            Column(field="Value #A", title="min", unit=DOLLARS, decimals=2, width=58),
            Column(field="Value #B", title="p25", unit=DOLLARS, decimals=2, width=58),
            Column(field="Value #C", title="median", unit=DOLLARS, decimals=2, width=58),
            Column(field="Value #D", title="offers", unit=COUNT, decimals=0, width=50),
        ),
        worst_first="gpu_name",
        ascending=True,
        no_value="No known offers, or the collector market is off (docs/configuration.md)",
    )
