from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.simulator import DEFAULT_START, Account, Fleet
from exporter.simulator.api.endpoint import Question
from exporter.simulator.endpoints.price_increases import list_price_increases


def pending(fleet: Fleet) -> list[dict[str, Any]]:
    reply = json.loads(list_price_increases(Question(Account("", fleet, None), {}, {})).body)
    assert (reply["success"], reply["truncated"]) == (True, False)
    rows = reply["pending_price_increases"]
    assert isinstance(rows, list)
    assert reply["count"] == len(rows)
    return rows


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(1, 400, DEFAULT_START, incidents=False)


def test_there_is_at_most_one_for_a_contract_and_most_have_none(fleet: Fleet) -> None:
    rows = pending(fleet)
    contracts = {row["contract_id"] for row in rows}
    assert 0 < len(rows) == len(contracts) < 60
    assert contracts <= set(fleet.ids())
    assert len({row["pending_price_increase_id"] for row in rows}) == len(rows)


def test_prices_are_of_a_second_and_of_one_gpu_and_rise(fleet: Fleet) -> None:
    for row in pending(fleet):
        contract = fleet.instance(row["contract_id"]).contract
        hourly = row["old_gpu_costpersec"] * 3600 * contract.num_gpus
        assert hourly == pytest.approx(contract.dph_base)
        assert row["new_gpu_costpersec"] > row["old_gpu_costpersec"]
        assert row["old_disk_ram_costpersec"] * 2592000 == pytest.approx(contract.machine.storage_cost)
        assert row["new_bwu_cost"] is None


def test_it_is_pending_until_the_contract_ends() -> None:
    fleet = Fleet(1, 400, DEFAULT_START, incidents=False)
    first = min(pending(fleet), key=lambda row: float(row["contract_end_date"]))
    assert first["created_at"] <= fleet.now < first["contract_end_date"] < first["ask_end_date"]
    fleet.advance(first["contract_end_date"])
    assert first["contract_id"] not in {row["contract_id"] for row in pending(fleet)}


def test_an_account_may_have_none() -> None:
    assert pending(Fleet(1, 0, DEFAULT_START)) == []
