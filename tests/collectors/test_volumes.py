"""Volumes: each field that is read and what it becomes, and the collector on the simulated API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.collectors.volumes import COLLECTOR, ENDPOINT, LISTING
from exporter.simulator import SimulatedVast

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

ROW = {
    "id": 7,
    "label": "datasets",
    "type": "machine",
    "status": "running",
    "machine_id": 12345,
    "disk_space": 250.0,
    "storage_total_cost": 0.035,
    "instances": [101, 102],
    "start_date": 1_790_000_000.5,
    "end_date": 1_800_000_000,
    "reliability2": 0.987,
    "public_ipaddr": "203.0.113.7",
}


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter(collectors=(COLLECTOR,))


@pytest.fixture
def account(exporter: Exporter) -> Account:
    return exporter.account()


def values(exporter: Exporter, volume: int = 7) -> dict[str, float]:
    return {
        name.removeprefix("vastai_volume_"): value
        for (name, labels), value in exporter.samples().items()
        if ("volume_id", str(volume)) in labels
    }


def test_a_volume_of_which_everything_is_said(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, {"success": True, "volumes": [ROW]})
    assert values(exporter) == {
        "info": 1,
        "disk_space_bytes": 250e9,
        "storage_total_cost_dollars_per_hour": 0.035,
        "instances": 2,
        "start_timestamp_seconds": 1_790_000_000.5,
        "end_timestamp_seconds": 1_800_000_000,
        "reliability_ratio": 0.987,
    }
    (labels,) = [dict(labels) for name, labels in exporter.samples() if name == "vastai_volume_info"]
    assert labels == {
        "account": "research",
        "volume_id": "7",
        "label": "datasets",
        "kind": "machine",
        "status": "running",
        "machine_id": "12345",
    }
    assert b"203.0.113.7" not in exporter.scrape()


@pytest.mark.parametrize(
    ("sent", "missing"),
    [
        ({"disk_space": -1}, "disk_space_bytes"),
        ({"storage_total_cost": None}, "storage_total_cost_dollars_per_hour"),
        ({"end_date": 0}, "end_timestamp_seconds"),
        ({"start_date": -1}, "start_timestamp_seconds"),
        ({"instances": None}, "instances"),
    ],
)
def test_what_is_not_known_is_no_sample_and_no_problem(
    exporter: Exporter, account: Account, sent: dict[str, Any], missing: str
) -> None:
    account.collect(COLLECTOR, {"volumes": [ROW | sent]})
    assert missing not in values(exporter)
    assert account.unreadable == account.out_of_range == {}


def test_what_can_not_be_read_or_be_true_is_counted_by_field(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, {"volumes": [ROW | {"instances": "two", "reliability2": 98.7}]})
    assert account.unreadable == {"instances": 1}
    assert account.out_of_range == {"reliability2": 1}
    assert {"instances", "reliability_ratio"} & set(values(exporter)) == set()


def test_a_volume_that_nobody_uses_is_attached_to_0_instances(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, {"volumes": [ROW | {"instances": []}]})
    assert values(exporter)["instances"] == 0


@pytest.mark.parametrize("reply", [{"volumes": []}, {"volumes": None}])
def test_no_volumes_are_a_good_answer_after_which_none_is_shown(
    exporter: Exporter, account: Account, reply: dict[str, Any]
) -> None:
    account.collect(COLLECTOR, {"volumes": [ROW, {"id": None}]})
    assert account.unreadable == {"id": 1}
    account.collect(COLLECTOR, reply)
    assert values(exporter) == {}


def test_all_volumes_are_asked_for_as_the_vendors_client_does(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, {"volumes": [ROW]})
    assert exporter.api.asked == ["/api/v0/volumes?owner=me&type=all_volume"]


def test_the_simulated_api_has_volumes_in_use_and_one_that_nobody_uses(
    exporter: Exporter, account: Account
) -> None:
    with SimulatedVast(size=60) as vast:
        headers = {"Authorization": f"Bearer {vast.key}"}
        url = vast.url + ENDPOINT.path
        reply = requests.get(url, params=dict(LISTING.params), headers=headers, timeout=60)
    account.collect(COLLECTOR, reply.json())
    found = exporter.samples()
    attached = [value for (name, _), value in found.items() if name == "vastai_volume_instances"]
    assert 0 in attached
    assert 1 in attached
    assert account.unreadable == account.out_of_range == {}
    assert sum(name == "vastai_volume_end_timestamp_seconds" for name, _ in found) == len(attached)
