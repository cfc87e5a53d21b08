from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.simulator import DEFAULT_START, Account, Fleet
from exporter.simulator.api.endpoint import Question
from exporter.simulator.endpoints.backups import list_backups


def backups(fleet: Fleet, **params: str) -> list[dict[str, Any]]:
    rows = json.loads(list_backups(Question(Account("", fleet, None), params, {})).body)["backups"]
    assert isinstance(rows, list)
    return rows


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(1, 400, DEFAULT_START, incidents=False)


def test_some_instances_have_a_copy_and_the_newest_comes_first(fleet: Fleet) -> None:
    rows = backups(fleet)
    times = [row["created_at"] for row in rows]
    assert 0 < len(rows) < 60
    assert times == sorted(times, reverse=True)
    assert times[0] <= fleet.now
    assert {row["contract_id"] for row in rows} <= set(fleet.ids())
    assert {row["type"] for row in rows} == {"instance", None}


def test_a_copy_is_pending_before_it_succeeds_or_fails(fleet: Fleet) -> None:
    seen = set()
    for _ in range(60):
        fleet.advance(fleet.now + 600)
        seen |= {row["status"] for row in backups(fleet)}
    assert seen == {"pending", "success", "error"}


def test_one_contract_can_be_asked_for(fleet: Fleet) -> None:
    one = backups(fleet)[3]
    assert backups(fleet, contract_id=str(one["contract_id"])) == [one]
    assert backups(fleet, contract_id="1") == []
    assert list_backups(Question(Account("", fleet, None), {"contract_id": "x"}, {})).status == 400
