"""What a new configuration means for what runs, for every key that can change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.collectors import COLLECTORS
from exporter.config.loading import AccountKey, Loaded
from exporter.config.models import config_model
from exporter.polling.job import NO_ACCOUNT, jobs
from exporter.polling.plan import plan
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from exporter.polling.job import Job

INSTANCES, ACCOUNT = (each for each in COLLECTORS if each.enabled)
MARKET = replace(ACCOUNT, name="market", scope="market", enabled=False)
ALL = (INSTANCES, ACCOUNT, MARKET)
CONFIG = config_model(ALL)
REAL = config_model(COLLECTORS)
KEYS = {"one": Key(value="1"), "two": Key(value="2")}


def loaded(
    keys: dict[str, Key] = KEYS, filters: dict[str, Any] | None = None, **settings: dict[str, Any]
) -> Loaded:
    config = CONFIG.model_validate({"api": {"url": "http://x"}, **settings})
    return Loaded(config, tuple(AccountKey(name, key, filters or {}) for name, key in keys.items()), ())


def found(configuration: Loaded, intervals: dict[str, float] | None = None) -> tuple[Job, ...]:
    return jobs(configuration, ALL, intervals or {})


def ids(some: tuple[Job, ...]) -> list[tuple[str, str]]:
    return [job.id for job in some]


BEFORE = found(loaded())
EVERYTHING = [("one", "instances"), ("one", "account"), ("two", "instances"), ("two", "account")]


def test_each_account_has_a_job_for_each_collector_that_is_on() -> None:
    assert ids(BEFORE) == EVERYTHING
    assert [(job.settings.interval, job.settings.stale_after) for job in BEFORE[:2]] == [
        (60.0, 300.0),
        (300.0, 1800.0),
    ]


def test_a_collector_can_be_switched_off_and_has_its_own_times() -> None:
    settings = {"instances": {"interval": "30s", "stale_after": "2m"}, "account": {"enabled": False}}
    some = found(loaded(collectors=settings))
    assert [(job.account, job.settings.interval, job.settings.stale_after) for job in some] == [
        ("one", 30.0, 120.0),
        ("two", 30.0, 120.0),
    ]


def test_intervals_may_be_given_in_place_of_the_configured_ones() -> None:
    assert [job.settings.interval for job in found(loaded(), {"instances": 15.0})] == [15.0, 300.0] * 2


def test_the_market_is_one_job_with_the_first_accounts_key() -> None:
    some = found(loaded(collectors={"market": {"enabled": True}}))
    assert ids(some) == [*EVERYTHING, (NO_ACCOUNT, "market")]
    assert some[-1].key == KEYS["one"]


def test_without_an_account_there_is_no_market_either() -> None:
    assert found(loaded({}, collectors={"market": {"enabled": True}})) == ()


def test_the_same_configuration_keeps_everything() -> None:
    todo = plan(BEFORE, found(loaded()))
    assert (ids(todo.stop), ids(todo.keep), ids(todo.start)) == ([], EVERYTHING, [])


@pytest.mark.parametrize(
    "settings",
    [
        {"collectors": {"instances": {"interval": "30s"}, "account": {"stale_after": "1h"}}},
        {"api": {"url": "http://x", "timeout": "5s", "min_interval": "2s"}},
        {"limits": {"labels": 7}},
        {"collectors": {"instances": {"groups": ["status"]}}},
        {"log": {"level": "debug", "format": "json"}},
    ],
    ids=["times", "api", "limits", "groups", "log"],
)
def test_what_changes_no_question_keeps_everything(settings: dict[str, Any]) -> None:
    wanted = found(loaded(**settings))
    todo = plan(BEFORE, wanted)
    assert (todo.stop, todo.keep, todo.start) == ((), wanted, ())


@pytest.mark.parametrize(
    "configuration",
    [
        loaded(api={"url": "http://y"}),
        loaded(filters={"label": {"eq": "x"}}),
        loaded({name: Key(value=f"other {key.value}") for name, key in KEYS.items()}),
    ],
    ids=["url", "select_filters", "key"],
)
def test_what_changes_the_question_begins_anew(configuration: Loaded) -> None:
    todo = plan(BEFORE, found(configuration))
    assert (ids(todo.stop), ids(todo.keep), ids(todo.start)) == (EVERYTHING, [], EVERYTHING)


def test_an_account_that_is_gone_is_stopped_and_touches_no_other() -> None:
    todo = plan(BEFORE, found(loaded({"two": KEYS["two"]})))
    assert (ids(todo.stop), ids(todo.keep), ids(todo.start)) == (EVERYTHING[:2], EVERYTHING[2:], [])


def test_a_new_account_is_started_and_touches_no_other() -> None:
    todo = plan(BEFORE, found(loaded({**KEYS, "three": Key(value="3")})))
    assert (ids(todo.stop), ids(todo.keep)) == ([], EVERYTHING)
    assert ids(todo.start) == [("three", "instances"), ("three", "account")]


def test_accounts_in_another_order_keep_everything() -> None:
    todo = plan(BEFORE, found(loaded(dict(reversed(KEYS.items())))))
    assert (todo.stop, ids(todo.keep), todo.start) == ((), EVERYTHING[2:] + EVERYTHING[:2], ())


def test_a_collector_that_is_switched_on_or_off_touches_no_other() -> None:
    off = found(loaded(collectors={"account": {"enabled": False}}))
    todo = plan(BEFORE, off)
    assert (ids(todo.stop), ids(todo.start)) == ([("one", "account"), ("two", "account")], [])
    todo = plan(off, BEFORE)
    assert (ids(todo.stop), ids(todo.start)) == ([], [("one", "account"), ("two", "account")])


def test_a_collectors_own_settings_change_its_question() -> None:
    (job, *_) = BEFORE
    other = replace(job, settings=job.settings.model_copy(update={"enabled": False}))
    assert not job.asks_the_same(other)


def test_a_market_whose_first_account_is_gone_asks_with_the_next_ones_key() -> None:
    switched_on = {"market": {"enabled": True}}
    before, wanted = (
        found(loaded(collectors=switched_on)),
        found(loaded({"two": KEYS["two"]}, collectors=switched_on)),
    )
    todo = plan(before, wanted)
    assert (NO_ACCOUNT, "market") in ids(todo.stop)
    assert [(job.id, job.key) for job in todo.start] == [((NO_ACCOUNT, "market"), KEYS["two"])]


def of_serverless(**api: str) -> tuple[Job, ...]:
    config = REAL.model_validate({"api": api, "collectors": {"serverless": {"enabled": True}}})
    return jobs(Loaded(config, (AccountKey("one", KEYS["one"], {}),), ()), COLLECTORS, {})


def test_a_collector_knows_just_the_hosts_that_it_asks() -> None:
    urls = {job.collector.name: job.urls for job in of_serverless()}
    console = {"api": "https://console.vast.ai"}
    assert urls == {
        "instances": console,
        "account": console,
        "serverless": {**console, "run": "https://run.vast.ai"},
    }


def test_another_host_for_workers_starts_only_what_asks_it_anew() -> None:
    todo = plan(of_serverless(), of_serverless(run_url="http://y"))
    assert (ids(todo.keep), ids(todo.start)) == (
        [("one", "instances"), ("one", "account")],
        [("one", "serverless")],
    )


def test_a_host_of_ones_own_is_the_only_one_unless_another_is_named() -> None:
    assert of_serverless(url="http://x")[-1].urls == {"api": "http://x", "run": "http://x"}
    named = of_serverless(url="http://x", run_url="https://run.vast.ai")
    assert named[-1].urls == {"api": "http://x", "run": "https://run.vast.ai"}
