"""What a failed run leaves and costs, and what is logged of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from exporter.exposition.self_metrics import SelfMetrics
from exporter.vast.keys import Key
from tests.support.loops import DOWN, INSTANCES, THINGS, Script, drive, page, runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.collectors.base import Progress
    from exporter.polling.job import Job
    from exporter.polling.loop import Loop
    from tests.support.loops import Logged, NewLoop
    from tests.support.scripted_api import Api, ClientSetup, VirtualTime


# What a failed run leaves


def shown(loop: Loop) -> list[int]:
    return [key for part in loop.store.snapshot.parts for key in part.items]


def test_a_first_walk_that_fails_shows_nothing(new_loop: NewLoop, api: Api) -> None:
    loop = new_loop()
    api.replies += [api.reply(page(1, 2, token="a")), *3 * [api.reply(b"", 502)]]
    assert not loop.run_once()
    assert shown(loop) == []
    api.replies += [api.reply(page(1, 2, token="a")), api.reply(page(3))]
    assert loop.run_once()
    assert shown(loop) == [1, 2, 3]


@pytest.mark.parametrize("status", [400, 401, 429, 500, 200])
def test_a_walk_that_fails_leaves_what_was_known_but_for_the_pages_it_read(
    status: int, new_loop: NewLoop, api: Api
) -> None:
    loop = new_loop()
    api.replies += [api.reply(page(1, 2, token="a")), api.reply(page(3, 4))]
    assert loop.run_once()
    api.replies += [api.reply(page(2, token="a")), *3 * [api.reply(b"no object", status)]]
    assert not loop.run_once()
    assert shown(loop) == [2, 3, 4]


def test_zero_instances_are_a_success_after_which_nothing_is_shown(new_loop: NewLoop, api: Api) -> None:
    loop = new_loop()
    api.replies += [api.reply(page(1)), api.reply(page())]
    assert loop.run_once()
    assert loop.run_once()
    assert (shown(loop), loop.runs.objects, loop.runs.pages) == ([], 0, 1)


def test_each_failed_run_counts_once_by_its_reason(new_loop: NewLoop, api: Api) -> None:
    loop = new_loop()
    for reply in (api.reply(b"", 502), api.reply(b"", 502), api.reply(b"", 400), api.reply([])):
        api.otherwise = reply
        loop.run_once()
    assert loop.runs.failures == {"server_error": 2, "client_error": 1, "bad_reply": 1}
    assert loop.runs.failing == 4
    assert loop.runs.error == "HTTP 200, 2 bytes that are not a JSON object"


def test_pages_without_end_are_a_failure_as_incomplete(new_loop: NewLoop, api: Api) -> None:
    loop = new_loop()
    api.otherwise = api.reply(page(1, token="a"))
    assert not loop.run_once()
    assert loop.runs.failures == {"incomplete": 1}


def test_an_unexpected_error_costs_its_run_only(
    new_loop: NewLoop, time: VirtualTime, setup: ClientSetup, text: Callable[[], str]
) -> None:
    surprise = RuntimeError(f"{setup.key} in http://x/api/?select_cols=secret")
    script = Script(time, *runs(surprise, None))
    loop = new_loop(script)
    drive(loop, time)
    assert loop.runs.failures == {"internal": 1}
    assert len(script.starts) == 3
    said = text()
    assert "RuntimeError: <secret> in http://x/api/?<query>" in said
    assert "Traceback" in said
    assert setup.key not in said
    assert "select_cols" not in said


def test_what_an_operator_reads_of_an_unexpected_error_is_its_kind_only(
    new_loop: NewLoop, time: VirtualTime
) -> None:
    loop = new_loop(Script(time, *runs(KeyError("a row"))))
    assert not loop.run_once()
    assert loop.runs.error == "unexpected KeyError, see the log"


def test_an_error_in_telling_of_progress_is_a_failed_run_that_keeps_its_pages(
    new_loop: NewLoop, api: Api
) -> None:
    told = count()

    def progress(_job: Job, _progress: Progress) -> None:
        if next(told) == 1:
            raise OSError("nobody reads")

    loop = new_loop(progress=progress)
    api.otherwise = api.reply(page(1))
    assert [loop.run_once() for _ in range(3)] == [True, False, True]
    assert loop.runs.failures == {"internal": 1}
    assert shown(loop) == [1]


def test_an_error_in_counting_a_request_is_a_failed_run(new_loop: NewLoop, api: Api) -> None:
    class Broken(SelfMetrics):
        def request(self, *_: object) -> None:
            raise ValueError

    loop = new_loop(self_metrics=Broken())
    api.otherwise = api.reply(page(1))
    assert not loop.run_once()
    assert loop.runs.failures == {"internal": 1}


# What is logged


def test_a_walk_is_one_line(
    new_loop: NewLoop, api: Api, logged: Logged, caplog: pytest.LogCaptureFixture
) -> None:
    loop = new_loop()
    api.replies += [api.reply(page(1)), api.reply(b"slow down", 429)]
    api.replies += [api.reply(page(1, 2, token="a")), api.reply(page(3))]
    loop.run_once()
    caplog.clear()
    loop.run_once()
    fields = {"account": "research", "collector": "instances", "outcome": "success", "pages": 2}
    fields |= {"instances": 3, "seconds": 0.5, "requests": 3, "throttled": 1}
    events = {"instance appeared"}
    assert [line for line in logged() if line[1] not in events] == [("INFO", "run finished", fields)]


def test_a_failure_is_a_warning_with_a_count_and_its_end_one_line(
    new_loop: NewLoop, time: VirtualTime, logged: Logged
) -> None:
    drive(new_loop(Script(time, *runs(DOWN, DOWN, None, None))), time)
    levels = [(level, message) for level, message, _ in logged()]
    assert levels[:5] == [
        ("WARNING", "run failed"),
        ("WARNING", "run failed"),
        ("INFO", "run finished"),
        ("INFO", "recovered"),
        ("INFO", "run finished"),
    ]
    first, second, _, recovered, _ = (fields for _, _, fields in logged()[:5])
    outcome = {"outcome": "failure", "pages": 2, "things": 30, "seconds": 0.0, "requests": 0, "throttled": 0}
    error = {"reason": "network", "error": "the connection failed: Connection refused"}
    assert first == THINGS | outcome | error | {"failing": 1}
    assert second == first | {"failing": 2}
    assert recovered == THINGS | {"failures": 2}


def test_nothing_secret_is_logged_at_any_level(
    new_loop: NewLoop, api: Api, setup: ClientSetup, text: Callable[[], str]
) -> None:
    loop = new_loop()
    row = {"id": 1, "label": "needle-of-a-row"}
    api.replies += [
        api.reply({"instances": [row], "next_token": "needle-of-a-token"}),
        api.reply({"error": "invalid", "msg": f"{setup.key} at /api/?after_token=needle-of-a-token"}, 400),
    ]
    loop.run_once()
    said = text()
    assert "HTTP 400 (invalid: <key> at /api/)" in said
    assert "needle" not in said + loop.runs.error
    assert setup.key not in said + loop.runs.error


def test_a_key_file_that_everybody_can_read_is_warned_of_once(
    new_loop: NewLoop, time: VirtualTime, tmp_path: Path, logged: Logged
) -> None:
    open_to_all, closed = tmp_path / "open", tmp_path / "closed"
    for path, mode in ((open_to_all, 0o644), (closed, 0o640)):
        path.write_text("key")
        path.chmod(mode)
    exposed: set[Path] = set()
    for path in (open_to_all, open_to_all, closed):
        new_loop(Script(time), key=Key(path=path), exposed=exposed).warn_of_exposed_key()
    fields = {"account": "research", "file": open_to_all, "do": f"chmod 600 {open_to_all}"}
    said = [line for line in logged() if line[0] == "WARNING"]
    assert said == [("WARNING", "every user of this machine can read the key file", fields)]


# Accounts beside each other


def test_the_failures_of_one_account_do_not_touch_another(
    new_loop: NewLoop, api: Api, second_api: Api, setup: ClientSetup
) -> None:
    self_metrics = SelfMetrics()
    good = new_loop(account="good", self_metrics=self_metrics)
    setup.url = second_api.url
    bad = new_loop(account="bad", self_metrics=self_metrics)
    api.otherwise = api.reply(page(1, 2))
    second_api.otherwise = second_api.reset()
    for _ in range(2):
        assert [good.run_once(), bad.run_once()] == [True, False]
    assert (good.runs.failing, bad.runs.failing) == (0, 2)
    assert (shown(good), shown(bad)) == ([1, 2], [])
    text = self_metrics.lines(openmetrics=False, process=False).decode()
    assert 'vastai_collector_success{account="good",collector="instances"} 1\n' in text
    assert 'vastai_collector_success{account="bad",collector="instances"} 0\n' in text
    failures = 'vastai_collector_failures_total{{account="{}",collector="instances",reason="network"}} {}\n'
    assert failures.format("good", 0) in text
    assert failures.format("bad", 2) in text
    requests = 'vastai_api_requests_total{{account="{}",path="/api/v1/instances/",code="{}"}} {}\n'
    assert requests.format("good", "200", 2) in text
    assert requests.format("bad", "error", 6) in text


def test_a_key_that_lacks_a_permission_is_told_which(new_loop: NewLoop, api: Api) -> None:
    loop = new_loop()
    api.otherwise = api.reply({"detail": "Forbidden"}, 403)
    assert not loop.run_once()
    assert loop.runs.refused
    assert loop.runs.error == "HTTP 403 (Forbidden): the key may lack the permission instance_read"


def test_a_key_that_lacks_a_permission_that_is_not_documented_is_told_so(new_loop: NewLoop, api: Api) -> None:
    loop = new_loop()
    loop.job = replace(loop.job, collector=replace(INSTANCES, permission=""))
    api.otherwise = api.reply({"detail": "Forbidden"}, 403)
    assert not loop.run_once()
    lacks = "the key may lack a permission that is not documented"
    assert loop.runs.error == f"HTTP 403 (Forbidden): {lacks}"


def test_one_page_of_a_firewall_is_no_failure(new_loop: NewLoop, api: Api) -> None:
    loop = new_loop()
    api.replies += [api.reply(b"<html>Access denied", 403), api.reply(page(1, 2))]
    assert loop.run_once()
    assert (shown(loop), loop.runs.failures) == ([1, 2], {})


def test_filters_that_match_nothing_are_told_from_an_empty_account_once(
    new_loop: NewLoop, api: Api, logged: Logged
) -> None:
    loop = new_loop()
    api.otherwise = api.reply(page())
    assert loop.run_once()
    filters = {"gpu_name": {"in": ["RTX_4090"]}}
    loop.job = replace(loop.job, filters=filters)
    api.replies += [api.reply(page()), api.reply(page()), api.reply(page(1))]
    for _ in range(4):
        assert loop.run_once()
    told = [fields for level, said, fields in logged() if level == "WARNING" and "select_filters" in said]
    assert told == 2 * [{"account": "research", "collector": "instances", "select_filters": filters}]
