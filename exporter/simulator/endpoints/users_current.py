"""Return the user and their credit."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.replies import Reply, json_reply

if TYPE_CHECKING:
    from exporter.simulator.account import Account

USER = "/api/v0/users/current/"
#: 2023-01-01 00:00:00 UTC, the earliest creation of an account.
ACCOUNT_BEGAN = 1_672_531_200.0


def show_user(question: Question) -> Reply:
    """Return the user and their credit."""
    return json_reply(describe_user(question.account))


def describe_user(account: Account) -> dict[str, object]:
    """Return the reply of users/current, including everything private that the real one has."""
    fleet, billing = account.fleet, account.fleet.billing
    number = crc32(account.name.encode()) % 400_000
    with fleet.lock:
        spent = billing.wallet.spent_at(fleet.now)
        return {
            "id": 100_000 + number,
            "key_id": 700_000 + number,
            "username": account.name,
            "fullname": "Ada Example",
            "email": f"{account.name}@example.com",
            "normalized_email": f"{account.name}@example.com",
            "balance": 0,
            "credit": round(fleet.credit(), 6),
            "balance_threshold": billing.balance_threshold,
            "balance_threshold_enabled": True,
            "autobill_threshold": billing.autobill_threshold,
            "autobill_amount": billing.autobill_amount,
            "has_billing": billing.autobill_amount is not None,
            "can_pay": True,
            "billing_creditonly": 0,
            "total_spend": -round(billing.spent, 6),
            "created_at": ACCOUNT_BEGAN + 60.0 * number,
            "has_rented": True,
            "balance_referrals": 0,
            "got_signup_credit": 0,
            "payout_enabled": False,
            "paid_verified": round(billing.topped_up, 2),
            "paid_expected": round(billing.topped_up, 2),
            "billed_verified": round(spent, 6),
            "billed_expected": round(spent, 6),
            "host_only": False,
            "host_agreement_accepted": False,
            "rights": {"api": {"instance_read": {}, "user_read": {}, "billing_read": {}}},
            "tfa_enabled": False,
            "api_key": account.key,
            "ssh_key": f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample{number:06d} {account.name}@laptop",
            "sid": f"sid-{number:06d}-not-a-session",
            "wise_email": f"{account.name}@bank.example.com",
            "discord_id": f"discord-{number:06d}",
            "oauth_provider": "google",
            "last4": f"{number % 10_000:04d}",
            "phone_number": "+1 202-555-0143",
            "billaddress_line1": "1 Example Street",
            "billaddress_line2": "",
            "billaddress_city": "Springfield",
            "billaddress_zip": "00000",
            "billaddress_country": "US",
            "billaddress_taxinfo": "",
            "address": "1 Example Street, Springfield, US",
        }


ENDPOINTS = (SimulatedEndpoint(USER, show_user),)
