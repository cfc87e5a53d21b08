"""What the vendor does not document may not be there, or not for a key: that is told, and is no failure."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from exporter.collectors import COLLECTORS, Collector
from exporter.collectors.notifications import COLLECTOR as NOTIFICATIONS
from exporter.exposition.self_metrics import SelfMetrics
from exporter.logs import Redactor
from exporter.polling.job import Job
from exporter.polling.loop import Context, Loop
from exporter.vast.keys import Key
from exporter.web.landing import page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_api import Api, ClientSetup

#: What is documented, whoever asks.
INSTANCES = COLLECTORS[0]
ROW = {"event_id": "a", "notif_type": "outbid", "created_at": 1.79e9, "associated_id": {"instance_id": 7}}


@pytest.fixture
def new_loop(setup: ClientSetup) -> Callable[..., Loop]:
    def make(collector: Collector = NOTIFICATIONS) -> Loop:
        job = Job(
            account="research",
            key=Key(value=setup.key),
            filters={},
            urls={"api": setup.url},
            collector=collector,
            settings=collector.settings.model_validate({"enabled": True}),
        )
        redact = Redactor()
        context = Context(
            options=setup.options(),
            self_metrics=SelfMetrics(),
            redact=redact,
            progress=lambda *_: None,
            event=setup.time.event,
        )
        return Loop(job, context)

    return make


def metrics(loop: Loop) -> str:
    return loop.context.self_metrics.lines(openmetrics=False, process=False).decode()


def state(loop: Loop) -> str:
    return page((), [loop], links={}, now=1.8e9)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": "not_found", "msg": "no such route"}),
        (404, b"<html>Not Found</html>"),
        (410, {"error": "deprecated_endpoint", "msg": "use another"}),
        (403, {"detail": "You do not have permission"}),
        (401, {"error": "forbidden", "msg": "not for this key"}),
    ],
)
def test_what_the_api_does_not_have_or_not_for_this_key_is_not_available(
    new_loop: Callable[..., Loop], api: Api, status: int, body: object
) -> None:
    loop = new_loop()
    api.otherwise = api.reply(body, status)
    assert loop.run_once()
    assert (loop.runs.failures, loop.runs.error) == ({}, "")
    text = metrics(loop)
    labels = '{account="research",collector="notifications"}'
    assert f"vastai_collector_available{labels} 0\n" in text
    assert f"vastai_collector_success{labels} 1\n" in text
    assert "not available" in state(loop)
    assert f"HTTP {status}" in state(loop)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, {"error": "auth_error", "msg": "Invalid user key"}, "auth"),
        (403, {"error": "auth_error", "msg": "This action requires login."}, "auth"),
        (403, b"<html>Access denied", "bad_reply"),
        (400, {"error": "invalid_args"}, "client_error"),
        (500, {}, "server_error"),
        (200, {"success": False, "error": "not_found"}, "bad_reply"),
    ],
)
def test_a_key_that_is_not_accepted_and_all_other_errors_are_failures(
    new_loop: Callable[..., Loop], api: Api, status: int, body: object, reason: str
) -> None:
    loop = new_loop()
    api.otherwise = api.reply(body, status)
    assert not loop.run_once()
    assert loop.runs.failures == {reason: 1}
    assert "not available" not in state(loop)


def test_what_is_documented_has_failed(new_loop: Callable[..., Loop], api: Api) -> None:
    loop = new_loop(INSTANCES)
    api.otherwise = api.reply({"error": "not_found"}, 404)
    assert not loop.run_once()
    assert loop.runs.failures == {"client_error": 1}
    assert "vastai_collector_available" not in metrics(loop)


def test_it_is_available_again_as_soon_as_it_answers(new_loop: Callable[..., Loop], api: Api) -> None:
    loop = new_loop()
    api.replies += [api.reply({"error": "not_found"}, 404), api.reply({"notifications": [ROW]})]
    loop.run_once()
    loop.run_once()
    assert 'vastai_collector_available{account="research",collector="notifications"} 1\n' in metrics(loop)
    assert 'class="good">ok<' in state(loop)


def test_a_failure_after_it_is_a_failure(new_loop: Callable[..., Loop], api: Api) -> None:
    loop = new_loop()
    api.replies.append(api.reply({"error": "not_found"}, 404))
    api.otherwise = api.reply({}, 500)
    loop.run_once()
    loop.run_once()
    assert "failing (1 in a row)" in state(loop)


def test_it_is_warned_of_once_while_it_lasts_and_no_key_is_in_it(
    new_loop: Callable[..., Loop], api: Api, setup: ClientSetup, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    loop = new_loop()
    loop.context.redact.learn(setup.key)
    api.otherwise = api.reply({"error": "not_found", "msg": f"nothing for {setup.key}"}, 404)
    for _ in range(3):
        loop.run_once()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert {vars(record)["fields"]["outcome"] for record in caplog.records} == {"not available"}
    assert setup.key not in f"{[vars(record) for record in caplog.records]}{state(loop)}"


def test_what_was_known_stays_until_it_is_stale(new_loop: Callable[..., Loop], api: Api) -> None:
    loop = new_loop()
    api.replies += [api.reply({"notifications": [ROW]}), api.reply({"error": "not_found"}, 404)]
    loop.run_once()
    known = loop.store.snapshot
    loop.run_once()
    assert loop.store.snapshot is known


def test_only_what_is_switched_on_by_name_may_be_undocumented() -> None:
    assert not [each.name for each in COLLECTORS if each.undocumented and each.enabled]
