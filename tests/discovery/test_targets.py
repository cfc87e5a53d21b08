"""Which targets there are, with which labels, and when there is no answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from exporter.collectors.instance_target import Target
from exporter.config.models import Discovery
from exporter.discovery.target_groups import target_groups
from exporter.simulator import INSTANCES, json_reply
from tests.support import members

if TYPE_CHECKING:
    from exporter.collectors.fleet import Member
    from exporter.simulator import SimulatedVast
    from tests.discovery.conftest import Discovering

STALE_AFTER = 300
SECRET_FIELDS = {"public_ipaddr", "ports"}


def member(**fields: Any) -> Member:  # noqa: ANN401 - of any field
    target = Target(
        "203.0.113.7", ((22, 40001), (8000, 40022)), "image:1", "vLLM", "4711", "Quebec, CA", "reserved"
    )
    return members.member(**{"label": "serving", "target": target} | fields)


def groups(found: Member, **choice: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - of any setting
    return [dict(group) for group in target_groups("research", 7, found, Discovery(enabled=True, **choice))]


# One instance


def test_each_exposed_port_of_an_instance_is_a_group_with_all_labels_as_text() -> None:
    first, second = groups(member())
    assert first == {
        "targets": ["203.0.113.7:40001"],
        "labels": {
            "__meta_vastai_account": "research",
            "__meta_vastai_instance_id": "7",
            "__meta_vastai_label": "serving",
            "__meta_vastai_gpu_name": "RTX 4090",
            "__meta_vastai_container_port": "22",
            "__meta_vastai_image": "image:1",
            "__meta_vastai_template": "vLLM",
            "__meta_vastai_machine_id": "4711",
            "__meta_vastai_geolocation": "Quebec, CA",
            "__meta_vastai_rental": "reserved",
        },
    }
    assert second["targets"] == ["203.0.113.7:40022"]
    assert second["labels"] == first["labels"] | {"__meta_vastai_container_port": "8000"}


def test_an_ipv6_address_stands_in_brackets() -> None:
    (group,) = groups(member(target=Target("2001:db8::7", ((8000, 40022),))))
    assert group["targets"] == ["[2001:db8::7]:40022"]


@pytest.mark.parametrize(
    ("ports", "expected"),
    [((), ["22", "8000"]), ((8000,), ["8000"]), ((8000, 22), ["22", "8000"]), ((9,), [])],
)
def test_ports_choose(ports: tuple[int, ...], expected: list[str]) -> None:
    found = groups(member(), ports=ports)
    assert [group["labels"]["__meta_vastai_container_port"] for group in found] == expected


@pytest.mark.parametrize(
    ("label", "labels", "expected"),
    [
        ("serving", (), 2),
        ("serving", ("serving",), 2),
        ("serving", ("train", "serving"), 2),
        ("serving", ("serv",), 0),
        ("", ("serving",), 0),
        ("", ("",), 2),
    ],
)
def test_labels_choose(label: str, labels: tuple[str, ...], expected: int) -> None:
    assert len(groups(member(label=label), labels=labels)) == expected


# A fleet


def test_running_instances_of_all_accounts_are_targets_and_others_are_not(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    discovering.walk()
    expected = {
        (account, str(instance.id))
        for account, name in (("research", "default"), ("batch", "batch"))
        for instance in vast.fleet_of(name).roster
        if instance.shown_status == "running"
    }
    found = {
        (group["labels"]["__meta_vastai_account"], group["labels"]["__meta_vastai_instance_id"])
        for group in discovering.groups()
    }
    assert found == expected
    assert all(isinstance(text, str) for group in discovering.groups() for text in group["labels"].values())


def test_what_stops_or_is_gone_is_no_target_after_the_next_walk(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    discovering.walk()
    first, second = [i for i in vast.fleet.roster if i.shown_status == "running"][:2]
    first.overrides["actual_status"] = "exited"
    vast.fleet.destroy(second.id)
    before = {group["labels"]["__meta_vastai_instance_id"] for group in discovering.groups()}
    discovering.walk()
    after = {group["labels"]["__meta_vastai_instance_id"] for group in discovering.groups()}
    assert before - after == {str(first.id), str(second.id)}


def test_without_instances_there_are_no_targets_and_that_is_an_answer(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    vast.faults.always(INSTANCES, json_reply({"instances": [], "total_instances": 0, "next_token": None}))
    discovering.walk()
    assert (discovering.awaited(), discovering.groups()) == ([], [])


def test_what_is_stale_is_no_target_and_touches_no_other_account(discovering: Discovering) -> None:
    discovering.walk()
    discovering.clock.advance(STALE_AFTER - 1)
    discovering.walk("batch")
    assert discovering.accounts() == {"research", "batch"}
    discovering.clock.advance(2)
    assert discovering.accounts() == {"batch"}
    assert discovering.awaited() == []


# Before everything is known


def test_there_is_no_answer_before_the_first_whole_walk_of_every_account(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    assert discovering.awaited() == ["research", "batch"]
    discovering.walk("batch")
    vast.faults.always(INSTANCES, json_reply({"error": "invalid_request"}, 400))
    discovering.walk("research")
    assert discovering.awaited() == ["research"]
    vast.faults.clear()
    discovering.walk("research")
    assert discovering.awaited() == []
    assert discovering.accounts() == {"research", "batch"}


def test_an_account_that_is_blind_from_the_start_holds_the_others_back_for_stale_after_only(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    vast.revoke()
    discovering.walk()
    discovering.clock.advance(STALE_AFTER - 1)
    discovering.walk("batch")
    assert discovering.awaited() == ["research"]
    discovering.clock.advance(1)
    assert discovering.awaited() == []
    assert discovering.accounts() == {"batch"}


def test_a_first_walk_that_takes_longer_than_stale_after_is_waited_for(discovering: Discovering) -> None:
    discovering.walk("batch")
    discovering.clock.advance(STALE_AFTER + 1)
    assert discovering.awaited() == ["research"]


# Reload


def test_discovery_can_be_switched_on_and_keeps_what_is_known(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    discovering.reload(enabled=False)
    discovering.walk()
    vast.requests.clear()
    assert discovering.poller.targets is None
    known = discovering.metrics().partition("# HELP vastai_collector")[0]
    discovering.reload(enabled=True)
    assert discovering.metrics().partition("# HELP vastai_collector")[0] == known
    assert discovering.awaited() == ["research", "batch"]
    discovering.walk()
    assert discovering.awaited() == []
    assert discovering.accounts() == {"research", "batch"}
    for field in SECRET_FIELDS:
        assert f'collector="instances",field="{field}"}} 0' in discovering.metrics()


def test_when_discovery_is_switched_off_addresses_are_no_longer_asked_for(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    discovering.walk()
    discovering.reload(enabled=False)
    vast.requests.clear()
    discovering.walk()
    asked = [set(json.loads(one.params["select_cols"])) for one in vast.requests]
    assert asked
    assert not any(SECRET_FIELDS & columns for columns in asked)
    assert discovering.poller.targets is None
    discovering.reload(enabled=True)
    assert discovering.awaited() == ["research", "batch"]


def test_another_choice_counts_at_once_and_asks_nothing(
    discovering: Discovering, vast: SimulatedVast
) -> None:
    discovering.walk()
    vast.requests.clear()
    discovering.reload(enabled=True, ports=(22,))
    assert {group["labels"]["__meta_vastai_container_port"] for group in discovering.groups()} == {"22"}
    assert not vast.requests
