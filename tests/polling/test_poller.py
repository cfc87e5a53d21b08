"""All loops of a configuration, against a living API on a real socket."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from exporter import __version__
from exporter.config.loading import AccountKey, Loaded
from exporter.config.models import Config
from exporter.logs import Redactor
from exporter.polling.poller import Daemon, jobs
from exporter.simulator import INSTANCES, USER, SimulatedVast, json_reply
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.collectors.base import Progress
    from exporter.polling.loop import Job

KEYS = {"one": "the-key-of-one", "two": "the-key-of-two"}


@pytest.fixture
def vast() -> Iterator[SimulatedVast]:
    with SimulatedVast(size=3, key=KEYS["one"], thresholds=False) as served:
        served.add_account("two", KEYS["two"], size=4)
        yield served


def loaded(url: str, keys: dict[str, Key], **collectors: dict[str, Any]) -> Loaded:
    config = Config.model_validate(
        {"api": {"url": url, "min_interval": "0s", "timeout": "5s"}, "collectors": collectors}
    )
    return Loaded(config, tuple(AccountKey(name, key, {}) for name, key in keys.items()), ())


def values() -> dict[str, Key]:
    return {name: Key(value=key) for name, key in KEYS.items()}


def text(daemon: Daemon) -> str:
    return b"".join(daemon.exposition.body(openmetrics=False, gzip=False).pieces).decode()


def test_each_account_has_a_job_for_each_collector() -> None:
    found = jobs(loaded("http://x", values()), {})
    assert [(job.account, job.collector.name) for job in found] == [
        ("one", "instances"),
        ("one", "account"),
        ("two", "instances"),
        ("two", "account"),
    ]
    assert [(job.interval, job.stale_after) for job in found[:2]] == [(60.0, 300.0), (300.0, 1800.0)]


def test_a_collector_can_be_switched_off_and_has_its_own_times() -> None:
    settings: dict[str, dict[str, Any]] = {
        "instances": {"interval": "30s", "stale_after": "2m"},
        "account": {"enabled": False},
    }
    found = jobs(loaded("http://x", values(), **settings), {})
    assert [(job.account, job.interval, job.stale_after) for job in found] == [
        ("one", 30.0, 120.0),
        ("two", 30.0, 120.0),
    ]


def test_intervals_may_be_given_in_place_of_the_configured_ones() -> None:
    found = jobs(loaded("http://x", values()), {"instances": 15.0})
    assert [job.interval for job in found] == [15.0, 300.0, 15.0, 300.0]


@pytest.fixture
def run_all() -> Iterator[Callable[..., Daemon]]:
    """Starts the loops, and returns when each has told of its progress or has failed."""
    started: list[Daemon] = []

    def run(configuration: Loaded, expected: int) -> Daemon:
        told = threading.Semaphore(0)

        def progress(_job: Job, _progress: Progress) -> None:
            told.release()

        daemon = Daemon(configuration, redact=Redactor(), progress=progress)
        started.append(daemon)
        daemon.start()
        for _ in range(expected):
            assert told.acquire(timeout=10)
        while not all(loop.runs.ended for loop in daemon.loops):
            assert not [loop.trouble() for loop in daemon.loops if loop.trouble()]
            threading.Event().wait(0.005)
        return daemon

    yield run
    for daemon in started:
        daemon.stop()


def test_all_accounts_are_collected_side_by_side(vast: SimulatedVast, run_all: Callable[..., Daemon]) -> None:
    daemon = run_all(loaded(vast.url, values()), expected=4)
    assert all(loop.runs.success for loop in daemon.loops)
    shown = text(daemon)
    for account in KEYS:
        assert f'vastai_instance_info{{account="{account}",' in shown
        assert f'vastai_account_credit_dollars{{account="{account}"}}' in shown
    assert {asked.user_agent for asked in vast.requests} == {f"vastai-exporter/{__version__}"}


def test_an_account_without_a_valid_key_does_not_touch_the_other(
    vast: SimulatedVast, run_all: Callable[..., Daemon]
) -> None:
    vast.revoke("two")
    daemon = run_all(loaded(vast.url, values()), expected=2)
    assert [loop.runs.success for loop in daemon.loops] == [True, True, False, False]
    shown = text(daemon)
    assert 'vastai_instance_info{account="one",' in shown
    assert 'vastai_instance_info{account="two",' not in shown
    for collector in ("instances", "account"):
        labels = f'account="two",collector="{collector}"'
        assert f"vastai_collector_success{{{labels}}} 0\n" in shown
        assert f'vastai_collector_failures_total{{{labels},reason="auth"}} 1\n' in shown


def test_a_collector_that_fails_does_not_touch_the_other_of_its_account(
    vast: SimulatedVast, run_all: Callable[..., Daemon]
) -> None:
    vast.faults.always(USER, json_reply({"error": "auth_error"}, 403))
    daemon = run_all(loaded(vast.url, values()), expected=2)
    assert [loop.runs.success for loop in daemon.loops] == [True, False, True, False]
    vast.faults.clear()
    vast.faults.always(INSTANCES, json_reply({"error": "auth_error"}, 403))
    daemon = run_all(loaded(vast.url, values()), expected=2)
    assert [loop.runs.success for loop in daemon.loops] == [False, True, False, True]


def test_a_rotated_key_is_used_without_a_restart(
    vast: SimulatedVast, run_all: Callable[..., Daemon], tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text(KEYS["one"])
    daemon = run_all(loaded(vast.url, {"one": Key(path=path)}, account={"enabled": False}), expected=1)
    (loop,) = daemon.loops
    vast.rotate("the-next-key")
    assert not loop.run_once()
    assert loop.runs.error == "HTTP 404 (auth_error: Invalid user key)"
    path.write_text("the-next-key\n")
    assert loop.run_once()
