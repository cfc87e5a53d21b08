from __future__ import annotations

import json

import pytest

from exporter.simulator import DEFAULT_START, Account, Fleet
from exporter.simulator.api.endpoint import Question
from exporter.simulator.endpoints.users_current import show_user


def user(fleet: Fleet) -> dict[str, float]:
    reply = json.loads(show_user(Question(Account("default", fleet, "key"), {}, {})).body)
    assert isinstance(reply, dict)
    return reply


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(1, 60, DEFAULT_START, incidents=False)


def test_what_was_ever_spent_is_negative_and_falls_in_steps_of_some_minutes(fleet: Fleet) -> None:
    seen = []
    for _ in range(30):
        fleet.advance(fleet.now + 60)
        seen.append(user(fleet)["total_spend"])
    assert seen[0] < 0
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 11


def test_what_was_ever_spent_follows_what_the_credit_lost(fleet: Fleet) -> None:
    fleet.set_autobill(None, None)
    before = user(fleet)
    fleet.advance(fleet.now + 3600)
    after = user(fleet)
    lost = before["credit"] - after["credit"]
    assert before["total_spend"] - after["total_spend"] == pytest.approx(lost, rel=0.01)


def test_a_top_up_is_no_spending(fleet: Fleet) -> None:
    fleet.set_credit(99.0)
    fleet.set_autobill(100.0, 5000.0)
    before = user(fleet)
    fleet.advance(fleet.now + 180)
    after = user(fleet)
    assert after["credit"] > 5000
    assert -1 < (after["total_spend"] - before["total_spend"]) / fleet.burn() < 0


def test_setting_the_credit_is_no_spending_either(fleet: Fleet) -> None:
    before = fleet.billing.wallet.spent_at(fleet.now)
    fleet.set_credit(-3.5)
    assert (user(fleet)["credit"], fleet.billing.wallet.spent_at(fleet.now)) == (-3.5, before)


def test_who_never_wanted_a_warning_has_one_that_is_on_and_below_zero(fleet: Fleet) -> None:
    assert user(fleet)["balance_threshold"] > 0
    fleet.set_balance_threshold(-0.01)
    shown = user(fleet)
    assert (shown["balance_threshold"], shown["balance_threshold_enabled"]) == (-0.01, True)
    other = user(Fleet(3, 5, DEFAULT_START))
    assert (other["balance_threshold"], other["balance_threshold_enabled"]) == (-0.01, True)


def test_the_account_has_a_beginning(fleet: Fleet) -> None:
    assert 0 < user(fleet)["created_at"] < DEFAULT_START
