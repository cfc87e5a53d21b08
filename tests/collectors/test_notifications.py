"""The inbox: what is counted and what is not, what each notification leaves, and that no text of one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.collectors.inbox import MOST_SHOWN, OTHER, REMEMBERED, ROWS, SHOWN_SECONDS, TYPES
from exporter.collectors.notifications import COLLECTOR, ENDPOINT
from exporter.logs import Formatter, Redactor
from exporter.simulator import IncidentType, ManualClock, SimulatedVast
from exporter.vast.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

TOLD = 1_790_000_000.25
SECRETS = ("registry.example.com/team/secret-image", "203.0.113.7", "tok-0123456789abcdef", "Ada")
#: Nothing of these may be seen anywhere.
TEXTS = {"subject": f"{SECRETS[3]}: outbid", "message": f"{SECRETS[0]} on {SECRETS[1]} with {SECRETS[2]}"}


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    exporter = new_exporter(collectors=(COLLECTOR,))
    exporter.wall_clock = ManualClock(TOLD + 60)
    return exporter


@pytest.fixture
def account(exporter: Exporter) -> Account:
    return exporter.account()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Returns the lines of the log, as the daemon writes them, without their time."""
    caplog.set_level("DEBUG", "exporter")
    formatter = Formatter("logfmt", Redactor())
    return lambda: [formatter.format(record).partition(" ")[2] for record in caplog.records]


def row(number: int, kind: object = "outbid", instance: object = 7, **changed: object) -> dict[str, Any]:
    about = {"instance_id": instance, "machine_id": 88}
    sent = {
        "event_id": f"{number:032x}",
        "notif_type": kind,
        "user_context": "client",
        "created_at": TOLD + number,
    }
    return {**sent, **TEXTS, "associated_id": about, **changed}


def outbid(number: int, own: object, new: object, instance: int = 7) -> dict[str, Any]:
    about = {"instance_id": instance, "machine_id": 88, "your_bid": own, "new_min_bid": new}
    return row(number, associated_id=about)


def reply(*rows: object) -> dict[str, Any]:
    return {"success": True, "notifications": list(rows), "unread_count": len(rows)}


def full(first: int, kind: str = "instance_created") -> dict[str, Any]:
    """Return a reply with as many rows as there may be, the newest first."""
    return reply(*(row(number, kind) for number in range(first + ROWS - 1, first - 1, -1)))


def shown(exporter: Exporter, metric: str, *names: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(dict(labels)[name] for name in names): value
        for (found, labels), value in exporter.samples().items()
        if found == metric
    }


def counts(exporter: Exporter) -> dict[str, float]:
    """Return what has been counted, where it is not 0."""
    found = shown(exporter, "vastai_notifications_total", "type")
    return {kind: count for (kind,), count in found.items() if count}


def gaps(exporter: Exporter) -> float:
    return shown(exporter, "vastai_notifications_gaps_total")[()]


def times(exporter: Exporter) -> dict[tuple[str, ...], float]:
    return shown(exporter, "vastai_instance_notification_timestamp_seconds", "instance_id", "type")


def test_what_lay_there_before_counts_nothing_and_stands_at_its_time(
    exporter: Exporter, account: Account
) -> None:
    account.collect(COLLECTOR, reply(row(2), row(1, "instance_offline", 8)))
    assert counts(exporter) == {}
    assert times(exporter) == {("7", "outbid"): TOLD + 2, ("8", "instance_offline"): TOLD + 1}


def test_every_type_is_there_from_the_first_reading_on(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply())
    assert shown(exporter, "vastai_notifications_total", "type") == {(kind,): 0 for kind in (*TYPES, OTHER)}
    assert gaps(exporter) == 0


def test_what_comes_later_counts_once_by_its_type(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply(row(1)))
    for _ in range(3):
        account.collect(COLLECTOR, reply(row(4, "billing_failed", None), row(3), row(2), row(2), row(1)))
    assert counts(exporter) == {"outbid": 2, "billing_failed": 1}
    assert times(exporter) == {("7", "outbid"): TOLD + 3}


def test_an_inbox_that_was_empty_counts_whatever_comes(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, {"success": True, "notifications": None})
    account.collect(COLLECTOR, reply(row(1)))
    assert counts(exporter) == {"outbid": 1}


def test_both_bids_are_those_of_the_latest_outbid(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply(outbid(2, 0.16, "0.15"), outbid(1, 0.1, 0.2), outbid(1, None, -1, 8)))
    own = shown(exporter, "vastai_instance_outbid_own_bid_dollars_per_hour", "instance_id")
    new = shown(exporter, "vastai_instance_outbid_new_bid_dollars_per_hour", "instance_id")
    assert (own, new) == ({("7",): 0.16}, {("7",): 0.15})


def test_an_older_one_that_comes_late_moves_no_time_back(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply(outbid(5, 0.5, 0.6)))
    account.collect(COLLECTOR, reply(outbid(5, 0.5, 0.6), outbid(3, 0.3, 0.4)))
    assert times(exporter) == {("7", "outbid"): TOLD + 5}
    assert shown(exporter, "vastai_instance_outbid_own_bid_dollars_per_hour") == {(): 0.5}


def test_a_reading_that_has_nothing_of_the_one_before_is_a_gap(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, full(0))
    account.collect(COLLECTOR, full(49))
    assert gaps(exporter) == 0
    account.collect(COLLECTOR, full(149))
    assert gaps(exporter) == 1
    assert counts(exporter) == {"instance_created": 49 + 50}


def test_a_short_reply_is_no_gap_and_makes_nothing_new_of_what_is_known(
    exporter: Exporter, account: Account
) -> None:
    account.collect(COLLECTOR, full(0))
    account.collect(COLLECTOR, reply())
    account.collect(COLLECTOR, reply(row(60)))
    account.collect(COLLECTOR, full(11))
    assert counts(exporter) == {"outbid": 1, "instance_created": 10}
    assert gaps(exporter) == 0


def test_what_comes_back_from_before_the_first_reading_is_not_new(
    exporter: Exporter, account: Account
) -> None:
    """As when its user has deleted others: what they had pushed out is there again."""
    account.collect(COLLECTOR, full(100))
    account.collect(COLLECTOR, full(95))
    assert counts(exporter) == {}


def test_types_that_nobody_knows_count_together(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply())
    account.collect(
        COLLECTOR, reply(row(1, "brand_new"), row(2, None), row(3, ["outbid"]), row(4, "x" * 900))
    )
    assert counts(exporter) == {OTHER: 4}
    assert times(exporter) == {("7", OTHER): TOLD + 4}
    assert account.unreadable == {"notif_type": 1}


def test_what_is_for_hosts_is_left_out(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply())
    account.collect(COLLECTOR, reply(row(1, user_context="host"), row(2, user_context=None)))
    assert counts(exporter) == {"outbid": 1}


@pytest.mark.parametrize("instance", ["7", 7.0, 7])
def test_an_id_may_be_written_as_text(exporter: Exporter, account: Account, instance: object) -> None:
    account.collect(COLLECTOR, reply(row(1, instance=instance)))
    assert times(exporter) == {("7", "outbid"): TOLD + 1}


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ("not an object", "event_id"),
        (row(1, event_id=None), "event_id"),
        (row(1, event_id=7), "event_id"),
        (row(1, created_at=None), "created_at"),
        (row(1, created_at="yesterday"), "created_at"),
        (row(1, created_at=TOLD * 1000), "created_at"),
    ],
)
def test_a_row_without_an_id_or_a_time_is_left_out_and_counted(
    exporter: Exporter, account: Account, odd: object, field: str
) -> None:
    account.collect(COLLECTOR, reply())
    account.collect(COLLECTOR, reply(odd, row(2)))
    assert counts(exporter) == {"outbid": 1}
    assert account.unreadable == {field: 1}


@pytest.mark.parametrize(
    ("about", "unreadable"),
    [
        (None, {}),
        ({}, {}),
        ("instance 7", {"associated_id": 1}),
        ({"instance_id": "seven"}, {"instance_id": 1}),
        ({"instance_id": -1, "machine_id": {}}, {"instance_id": 1, "machine_id": 1}),
    ],
)
def test_one_that_names_no_instance_counts_all_the_same(
    exporter: Exporter, account: Account, about: object, unreadable: dict[str, int]
) -> None:
    account.collect(COLLECTOR, reply())
    account.collect(COLLECTOR, reply(row(1, associated_id=about)))
    assert counts(exporter) == {"outbid": 1}
    assert times(exporter) == {}
    assert account.unreadable == unreadable


def test_a_time_is_shown_for_some_days(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply(outbid(1, 0.1, 0.2)))
    exporter.wall_clock.advance(SHOWN_SECONDS)
    account.collect(COLLECTOR, reply(outbid(1, 0.1, 0.2)))
    assert times(exporter) == {}
    assert shown(exporter, "vastai_instance_outbid_own_bid_dollars_per_hour") == {}


def test_however_much_happens_series_and_memory_have_their_limits(
    exporter: Exporter, account: Account
) -> None:
    readings = MOST_SHOWN // ROWS + 5
    for number in range(readings):
        first = number * ROWS
        rows = [outbid(first + place, 0.1, 0.2, instance=first + place + 1) for place in range(ROWS)]
        account.collect(COLLECTOR, reply(*rows))
    found = times(exporter)
    assert len(found) == MOST_SHOWN
    assert (str(readings * ROWS), "outbid") in found
    known = account.stores["notifications"].snapshot.memory
    assert (len(known.outbids), len(known.seen)) == (MOST_SHOWN, REMEMBERED)


def test_each_new_one_is_a_line_of_the_log(account: Account, log: Callable[[], list[str]]) -> None:
    account.collect(COLLECTOR, reply(row(1)))
    assert log() == []
    account.collect(
        COLLECTOR, reply(row(4, "weird"), row(3, "payment_receipt", associated_id=None), row(2), row(1))
    )
    assert log() == [
        "level=info msg=notification account=research type=outbid instance_id=7 machine_id=88",
        "level=info msg=notification account=research type=payment_receipt",
        "level=info msg=notification account=research type=other instance_id=7 machine_id=88",
    ]


def test_it_is_asked_for_and_nothing_is_marked_as_read(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, reply(row(1)))
    assert exporter.api.asked == [ENDPOINT.path]
    assert [(each.method, each.path) for each in COLLECTOR.endpoints] == [("GET", ENDPOINT.path)]


def test_no_text_of_a_message_is_shown_or_kept(
    exporter: Exporter, account: Account, log: Callable[[], list[str]]
) -> None:
    about = {"instance_id": 7, "machine_id": 88, "image": SECRETS[0], "ip": SECRETS[1], "url": SECRETS[2]}
    account.collect(COLLECTOR, reply())
    account.collect(COLLECTOR, reply(row(1, associated_id=about), row(2, SECRETS[2], associated_id=about)))
    known = repr(account.stores["notifications"].snapshot.memory)
    for place in (exporter.scrape().decode(), exporter.scrape(openmetrics=True).decode(), known, *log()):
        assert not [secret for secret in SECRETS if secret in place]


@pytest.mark.parametrize(
    "body", [{"success": True}, {"notifications": {"0": row(1)}}, {"notifications": "none"}]
)
def test_a_reply_without_a_list_is_a_failure_and_takes_nothing_away(
    exporter: Exporter, account: Account, body: dict[str, Any]
) -> None:
    account.collect(COLLECTOR, reply(row(1)))
    with pytest.raises(ApiError):
        account.collect(COLLECTOR, body)
    assert times(exporter) == {("7", "outbid"): TOLD + 1}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANY_ROW = st.dictionaries(
    st.sampled_from([*row(1), "your_bid"]),
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(st.sampled_from(["instance_id", "your_bid"]), SCALARS),
)
USABLE = st.builds(row, st.integers(0, 99), st.sampled_from([*TYPES, "new"]), st.integers(1, 5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(readings=st.lists(st.lists(ANY_ROW | USABLE | SCALARS, max_size=8), max_size=4))
def test_whatever_comes_counters_only_rise_and_every_line_can_be_read(
    new_exporter: Callable[..., Exporter], readings: list[list[object]]
) -> None:
    exporter = new_exporter(collectors=(COLLECTOR,))
    account = exporter.account()
    before = 0.0
    for rows in readings:
        account.collect(COLLECTOR, reply(*rows))
        total = sum(shown(exporter, "vastai_notifications_total", "type").values())
        assert total >= before
        before = total


def test_the_simulated_inbox_tells_of_an_outbid(exporter: Exporter, account: Account) -> None:
    clock = ManualClock(TOLD)
    with SimulatedVast(size=60, clock=clock, incidents=False) as vast:

        def inbox() -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {vast.key}"}
            answer: dict[str, Any] = requests.get(
                vast.url + ENDPOINT.path, headers=headers, timeout=60
            ).json()
            return answer

        account.collect(COLLECTOR, inbox())
        instance = str(vast.inject(IncidentType.OUTBID).instance_id)
        account.collect(COLLECTOR, inbox())
    assert counts(exporter) == {"outbid": 1}
    assert times(exporter)[instance, "outbid"] == TOLD
    assert shown(exporter, "vastai_instance_outbid_own_bid_dollars_per_hour", "instance_id")[instance,] > 0
    assert account.unreadable == account.out_of_range == {}
