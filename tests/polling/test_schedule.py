"""When runs are due: after successes, failures, a new key, and a changed configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.exposition.self_metrics import SelfMetrics
from exporter.logs import Redactor
from exporter.polling.loop import Context
from exporter.vast.errors import AuthError
from exporter.vast.keys import Key
from tests.support.loops import DOWN, INTERVAL, THINGS, Script, drive, page, runs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.loops import Logged, NewLoop
    from tests.support.scripted_api import Api, ClientSetup, VirtualTime


# When the next run comes


def test_runs_begin_an_interval_apart_however_long_they_take(new_loop: NewLoop, time: VirtualTime) -> None:
    script = Script(time, (0.0, None), (10.0, None), (59.0, None))
    drive(new_loop(script), time)
    assert script.gaps() == [INTERVAL, INTERVAL, INTERVAL]


def test_a_run_longer_than_its_interval_is_followed_at_once_and_counted(
    new_loop: NewLoop, time: VirtualTime, logged: Logged
) -> None:
    script = Script(time, (100.0, None), (60.0, None), (61.0, None))
    loop = new_loop(script)
    drive(loop, time)
    assert script.gaps() == [100.0, INTERVAL, 61.0]
    assert loop.runs.overruns == 2
    said = "run took longer than its interval; the next one starts at once"
    assert [line for line in logged() if line[1] == said] == [
        ("WARNING", said, THINGS | {"seconds": seconds, "interval": INTERVAL}) for seconds in (100.0, 61.0)
    ]


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.75), (0.5, 0.875)])
def test_pauses_after_failures_double_up_to_four_intervals(
    jitter: float, share: float, new_loop: NewLoop, setup: ClientSetup, time: VirtualTime
) -> None:
    setup.jitter = jitter
    script = Script(time, *runs(*7 * [DOWN], seconds=5.0))
    drive(new_loop(script), time)
    intervals = [0.25, 0.5, 1, 2, 4, 4, 4]
    assert script.gaps() == pytest.approx([5.0 + n * INTERVAL * share for n in intervals])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jitter=st.floats(0, 1, exclude_max=True),
    interval=st.floats(1, 60),
    errors=st.lists(st.sampled_from([DOWN, AuthError("no"), ValueError()]), min_size=1, max_size=10),
)
def test_no_pause_after_a_failure_is_longer_than_four_intervals(
    jitter: float, interval: float, errors: list[BaseException], new_loop: NewLoop, setup: ClientSetup
) -> None:
    setup.jitter = jitter
    setup.time.waits.clear()
    setup.time.most = 10**6
    script = Script(setup.time, *runs(*errors))
    drive(new_loop(script, interval=interval), setup.time)
    assert max(script.gaps()) <= 4 * interval * 1.000001
    assert min(script.gaps()) >= 0.25 * interval * 0.749999


def test_a_success_sets_the_pauses_back(new_loop: NewLoop, time: VirtualTime) -> None:
    script = Script(time, *runs(DOWN, DOWN, DOWN, None, DOWN))
    drive(new_loop(script), time)
    first = 0.25 * INTERVAL * 0.75
    assert script.gaps() == pytest.approx([first, 2 * first, 4 * first, INTERVAL, first])


def test_after_the_key_was_refused_the_pause_is_the_longest_at_once(
    new_loop: NewLoop, time: VirtualTime
) -> None:
    script = Script(time, *runs(AuthError("no"), AuthError("no"), DOWN))
    drive(new_loop(script), time)
    longest = 4 * INTERVAL * 0.75
    assert script.gaps() == pytest.approx([longest, longest, INTERVAL * 0.75])


def test_a_new_key_is_tried_within_a_second(
    new_loop: NewLoop, time: VirtualTime, tmp_path: Path, logged: Logged
) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    script = Script(time, *runs(AuthError("no")))
    loop = new_loop(script, key=Key(path=path))
    drive(loop, time, steps=21)
    path.write_text("new")
    drive(loop, time)
    assert script.gaps() == [20.0]
    assert ("INFO", "API key changed, retrying", THINGS) in logged()


def test_a_key_that_changes_while_it_is_being_refused_is_tried_at_once(
    new_loop: NewLoop, time: VirtualTime, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    script = Script(time, *runs(AuthError("no"), None, seconds=5.0))
    script.meanwhile = lambda: path.write_text("new")
    drive(new_loop(script, key=Key(path=path)), time)
    assert script.gaps() == [5.0, INTERVAL]


def test_a_key_file_that_comes_back_is_tried_at_once(
    new_loop: NewLoop, time: VirtualTime, tmp_path: Path, api: Api
) -> None:
    path = tmp_path / "key"
    loop = new_loop(key=Key(path=path))
    drive(loop, time, steps=4)
    assert not api.asked
    assert (loop.runs.failures, loop.runs.refused) == ({"auth": 1}, True)
    path.write_text("key")
    api.otherwise = api.reply(page(1))
    drive(loop, time, steps=1)
    assert (loop.runs.success, loop.runs.refused, loop.runs.error) == (True, False, "")


def test_other_options_count_from_the_next_request_on(
    new_loop: NewLoop, api: Api, setup: ClientSetup, time: VirtualTime
) -> None:
    loop = new_loop()
    api.otherwise = api.reply(page(1))
    assert loop.run_once()
    setup.min_interval = 7.0
    others = Context(
        options=setup.options(),
        self_metrics=SelfMetrics(),
        redact=Redactor(),
        progress=lambda _job, _progress: None,
    )
    assert loop.update(loop.job, others)
    assert [loop.run_once(), loop.run_once()] == [True, True]
    assert time.waits == [7.0]
    assert api.connections == 1


# When the configuration changes


def test_another_interval_counts_from_the_last_run_on(new_loop: NewLoop, time: VirtualTime) -> None:
    loop = new_loop(Script(time, *runs(None, None)))
    drive(loop, time, steps=1)
    started = time.now
    time.now += 10
    settings = loop.job.settings.model_copy(update={"interval": 20.0})
    assert loop.update(replace(loop.job, settings=settings), loop.context)
    assert (loop.due, loop.runs.interval) == (started + 20.0, 20.0)


def test_what_failed_is_tried_at_once_under_another_configuration(
    new_loop: NewLoop, time: VirtualTime
) -> None:
    loop = new_loop(Script(time, *runs(DOWN, None)))
    drive(loop, time, steps=1)
    time.now += 3
    settings = loop.job.settings.model_copy(update={"interval": 90.0})
    assert loop.update(replace(loop.job, settings=settings), loop.context)
    assert loop.due == time.now


def test_a_configuration_that_says_the_same_changes_nothing(new_loop: NewLoop, time: VirtualTime) -> None:
    loop = new_loop(Script(time, *runs(DOWN, None)))
    drive(loop, time, steps=1)
    due = loop.due
    time.now += 1
    assert not loop.update(replace(loop.job), replace(loop.context))
    assert loop.due == due
