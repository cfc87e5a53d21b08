"""Budgets: what is configured is shown from the start on, and follows a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.exposition.budgets import BUDGETS
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Key(value="a-key")


def loaded(*accounts: AccountKey) -> Loaded:
    return Loaded(CONFIG.model_validate({}), accounts, ())


def shown(poller: Poller) -> list[str]:
    """The lines of budgets."""
    body = poller.exposition.body(openmetrics=False, gzip=False, process=False)
    names = tuple(metric.name for metric in BUDGETS)
    return [line for line in b"".join(body.pieces).decode().splitlines() if line.startswith(names)]


RESEARCH = AccountKey("research", KEY, {}, 2000.0, {"train": 500.0, 'say "hi"': 0.5, "": 1.0})
OPS = AccountKey("ops", KEY, {})
LINES = [
    'vastai_account_budget_dollars_per_month{account="research"} 2000.0',
    'vastai_label_budget_dollars_per_month{account="research",label=""} 1.0',
    'vastai_label_budget_dollars_per_month{account="research",label="say \\"hi\\""} 0.5',
    'vastai_label_budget_dollars_per_month{account="research",label="train"} 500.0',
]


def test_budgets_are_there_before_anything_was_asked() -> None:
    assert shown(Poller(loaded(OPS, RESEARCH), redact=Redactor())) == LINES


def test_without_a_budget_there_is_no_sample() -> None:
    assert shown(Poller(loaded(OPS), redact=Redactor())) == []


def test_a_reload_keeps_changes_and_takes_away_budgets_and_leaves_what_runs() -> None:
    poller = Poller(loaded(RESEARCH, OPS), redact=Redactor())
    before = poller.loops
    poller.apply(loaded(RESEARCH, OPS))
    assert shown(poller) == LINES
    poller.apply(loaded(RESEARCH, AccountKey("ops", KEY, {}, 7.5)))
    assert shown(poller) == ['vastai_account_budget_dollars_per_month{account="ops"} 7.5', *LINES]
    poller.apply(loaded(AccountKey("research", KEY, {}), OPS))
    assert shown(poller) == []
    assert poller.loops == before


@pytest.mark.peers
def test_promtool_has_nothing_against_them(promtool: Callable[[bytes], str]) -> None:
    poller = Poller(loaded(RESEARCH), redact=Redactor())
    body = poller.exposition.body(openmetrics=False, gzip=False, process=False)
    assert promtool(b"".join(body.pieces)) == ""
