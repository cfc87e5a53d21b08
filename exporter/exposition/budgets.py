"""Expose configured monthly budgets, from the start and independently of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exporter.metrics import lines
from exporter.metrics.rows import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GROUP = "budgets"
ABOUT = "what a month may cost, as configured"

ACCOUNT_BUDGET = Metric(
    name="vastai_account_budget_dollars_per_month",
    help="Configured monthly budget of the account.",
    notes="accounts[].budget; no sample without one",
    group=GROUP,
)
LABEL_BUDGET = Metric(
    name="vastai_label_budget_dollars_per_month",
    help="Configured monthly budget of the instances with the user label.",
    labels=("account", "label"),
    notes="accounts[].label_budgets; only labels that have one",
    group=GROUP,
)
BUDGETS = (ACCOUNT_BUDGET, LABEL_BUDGET)


class Budget(NamedTuple):
    """Monthly budgets of an account and of its user labels, in dollars."""

    account: str
    dollars: float | None
    labels: Mapping[str, float]


def chunks(budgets: Iterable[Budget]) -> Mapping[str, bytes]:
    """Return the lines of `BUDGETS`, by metric."""
    budgets = tuple(budgets)
    whole = [((each.account,), each.dollars) for each in budgets if each.dollars is not None]
    parts = [((each.account, label), value) for each in budgets for label, value in each.labels.items()]
    return {
        ACCOUNT_BUDGET.name: lines.of_labelled(ACCOUNT_BUDGET, whole),
        LABEL_BUDGET.name: lines.of_labelled(LABEL_BUDGET, parts),
    }
