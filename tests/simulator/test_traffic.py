from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from exporter.simulator import DEFAULT_START, Fleet
from exporter.simulator.fleet.instance_row import row

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

BILLED = ("inet_up_billed", "inet_down_billed")


def billed(fleet: Fleet, instance: Instance) -> tuple[float, float]:
    up, down = row(instance, fleet.now, BILLED).values()
    assert isinstance(up, float | None)
    assert isinstance(down, float | None)
    return up or 0.0, down or 0.0


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(1, 60, DEFAULT_START, incidents=False)


def test_nothing_has_flown_before_the_image_comes(fleet: Fleet) -> None:
    instance = fleet.rent()
    assert row(instance, fleet.now, BILLED) == {"inet_up_billed": None, "inet_down_billed": None}
    while instance.status != "loading":
        fleet.advance(fleet.now + 1)
    fleet.advance(fleet.now + 5)
    pulled = row(instance, fleet.now, BILLED)
    assert pulled["inet_up_billed"] is None
    assert isinstance(pulled["inet_down_billed"], float)


def test_traffic_only_grows_for_as_long_as_the_contract_lasts() -> None:
    fleet = Fleet(1, 60, DEFAULT_START)
    seen: dict[int, list[tuple[float, float]]] = {}
    for _ in range(200):
        fleet.advance(fleet.now + 300)
        for instance in fleet.roster:
            seen.setdefault(instance.id, []).append(billed(fleet, instance))
    for totals in seen.values():
        assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(totals))
    assert sum(totals[-1] > totals[0] for totals in seen.values()) > 60


def test_what_runs_moves_kilobytes_and_what_is_stopped_none(fleet: Fleet) -> None:
    running = next(i for i in fleet.roster if i.status == "running")
    stopped = next(i for i in fleet.roster if i.status == "exited")
    before = [billed(fleet, one) for one in (running, stopped)]
    fleet.advance(fleet.now + 60)
    after = [billed(fleet, one) for one in (running, stopped)]
    assert 10 < after[0][0] - before[0][0] < 1e7
    assert after[1] == before[1]


def test_the_network_has_a_price_for_each_direction(fleet: Fleet) -> None:
    names = ("inet_up_cost", "inet_down_cost")
    costs = [cost for instance in fleet.roster for cost in row(instance, fleet.now, names).values()]
    assert all(isinstance(cost, float) and 0 <= cost <= 0.1 for cost in costs)
    assert len(set(costs)) > 3


def test_traffic_is_paid_for_beside_what_an_instance_costs_by_the_hour(fleet: Fleet) -> None:
    fleet.set_autobill(None, None)
    instances = list(fleet.roster)
    before, credit = [billed(fleet, one) for one in instances], fleet.credit()
    hourly = fleet.burn(reserved=False)
    fleet.advance(fleet.now + 5)
    traffic = sum(
        sum(one.contract.traffic_cost(up - was_up, down - was_down))
        for one, (was_up, was_down), (up, down) in zip(
            instances, before, (billed(fleet, one) for one in instances), strict=True
        )
    )
    assert traffic > 0
    assert credit - fleet.credit() == pytest.approx(hourly * 5 / 3600 + traffic, rel=1e-4)
