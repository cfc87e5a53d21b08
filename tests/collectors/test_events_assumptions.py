"""What is taken for true of the inbox and of backups, held against replies that bear it out or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.collectors.assumptions import backups, notifications
from exporter.collectors.assumptions.evidence import Answer, Evidence
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import AuthError, ClientError, NetworkError

if TYPE_CHECKING:
    from exporter.vast.errors import ApiError

ENDPOINT = Endpoint("/things/", 1.0)
NOW = 1.8e9
ASSUMPTIONS = {each.name: each for each in (*notifications.ASSUMPTIONS, *backups.ASSUMPTIONS)}

OUTBID = {
    "event_id": "a",
    "notif_type": "outbid",
    "created_at": NOW - 5,
    "associated_id": {"instance_id": "7", "your_bid": 0.1, "new_min_bid": "0.2"},
}
PAYMENT = {"event_id": "b", "notif_type": "billing_failed", "created_at": NOW - 9}
OLDER = {**PAYMENT, "associated_id": None}
BACKUP = {"contract_id": 7, "status": "success", "created_at": NOW - 5}


def verdict(name: str, *rows: object, error: ApiError | None = None) -> str:
    reply = {"notifications": list(rows), "backups": list(rows)} if error is None else None
    check = ASSUMPTIONS[name].check
    assert check
    return check(Evidence(answers=(Answer(endpoint=ENDPOINT, reply=reply, error=error),), now=NOW)).verdict


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("inbox_newest", (OUTBID, OLDER), (OLDER, OUTBID)),
        ("inbox_newest", (OUTBID,) * 50, (OUTBID,) * 51),
        ("inbox_ids", (OUTBID, OLDER), (OUTBID, OUTBID)),
        ("inbox_seconds", (OUTBID,), (OUTBID | {"created_at": NOW * 1000},)),
        ("inbox_types", (OUTBID, OLDER), (OUTBID | {"notif_type": "client_outbid"},)),
        ("inbox_instance", (OUTBID, OLDER), (OUTBID | {"associated_id": {"machine_id": 8}},)),
        ("inbox_bids", (OUTBID, OLDER), (OUTBID | {"associated_id": {"your_bid": 0.1}},)),
        ("backups_status", (BACKUP,), (BACKUP | {"status": "done"},)),
        ("backups_seconds", (BACKUP,), (BACKUP | {"created_at": 5},)),
    ],
)
def test_an_assumption_holds_or_does_not(name: str, right: tuple[object], wrong: tuple[object]) -> None:
    assert verdict(name, *right) == "holds"
    assert verdict(name, *wrong) == "does not hold"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, "holds"),
        (ClientError("words", status=404), "does not hold"),
        (AuthError("words", status=403, permission=True), "does not hold"),
        (AuthError("words", status=404), "can't be told"),
        (NetworkError("words"), "can't be told"),
    ],
)
def test_an_inbox_that_is_not_available_is_told_from_one_that_was_not_reached(
    error: ApiError | None, expected: str
) -> None:
    assert verdict("inbox", error=error) == expected


def test_one_contract_alone_does_not_tell_whether_all_came() -> None:
    assert verdict("backups_all", BACKUP, BACKUP) == "can't be told"
    assert verdict("backups_all", BACKUP, BACKUP | {"contract_id": 8}) == "holds"
    assert verdict("backups_all", error=ClientError("words", status=400)) == "does not hold"
