"""When runs are due, what a failed one leaves and costs, what is logged of them, and how a loop ends."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import logs
from exporter.collectors import COLLECTORS, Collector
from exporter.collectors.base import Collect, Progress, Run
from exporter.config.models import CollectorSettings
from exporter.exposition.self_metrics import SelfMetrics
from exporter.logs import Redactor
from exporter.polling.job import Job
from exporter.polling.loop import HUNG_AFTER, KEEP_CONNECTION, Context, Loop
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import AuthError, NetworkError, Stopped
from exporter.vast.keys import Key
from tests.support.scripted_api import PATIENCE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.scripted_api import Api, ClientSetup, VirtualTime

    NewLoop = Callable[..., Loop]
    Logged = Callable[[], list[tuple[str, str, dict[str, Any]]]]

ENDPOINT = Endpoint("/api/v1/things/", 1.0)
INSTANCES = COLLECTORS[0]
INTERVAL = 60.0
#: The fields of every line that is about a scripted run.
THINGS = {"account": "research", "collector": "things"}
DOWN = NetworkError("the connection failed: Connection refused")


class Script:
    """A collector's runs, told beforehand: how many seconds each takes, and the error that it ends with.

    After the last one, the loop is stopped.
    """

    def __init__(self, time: VirtualTime, *runs: tuple[float, BaseException | None]) -> None:
        self.starts: list[float] = []
        self.stop: Callable[[], None] = lambda: None
        self._time = time
        self._runs = iter(runs)
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, _run: Run, /) -> Iterator[Progress]:
        self.starts.append(self._time.now)
        step = next(self._runs, None)
        if step is None:
            self.stop()
            return
        self.meanwhile()
        self._time.now += step[0]
        yield Progress(pages=2, objects=30, total=30)
        if step[1] is not None:
            raise step[1]

    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.starts)]


def things(collect: Collect) -> Collector:
    """A collector of things that are not there."""
    return Collector(
        name="things",
        title="Things",
        about="things",
        permission="none",
        endpoints=(ENDPOINT,),
        objects="things",
        interval=INTERVAL,
        stale_after=300.0,
        collect=collect,
    )


def drive(loop: Loop, time: VirtualTime, steps: int = 10**6) -> None:
    """Step a loop whenever it is due, which lets time pass, until it is stopped or has had its steps."""
    for _ in range(steps):
        if loop.stopped:
            return
        time.now = max(time.now, loop.due)
        loop.step()


@pytest.fixture
def new_loop(setup: ClientSetup) -> NewLoop:
    """Makes loops in virtual time; what they share is made anew for each."""
    setup.min_interval = 0.0

    def make(
        collect: Collect | None = None,  # in place of the instances' own
        *,
        key: Key | None = None,
        interval: float = INTERVAL,
        progress: Callable[[Job, Progress], None] = lambda _job, _progress: None,
        self_metrics: SelfMetrics | None = None,
        event: Callable[[], threading.Event] = setup.time.event,
        account: str = "research",
        exposed: set[Path] | None = None,
    ) -> Loop:
        job = Job(
            account=account,
            key=key or Key(value=setup.key),
            filters={},
            urls={"api": setup.url},
            collector=INSTANCES if collect is None else things(collect),
            settings=CollectorSettings.model_construct(
                enabled=True, interval=interval, stale_after=max(300.0, interval)
            ),
        )
        context = Context(
            options=setup.options(),
            self_metrics=self_metrics or SelfMetrics(),
            redact=Redactor(),
            progress=progress,
            event=event,
            exposed=exposed if exposed is not None else set(),
        )
        loop = Loop(job, context)
        if isinstance(collect, Script):
            collect.stop = loop.stop
        return loop

    return make


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """Returns what has been logged: level, message and fields."""
    caplog.set_level(logging.DEBUG, "exporter")
    return lambda: [
        (record.levelname, record.getMessage(), getattr(record, "fields", {})) for record in caplog.records
    ]


@pytest.fixture
def text(caplog: pytest.LogCaptureFixture, setup: ClientSetup) -> Callable[[], str]:
    """Returns what has been logged, as the daemon writes it; it knows the key."""
    caplog.set_level(logging.DEBUG, "exporter")
    redact = logs.Redactor()
    redact.learn(setup.key)
    formatter = logs.Formatter("logfmt", redact)
    return lambda: "\n".join(map(formatter.format, caplog.records))


def runs(*outcomes: BaseException | None, seconds: float = 0.0) -> list[tuple[float, BaseException | None]]:
    return [(seconds, outcome) for outcome in outcomes]


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
    said = "the run took longer than its interval, the next follows at once"
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
    assert ("INFO", "the key has changed, trying again", THINGS) in logged()


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


# What a failed run leaves


def page(*ids: int, token: str | None = None) -> dict[str, Any]:
    rows = [{"id": number, "actual_status": "running"} for number in ids]
    return {"instances": rows, "total_instances": len(rows), "next_token": token}


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


# Whether a loop is alive


def test_a_loop_in_good_health_has_no_trouble_however_long_it_waits(
    new_loop: NewLoop, time: VirtualTime
) -> None:
    script = Script(time, *runs(None, DOWN, AuthError("no"), seconds=20.0))
    loop = new_loop(script, interval=1000.0)
    time.most = 10**6
    found: list[str] = []
    script.meanwhile = lambda: found.append(loop.trouble())
    drive(loop, time)
    assert found == ["", "", ""]
    assert loop.trouble() == ""


def in_thread(task: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=task, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(PATIENCE)
    return not thread.is_alive()


def test_a_run_that_gives_no_sign_is_hung(new_loop: NewLoop, setup: ClientSetup) -> None:
    entered, release = threading.Event(), threading.Event()

    def collect(_run: Run) -> Iterator[Progress]:
        entered.set()
        release.wait()
        raise Stopped
        yield

    loop = new_loop(collect)
    thread = in_thread(loop.step)
    assert entered.wait(PATIENCE)
    setup.time.now += setup.timeout + HUNG_AFTER
    assert loop.trouble() == ""
    setup.time.now += 7
    assert loop.trouble() == "stalled, 7 s overdue"
    release.set()
    assert ended(thread)


def test_a_loop_that_nobody_runs_is_overdue(new_loop: NewLoop, time: VirtualTime) -> None:
    loop = new_loop(Script(time, *runs(None, None)))
    drive(loop, time, steps=1)
    time.now = loop.due + HUNG_AFTER
    assert loop.trouble() == ""
    time.now += 5
    assert loop.trouble() == "stalled, 5 s overdue"


def test_a_loop_that_waits_for_a_thread_is_not_the_one_in_trouble(
    new_loop: NewLoop, time: VirtualTime
) -> None:
    loop = new_loop(Script(time, *runs(None, None)))
    loop.queue()
    time.now += 10 * HUNG_AFTER
    assert loop.trouble() == ""
    loop.step()
    time.now = loop.due + HUNG_AFTER + 1
    assert loop.trouble() == "stalled, 1 s overdue"


def test_what_no_guard_holds_costs_its_run_only(new_loop: NewLoop, time: VirtualTime) -> None:
    def collect(_run: Run) -> Iterator[Progress]:
        raise SystemExit
        yield

    loop = new_loop(collect)
    with pytest.raises(SystemExit):
        loop.step()
    assert loop.due == time.now + INTERVAL
    assert loop.trouble() == ""


def test_a_run_that_got_no_thread_has_failed_and_comes_again(new_loop: NewLoop, time: VirtualTime) -> None:
    loop = new_loop(Script(time, *runs(None)))
    loop.fail("no thread for it: can't start new thread")
    assert loop.runs.failures == {"internal": 1}
    assert loop.runs.error == "no thread for it: can't start new thread"
    assert loop.due == time.now + 0.25 * INTERVAL * 0.75
    drive(loop, time, steps=1)
    assert loop.runs.success


# How it ends


class Waiting(threading.Event):
    """A real event which tells when somebody waits on it."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.entered.set()
        return super().wait(timeout)


@pytest.mark.parametrize("phase", ["turn", "back-off"])
def test_a_run_ends_in_every_kind_of_wait(
    phase: str, new_loop: NewLoop, api: Api, setup: ClientSetup
) -> None:
    waiting = Waiting()
    setup.min_interval = 3600.0
    if phase == "turn":
        api.replies.append(api.reply(page(1, token="a")))
    else:
        api.otherwise = api.reply(b"", 503)
    loop = new_loop(interval=3600.0, event=lambda: waiting)
    thread = in_thread(loop.step)
    assert waiting.entered.wait(PATIENCE)
    loop.stop()
    assert ended(thread)
    assert len(api.asked) == 1
    api.settle()  # its connection is closed


def test_a_loop_that_is_stopped_between_two_runs_closes_its_connection_and_runs_no_more(
    new_loop: NewLoop, api: Api, time: VirtualTime
) -> None:
    api.otherwise = api.reply(page(1))
    loop = new_loop(interval=KEEP_CONNECTION)
    drive(loop, time, steps=2)
    assert api.connections == 1
    loop.stop()
    assert loop.due <= time.now
    loop.step()
    api.settle()
    assert len(api.asked) == 2


def test_a_connection_is_not_kept_for_a_run_that_comes_much_later(
    new_loop: NewLoop, api: Api, time: VirtualTime
) -> None:
    api.otherwise = api.reply(page(1))
    loop = new_loop(interval=KEEP_CONNECTION + 1)
    drive(loop, time, steps=1)
    api.settle()
    drive(loop, time, steps=1)
    assert api.connections == 2
    assert loop.runs.success


def test_a_request_that_hangs_is_not_tried_again_once_the_loop_was_stopped(
    new_loop: NewLoop, api: Api
) -> None:
    asked, over = threading.Event(), threading.Event()

    def play(_connection: socket.socket) -> None:
        asked.set()
        over.wait()

    api.otherwise = play
    loop = new_loop(event=threading.Event)
    thread = in_thread(loop.step)
    assert asked.wait(PATIENCE)
    loop.stop()
    over.set()
    assert ended(thread)
    assert len(api.asked) == 1


def test_a_loop_that_is_stopped_in_a_run_begins_no_other(new_loop: NewLoop, time: VirtualTime) -> None:
    script = Script(time, (100.0, None), (100.0, None))
    loop = new_loop(script)
    script.meanwhile = loop.stop
    drive(loop, time)
    loop.step()
    assert len(script.starts) == 1


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
