"""An exporter that runs for 90 days: keys are rotated, instances come and go, and nothing it keeps grows."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from exporter.collectors.fleet import MOST_CHANGES
from exporter.logs import MOST_SECRETS, Redactor
from exporter.simulator import ManualClock
from exporter.vast.endpoints import Endpoint
from exporter.vast.pace import FORGOTTEN_AFTER, Paces

if TYPE_CHECKING:
    from tests.support.pipeline import Account, Exporter

ENDPOINT = Endpoint("/api/v1/things/", 1.0)
DAY = 86_400.0
DAYS = 90
#: Readings a day; each replaces a third of the instances.
WALKS = 8
#: Instances at a time.
SIZE = 24


def kept(value: Any, seen: set[int] | None = None) -> int:  # noqa: ANN401 - whatever is kept
    """Return the bytes of a value with all that it holds."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, tuple | list | set | frozenset):
        inner = [*value]
    elif is_dataclass(value):
        inner = [getattr(value, each.name) for each in fields(value)]
    return sys.getsizeof(value) + sum(kept(each, seen) for each in inner)


def test_what_is_known_of_a_fleet_that_is_replaced_all_the_time_does_not_grow(
    exporter: Exporter, account: Account
) -> None:
    numbers = count(1)
    rows: list[dict[str, Any]] = []
    after: dict[int, tuple[int, int]] = {}
    for day in range(1, DAYS + 1):
        for _ in range(WALKS):
            rows = rows[SIZE // 3 :]
            while len(rows) < SIZE:
                number = next(numbers)
                rows.append(
                    {"id": number, "label": f"run-{number}", "gpu_name": f"GPU {number}", "dph_total": 1}
                )
            for row in rows:
                row["actual_status"] = f"status {next(numbers)}"
            account.walk(rows)
            for clock in (exporter.clock, exporter.wall_clock):
                clock.advance(DAY / WALKS)
        if day in {DAYS // 2, DAYS}:
            account.walk(rows)
            after[day] = len(exporter.samples()), kept(account.stores["instances"].snapshot)
    series, size = after[DAYS // 2]
    assert after[DAYS][0] <= series
    assert after[DAYS][1] <= size * 1.01  # numbers have more digits
    samples = exporter.samples()
    assert sum(name == "vastai_status_changes_total" for name, _ in samples) <= MOST_CHANGES + 1
    assert (
        sum(name == "vastai_label_burned_dollars_total" for name, _ in samples) <= exporter.limits.labels + 1
    )


def test_keys_that_were_rotated_away_are_forgotten_and_those_in_use_are_not() -> None:
    redact = Redactor()
    for number in range(MOST_SECRETS + 100):
        redact.learn("key-in-use")
        redact.learn(f"rotated-key-{number:05}")
    newest, oldest = f"rotated-key-{MOST_SECRETS + 99:05}", "rotated-key-00000"
    assert redact(f"key-in-use {newest} {oldest}") == f"<secret> <secret> {oldest}"


def test_the_pace_of_a_key_that_was_rotated_away_is_forgotten() -> None:
    clock = ManualClock(0.0)
    paces = Paces(clock=clock)
    in_use = paces.of("in use")
    in_use.refused(ENDPOINT, threshold=30.0, retry_after=None)
    for day in range(DAYS):
        in_use.turn(ENDPOINT, clock.advance)
        paces.of(f"key of day {day}").turn(ENDPOINT, clock.advance)
        clock.advance(DAY)
    assert paces.of("in use") is in_use
    assert len(paces) <= FORGOTTEN_AFTER / DAY + 2
