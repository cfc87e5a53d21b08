"""The account's credit: each field of users/current that is read, and what it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.pipeline import Account, Exporter

SECRETS = {"api_key": "0" * 64, "email": "a@example.com", "phone_number": "555", "ssh_key": "ssh-rsa AAAA"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({}, {}),
        ({"credit": None, "balance": None}, {}),
        ({"credit": 25.0, "balance": 0}, {"credit": 25, "balance": 0}),
        ({"credit": -0.75}, {"credit": -0.75}),
        ({"credit": "25.50"}, {"credit": 25.5}),
        ({"balance_threshold": 10}, {}),
        ({"balance_threshold": 10, "balance_threshold_enabled": False}, {}),
        ({"balance_threshold": 10, "balance_threshold_enabled": True}, {"balance_threshold": 10}),
        ({"balance_threshold": 10, "balance_threshold_enabled": "1"}, {"balance_threshold": 10}),
        ({"balance_threshold": None, "balance_threshold_enabled": True}, {}),
        ({"autobill_threshold": 5, "autobill_amount": None}, {}),
        ({"autobill_threshold": 5, "autobill_amount": 0}, {}),
        ({"autobill_threshold": 5, "autobill_amount": 20}, {"autobill_threshold": 5, "autobill_amount": 20}),
        ({"autobill_threshold": 0, "autobill_amount": 20}, {"autobill_threshold": 0, "autobill_amount": 20}),
        ({"autobill_amount": 20}, {"autobill_amount": 20}),
    ],
)
def test_the_credit_and_its_thresholds_are_shown_where_they_hold(
    account: Account, reply: dict[str, Any], expected: dict[str, float]
) -> None:
    account.ask(reply)
    assert account.values() == {f"vastai_account_{name}_dollars": value for name, value in expected.items()}
    assert not account.unreadable


def test_what_can_not_be_read_is_counted_by_field(account: Account) -> None:
    account.ask(
        {"credit": "lots", "balance": True, "balance_threshold": 10, "balance_threshold_enabled": "yes"}
    )
    assert account.values() == {}
    assert account.unreadable == {"credit": 1, "balance": 1, "balance_threshold_enabled": 1}


def test_nothing_else_of_the_reply_is_kept(exporter: Exporter, account: Account) -> None:
    account.ask({"credit": 1, **SECRETS})
    for secret in SECRETS.values():
        assert secret.encode() not in exporter.scrape()
        assert secret not in repr(account.stores["account"])


def test_the_newest_reply_is_all_that_is_known(account: Account) -> None:
    account.ask({"credit": 25, "balance": 1})
    account.ask({"credit": 24})
    assert account.values() == {"vastai_account_credit_dollars": 24}
