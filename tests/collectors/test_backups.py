"""Backups: one series each, in all states, and the collector on the simulated API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.collectors.backups import COLLECTOR, ENDPOINT
from exporter.simulator import SimulatedVast

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

MADE = 1_790_000_000.5
SECRET = "backups-of-ada"
ROW = {
    "id": 5,
    "contract_id": 7,
    "type": None,
    "machine_id": 88,
    "status": "pending",
    "created_at": MADE,
    "info": {"bucket": SECRET, "error": f"no space left on {SECRET}"},
}


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter(collectors=(COLLECTOR,))


@pytest.fixture
def account(exporter: Exporter) -> Account:
    return exporter.account()


def backups(exporter: Exporter) -> dict[tuple[str, str, str], float]:
    """Return when each was made, by its instance, its id and its status."""
    return {
        (dict(labels)["instance_id"], dict(labels)["backup_id"], dict(labels)["status"]): value
        for (name, labels), value in exporter.samples().items()
        if name == "vastai_backup_created_timestamp_seconds"
    }


def test_each_stands_at_its_time_and_only_its_present_status_is_there(
    exporter: Exporter, account: Account
) -> None:
    account.collect(COLLECTOR, {"backups": [ROW, ROW | {"id": "6", "contract_id": "8", "status": "error"}]})
    assert backups(exporter) == {("7", "5", "pending"): MADE, ("8", "6", "error"): MADE}
    account.collect(COLLECTOR, {"backups": [ROW | {"status": "success"}]})
    assert backups(exporter) == {("7", "5", "success"): MADE}


def test_none_is_a_good_answer(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, {"backups": [ROW]})
    account.collect(COLLECTOR, {"backups": []})
    assert backups(exporter) == {}


def test_what_can_not_be_read_or_be_true_costs_its_own_sample(exporter: Exporter, account: Account) -> None:
    odd = [ROW | {"id": 6, "created_at": 5}, ROW | {"id": 7, "created_at": "today"}, ROW | {"id": None}]
    account.collect(
        COLLECTOR, {"backups": [ROW, *odd, ROW | {"id": 8, "contract_id": None, "status": ["x"]}]}
    )
    assert backups(exporter) == {("7", "5", "pending"): MADE, ("", "8", ""): MADE}
    assert account.unreadable == {"created_at": 1, "id": 1, "status": 1}
    assert account.out_of_range == {"created_at": 1}


def test_all_contracts_are_asked_for_at_once_and_no_text_is_shown(
    exporter: Exporter, account: Account
) -> None:
    account.collect(COLLECTOR, {"backups": [ROW]})
    assert exporter.api.asked == [ENDPOINT.path]
    assert SECRET not in exporter.scrape().decode()


def test_the_simulated_api_has_some_in_every_state(exporter: Exporter, account: Account) -> None:
    with SimulatedVast(size=400) as vast:
        headers = {"Authorization": f"Bearer {vast.key}"}
        answer: dict[str, Any] = requests.get(vast.url + ENDPOINT.path, headers=headers, timeout=60).json()
    account.collect(COLLECTOR, answer)
    found = backups(exporter)
    assert len(found) == len(answer["backups"]) > 0
    assert {status for _, _, status in found} >= {"success", "error"}
    assert account.unreadable == account.out_of_range == {}
