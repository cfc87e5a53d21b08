from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.simulator import DEFAULT_START, Account, Fleet, IncidentType
from exporter.simulator.api.endpoint import Question
from exporter.simulator.endpoints.notifications import show_inbox


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(1, 60, DEFAULT_START, incidents=False)


def inbox(fleet: Fleet) -> list[dict[str, Any]]:
    reply = json.loads(show_inbox(Question(Account("", fleet, None), {}, {})).body)
    assert reply["success"] is True
    assert reply["unread_count"] == len(reply["notifications"])
    rows = reply["notifications"]
    assert isinstance(rows, list)
    return rows


def test_the_inbox_has_the_newest_fifty_and_the_newest_first() -> None:
    fleet = Fleet(1, 60, DEFAULT_START)
    fleet.advance(DEFAULT_START + 86400)
    rows = inbox(fleet)
    times = [row["created_at"] for row in rows]
    assert len(rows) == 50
    assert times == sorted(times, reverse=True)
    assert len({row["event_id"] for row in rows}) == 50
    assert all(len(row["event_id"]) == 32 for row in rows)


def test_reading_changes_nothing(fleet: Fleet) -> None:
    fleet.inject(IncidentType.OUTBID)
    assert inbox(fleet) == inbox(fleet)


def test_an_outbid_is_told_with_both_bids(fleet: Fleet) -> None:
    outbid = fleet.instance(fleet.inject(IncidentType.OUTBID).instance_id)
    (row,) = inbox(fleet)
    assert (row["notif_type"], row["user_context"]) == ("outbid", "client")
    about = row["associated_id"]
    assert about["instance_id"] == outbid.id
    assert about["machine_id"] == outbid.contract.machine.machine_id
    assert about["your_bid"] == round(outbid.contract.dph_base, 3)
    assert about["new_min_bid"] > 0


def test_an_outbid_may_come_from_who_bids_less() -> None:
    fleet = Fleet(1, 200, DEFAULT_START, incidents=False)
    for _ in range(30):
        fleet.inject(IncidentType.OUTBID)
    about = [row["associated_id"] for row in inbox(fleet) if row["notif_type"] == "outbid"]
    assert {one["new_min_bid"] > one["your_bid"] for one in about} == {True, False}


@pytest.mark.parametrize(
    ("incident_type", "notice"),
    [
        (IncidentType.HOST_OFFLINE, "instance_offline"),
        (IncidentType.DISK_FILLING, "storage_full"),
        (IncidentType.IDLE, "idle_gpu"),
        (IncidentType.CONTRACT_ENDING, "near_end_date"),
        (IncidentType.BOOT_FAILURE, "error_msgs"),
    ],
)
def test_what_goes_wrong_is_told(fleet: Fleet, incident_type: IncidentType, notice: str) -> None:
    number = fleet.inject(incident_type).instance_id
    assert (notice, number) in [
        (row["notif_type"], row["associated_id"]["instance_id"]) for row in inbox(fleet)
    ]


def test_what_the_user_does_is_told_too_and_every_resumption() -> None:
    fleet = Fleet(1, 60, DEFAULT_START, incidents=False)
    seen = set()
    for _ in range(60):
        fleet.advance(fleet.now + 300)
        seen |= {row["notif_type"] for row in inbox(fleet)}
    assert {f"instance_{what}" for what in ("created", "started", "stopped", "resumed", "deleted")} <= seen


def test_money_is_told_without_an_instance(fleet: Fleet) -> None:
    fleet.set_autobill(100.0, 300.0)
    fleet.set_balance_threshold(1000.0)
    fleet.set_credit(99.0)
    fleet.advance(DEFAULT_START + 200)
    found = [row for row in inbox(fleet) if row["associated_id"] is None]
    assert [row["notif_type"] for row in found] == ["low_credit", "payment_receipt"]
