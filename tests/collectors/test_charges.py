"""What was billed: sums over windows, which days are asked for, and the simulator's own books."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from exporter.collectors.base import Run, Store
from exporter.collectors.charges import (
    CHARGES,
    COLLECTOR,
    DAY,
    LABEL_CHARGES,
    LABEL_RENTAL_CHARGES,
    WINDOW_START,
    summarise,
    windows,
)
from exporter.collectors.fleet import OTHER
from exporter.config.models import CollectorSettings, Limits
from exporter.simulator import ManualClock, SimulatedVast
from exporter.vast.errors import ApiError
from tests.support.scripted_api import ClientSetup, VirtualTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

#: 2026-01-15 12:00 UTC, when the tests' clock stands.
TODAY = 20_468
DAYS_ASKED = TODAY - 20_423 + 1  # from 2025-12-01 on


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter(collectors=(COLLECTOR,), most_labels=2)


@pytest.fixture
def account(exporter: Exporter) -> Account:
    return exporter.account()


def row(source: str = "instance-7", label: str | None = "train", **amounts: Any) -> dict[str, Any]:  # noqa: ANN401
    items = [{"type": name, "amount": amount} for name, amount in amounts.items()]
    metadata = {} if label is None else {"label": label}
    return {"type": "instance", "source": source, "metadata": metadata, "items": items, "amount": 99}


def reply(*rows: object, token: str | None = None) -> dict[str, Any]:
    return {"success": True, "results": list(rows), "next_token": token}


def shown(exporter: Exporter, metric: str, *names: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(dict(labels)[name] for name in names): value
        for (found, labels), value in exporter.samples().items()
        if found == metric
    }


def charges(exporter: Exporter) -> dict[tuple[str, ...], float]:
    return shown(exporter, CHARGES.name, "window", "source", "item")


def asked_days(exporter: Exporter) -> list[int]:
    queries = [parse_qs(urlsplit(target).query) for target in exporter.api.asked]
    bounds = [json.loads(query["select_filters"][0])["day"] for query in queries]
    assert all(bound["lte"] - bound["gte"] == DAY - 1 for bound in bounds)
    return [bound["gte"] // DAY for bound in bounds]


def test_the_first_run_asks_for_every_day_since_the_beginning_of_last_month_the_newest_first(
    exporter: Exporter, account: Account
) -> None:
    account.collect(COLLECTOR, *DAYS_ASKED * [reply()])
    assert datetime.fromtimestamp(asked_days(exporter)[-1] * DAY, UTC).isoformat()[:10] == "2025-12-01"
    assert asked_days(exporter) == list(range(TODAY, TODAY - DAYS_ASKED, -1))


def test_a_later_run_asks_only_for_what_may_still_change(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, *DAYS_ASKED * [reply()])
    exporter.api.asked.clear()
    account.collect(COLLECTOR, *7 * [reply()])
    assert asked_days(exporter) == list(range(TODAY, TODAY - 7, -1))


def test_a_window_is_there_when_all_its_days_are_known_and_not_before(
    exporter: Exporter, account: Account
) -> None:
    run = account.start(COLLECTOR, *DAYS_ASKED * [reply(row(gpu=1))])
    seen: dict[str, int] = {}
    for done, _ in enumerate(run, start=1):
        for window, _source, _item in charges(exporter):
            seen.setdefault(window, done)
    assert seen == {"today": 1, "yesterday": 2, "7d": 8, "month": 15, "last_month": DAYS_ASKED}
    found = {window: dollars for (window, _, _), dollars in charges(exporter).items()}
    assert found == {"today": 1, "yesterday": 1, "7d": 7, "month": 15, "last_month": 31}


def test_dollars_are_told_apart_by_source_and_item(exporter: Exporter, account: Account) -> None:
    rows = [
        row(gpu=2.5, disk="0.5", bwd=0.25, bwu=0.125),
        row(source="volume-3", label=None, disk=1),
        row(label="serve", gpu=4) | {"metadata": {"endpoint_id": 9, "label": "serve"}},
        {"source": "instance-8", "amount": 0.75},
    ]
    next(account.start(COLLECTOR, reply(*rows[:2], token="more"), reply(*rows[2:])))
    assert charges(exporter) == {
        ("today", "instance", "gpu"): 2.5,
        ("today", "instance", "disk"): 0.5,
        ("today", "instance", "bandwidth_down"): 0.25,
        ("today", "instance", "bandwidth_up"): 0.125,
        ("today", "instance", "other"): 0.75,
        ("today", "volume", "disk"): 1,
        ("today", "serverless", "gpu"): 4,
    }
    assert shown(exporter, LABEL_CHARGES.name, "label", "window") == {
        ("serve", "today"): 4,
        ("train", "today"): 3.375,
        (OTHER, "today"): 1.75,
    }
    # What an estimate from prices can be held against: no traffic, no volume, nothing that is not itemised.
    assert shown(exporter, LABEL_RENTAL_CHARGES.name, "label", "window") == {
        ("serve", "today"): 4,
        ("train", "today"): 3,
    }


def test_each_window_that_is_known_tells_when_it_begins_also_where_nothing_was_charged(
    exporter: Exporter, account: Account
) -> None:
    def starts() -> dict[str, str]:
        found = shown(exporter, WINDOW_START.name, "window")
        return {
            window: datetime.fromtimestamp(start, UTC).isoformat(" ") for (window,), start in found.items()
        }

    run = account.start(COLLECTOR, *DAYS_ASKED * [reply()])
    next(run)
    assert starts() == {"today": "2026-01-15 00:00:00+00:00"}
    list(run)
    assert starts() == {
        "today": "2026-01-15 00:00:00+00:00",
        "yesterday": "2026-01-14 00:00:00+00:00",
        "7d": "2026-01-08 00:00:00+00:00",
        "month": "2026-01-01 00:00:00+00:00",
        "last_month": "2025-12-01 00:00:00+00:00",
    }
    assert not charges(exporter)


def test_what_can_not_be_read_costs_its_own_amount_only(exporter: Exporter, account: Account) -> None:
    odd: list[object] = [7, None, row(gpu=None), row(gpu=[]), row(disk=1), row(label=None) | {"metadata": []}]
    next(account.start(COLLECTOR, reply(*odd)))
    assert charges(exporter) == {("today", "instance", "disk"): 1, ("today", "instance", "other"): 99}
    assert account.unreadable == {"results": 2, "amount": 2}


def test_what_is_no_word_of_the_api_is_other(exporter: Exporter, account: Account) -> None:
    rows = [
        row(source=["instance-7"]) | {"items": [{"type": "GPU 3", "amount": 1}, {"amount": 2}]},  # type: ignore[arg-type]
        row(source="C.1234", gpu=4),
        row(source="instance-7") | {"items": {"gpu": 8}, "amount": 16},
    ]
    next(account.start(COLLECTOR, reply(*rows)))
    assert charges(exporter) == {
        ("today", "other", "other"): 3,
        ("today", "other", "gpu"): 4,
        ("today", "instance", "other"): 16,
    }
    assert account.unreadable == {"items": 1}


def test_a_day_that_fails_leaves_the_others_and_the_run_has_failed(
    exporter: Exporter, account: Account
) -> None:
    run = account.start(COLLECTOR, *DAYS_ASKED * [reply(row(gpu=1))])
    for _ in range(3):  # the first day, whatever is tried
        exporter.api.replies.insert(0, (503, b""))
    with pytest.raises(ApiError):
        list(run)
    assert {window for window, _, _ in charges(exporter)} == {"yesterday", "7d", "last_month"}


def test_a_key_without_the_permission_is_not_tried_for_every_day(
    exporter: Exporter, account: Account
) -> None:
    run = account.start(COLLECTOR)
    exporter.api.replies.append((401, b'{"error": "auth_error", "msg": "no"}'))
    with pytest.raises(ApiError):
        list(run)
    assert len(exporter.api.asked) == 1


def test_what_is_older_than_last_month_is_forgotten(exporter: Exporter, account: Account) -> None:
    account.collect(COLLECTOR, *DAYS_ASKED * [reply(row(gpu=1))])
    exporter.wall_clock.advance(20 * DAY)
    account.collect(COLLECTOR, *20 * [reply(row(gpu=1))])
    ledger = account.stores["charges"].snapshot.memory
    assert datetime.fromtimestamp(min(ledger.days) * DAY, UTC).isoformat()[:10] == "2026-01-01"


@pytest.mark.parametrize(
    ("today", "month", "last_month"),
    [("2026-01-01", 1, 31), ("2026-03-31", 31, 28), ("2024-03-01", 1, 29), ("2026-12-31", 31, 30)],
)
def test_windows_end_at_the_ends_of_months(today: str, month: int, last_month: int) -> None:
    day = int(datetime.fromisoformat(f"{today}T00:00:00+00:00").timestamp()) // DAY
    found = windows(day)
    assert (len(found["month"]), len(found["last_month"])) == (month, last_month)
    assert found["last_month"].stop == found["month"].start
    assert list(found["7d"]) == list(range(day - 7, day))


def test_sums_agree_with_the_books_of_the_simulated_vast() -> None:
    clock = ManualClock()
    with SimulatedVast(size=60, clock=clock, thresholds=False) as vast:
        clock.advance(2.25 * DAY)
        time = VirtualTime()
        setup = ClientSetup(url=vast.url, time=time, key=vast.key, min_interval=0.0)
        run = Run(
            account="research",
            client=setup.client(),
            filters={},
            settings=CollectorSettings(),
            limits=Limits(),
            store=Store(),
            clock=time,
            wall_clock=clock,
            report=lambda _: None,
        )
        list(COLLECTOR.collect(run))
        ledger = vast.fleet.ledger
        today = int(clock() // DAY)
        for window, days in windows(today).items():
            booked = ledger.between(days.start, days.stop - 1).values()
            text = summarise("research", (), run.store.snapshot, 200)[CHARGES.name].decode()
            for item in ("gpu", "disk"):
                found = re.findall(rf'window="{window}",source="[a-z]+",item="{item}"}} (\S+)', text)
                billed = sum(map(float, found))
                assert billed == pytest.approx(sum(getattr(one, item) for one in booked), abs=0.001)
