"""All loops of a configuration, against a living API on a real socket."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter import __version__
from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.simulator import INSTANCES, USER, SimulatedVast, json_reply
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.collectors.base import Progress
    from exporter.polling.job import Job

KEYS = {"one": "the-key-of-one", "two": "the-key-of-two"}


@pytest.fixture
def vast() -> Iterator[SimulatedVast]:
    with SimulatedVast(size=3, key=KEYS["one"], thresholds=False) as served:
        served.add_account("two", KEYS["two"], size=4)
        yield served


def loaded(url: str, keys: dict[str, Key], **collectors: dict[str, Any]) -> Loaded:
    config = CONFIG.model_validate(
        {"api": {"url": url, "min_interval": "0s", "timeout": "5s"}, "collectors": collectors}
    )
    return Loaded(config, tuple(AccountKey(name, key, {}) for name, key in keys.items()), ())


def values() -> dict[str, Key]:
    return {name: Key(value=key) for name, key in KEYS.items()}


def text(poller: Poller) -> str:
    return b"".join(poller.exposition.body(openmetrics=False, gzip=False).pieces).decode()


@pytest.fixture
def run_all() -> Iterator[Callable[..., Poller]]:
    """Starts the loops, and returns when each has made progress or has failed."""
    started: list[Poller] = []

    def run(configuration: Loaded, expected: int) -> Poller:
        progressed = threading.Semaphore(0)

        def progress(_job: Job, _progress: Progress) -> None:
            progressed.release()

        poller = Poller(configuration, redact=Redactor(), progress=progress)
        started.append(poller)
        poller.start()
        for _ in range(expected):
            assert progressed.acquire(timeout=60)
        while not all(loop.runs.ended for loop in poller.loops):
            assert not [loop.trouble() for loop in poller.loops if loop.trouble()]
            threading.Event().wait(0.005)
        return poller

    yield run
    for poller in started:
        poller.stop()


def test_all_accounts_are_collected_side_by_side(vast: SimulatedVast, run_all: Callable[..., Poller]) -> None:
    poller = run_all(loaded(vast.url, values()), expected=4)
    assert all(loop.runs.success for loop in poller.loops)
    shown = text(poller)
    for account in KEYS:
        assert f'vastai_instance_info{{account="{account}",' in shown
        assert f'vastai_account_credit_dollars{{account="{account}"}}' in shown
    assert {asked.user_agent for asked in vast.requests} == {f"vastai-exporter/{__version__}"}


def test_an_account_without_a_valid_key_does_not_touch_the_other(
    vast: SimulatedVast, run_all: Callable[..., Poller]
) -> None:
    vast.revoke("two")
    poller = run_all(loaded(vast.url, values()), expected=2)
    assert [loop.runs.success for loop in poller.loops] == [True, True, False, False]
    shown = text(poller)
    assert 'vastai_instance_info{account="one",' in shown
    assert 'vastai_instance_info{account="two",' not in shown
    for collector in ("instances", "account"):
        labels = f'account="two",collector="{collector}"'
        assert f"vastai_collector_success{{{labels}}} 0\n" in shown
        assert f'vastai_collector_failures_total{{{labels},reason="auth"}} 1\n' in shown


def test_a_collector_that_fails_does_not_touch_the_other_of_its_account(
    vast: SimulatedVast, run_all: Callable[..., Poller]
) -> None:
    vast.faults.always(USER, json_reply({"error": "auth_error"}, 403))
    poller = run_all(loaded(vast.url, values()), expected=2)
    assert [loop.runs.success for loop in poller.loops] == [True, False, True, False]
    vast.faults.clear()
    vast.faults.always(INSTANCES, json_reply({"error": "auth_error"}, 403))
    poller = run_all(loaded(vast.url, values()), expected=2)
    assert [loop.runs.success for loop in poller.loops] == [False, True, False, True]


def test_a_rotated_key_is_used_without_a_restart(
    vast: SimulatedVast, run_all: Callable[..., Poller], tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text(KEYS["one"])
    poller = run_all(loaded(vast.url, {"one": Key(path=path)}, account={"enabled": False}), expected=1)
    (loop,) = poller.loops
    vast.rotate("the-next-key")
    assert not loop.run_once()
    assert loop.runs.error == "HTTP 404 (auth_error: Invalid user key)"
    path.write_text("the-next-key\n")
    assert loop.run_once()


def paths(poller: Poller, account: str) -> set[str]:
    """Return the paths that the request series of an account name."""
    found = re.findall(rf'vastai_api_requests_total{{account="{account}",path="([^"]+)"', text(poller))
    return set(found)


def test_a_reload_takes_away_the_series_of_what_is_switched_off_and_leaves_the_rest(
    vast: SimulatedVast, run_all: Callable[..., Poller]
) -> None:
    poller = run_all(loaded(vast.url, values()), expected=4)
    kept = {loop.job.id: loop for loop in poller.loops}
    poller.apply(loaded(vast.url, {"one": values()["one"]}, account={"enabled": False}))
    (loop,) = poller.loops
    assert loop is kept["one", "instances"]
    assert loop.store.snapshot.parts
    assert paths(poller, "one") == {INSTANCES}
    assert paths(poller, "two") == set()
    shown = text(poller)
    assert 'collector="account"' not in shown
    assert 'account="two"' not in shown
    assert USER not in shown


def test_a_reload_starts_what_is_new(vast: SimulatedVast, run_all: Callable[..., Poller]) -> None:
    poller = run_all(loaded(vast.url, {"one": values()["one"]}), expected=2)
    poller.apply(loaded(vast.url, values()))
    assert [loop.job.id for loop in poller.loops] == [
        (account, collector) for account in KEYS for collector in ("instances", "account")
    ]
    until = time.monotonic() + 60
    while not all(loop.runs.success for loop in poller.loops):
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_group_that_is_left_out_goes_at_once_and_one_that_comes_is_there_after_the_next_run(
    vast: SimulatedVast, run_all: Callable[..., Poller]
) -> None:
    poller = run_all(loaded(vast.url, values()), expected=4)
    loops = poller.loops
    assert "vastai_instance_dlperf{" in text(poller)
    less = {"groups": ["status", "money"]}
    poller.apply(loaded(vast.url, values(), instances=less))
    shown = text(poller)
    assert "vastai_instance_dlperf" not in shown
    assert "vastai_instance_info{" in shown
    assert poller.loops == loops  # what is known stays
    for loop in loops:
        assert loop.run_once()
    poller.apply(loaded(vast.url, values()))
    assert "vastai_instance_dlperf" not in text(poller)
    for loop in loops:
        assert loop.run_once()
    assert "vastai_instance_dlperf{" in text(poller)
