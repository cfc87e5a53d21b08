"""Price increases: prices an hour, ends of contracts, and what the API says when there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.collectors.price_increases import COLLECTOR, ENDPOINT
from exporter.simulator import SimulatedVast

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

ROW = {
    "pending_price_increase_id": 5,
    "contract_id": 7,
    "old_gpu_costpersec": 0.0001,
    "new_gpu_costpersec": 0.00012,
    "contract_end_date": 1_800_000_000.5,
}


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter(collectors=(COLLECTOR,))


@pytest.fixture
def account(exporter: Exporter) -> Account:
    return exporter.account()


def shown(exporter: Exporter) -> dict[str, dict[str, float]]:
    """Return the values by metric and instance."""
    found: dict[str, dict[str, float]] = {}
    for (name, labels), value in exporter.samples().items():
        if name.startswith("vastai_price_increase"):
            found.setdefault(name.removeprefix("vastai_price_increase"), {})[
                dict(labels).get("instance_id", "")
            ] = value
    return found


def reply(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"success": True, "count": len(rows), "truncated": False, "pending_price_increases": rows}


def test_prices_are_those_of_an_hour_and_belong_to_the_instance(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply(ROW, ROW | {"contract_id": 8, "new_gpu_costpersec": None}))
    assert shown(exporter) == {
        "s": {"": 2},
        "_old_gpu_dollars_per_hour": pytest.approx({"7": 0.36, "8": 0.36}),
        "_new_gpu_dollars_per_hour": pytest.approx({"7": 0.432}),
        "_contract_end_timestamp_seconds": {"7": 1_800_000_000.5, "8": 1_800_000_000.5},
    }


def test_none_are_0_and_no_failure(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply(ROW))
    account.collect(COLLECTOR, reply())
    assert shown(exporter) == {"s": {"": 0}}


def test_a_404_that_says_that_there_is_none_is_0_as_well(exporter: Exporter, account: Account) -> None:
    started = account.start(COLLECTOR)
    exporter.api.replies.append((404, b'{"success": false, "error": "no_pending_price_increase"}'))
    list(started)
    assert shown(exporter) == {"s": {"": 0}}


def test_what_can_not_be_read_or_be_true_costs_its_own_sample(exporter: Exporter, account: Account) -> None:
    odd = {"contract_id": 8, "old_gpu_costpersec": "much", "new_gpu_costpersec": -1, "contract_end_date": 0}
    account.collect(COLLECTOR, reply(ROW, odd, {"contract_id": None}))
    assert shown(exporter)["s"] == {"": 2}
    assert account.unreadable == {"old_gpu_costpersec": 1, "id": 1}
    assert account.out_of_range == {"new_gpu_costpersec": 1}


def test_the_simulated_api_has_some(exporter: Exporter, account: Account) -> None:
    with SimulatedVast(size=400) as vast:
        headers = {"Authorization": f"Bearer {vast.key}"}
        answer = requests.get(vast.url + ENDPOINT.path, headers=headers, timeout=60)
    account.collect(COLLECTOR, answer.json())
    found = shown(exporter)
    assert found["s"][""] == len(found["_old_gpu_dollars_per_hour"]) > 0
    for instance, price in found["_new_gpu_dollars_per_hour"].items():
        assert price > found["_old_gpu_dollars_per_hour"][instance]
