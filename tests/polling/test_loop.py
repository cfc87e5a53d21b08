"""Whether a loop is alive, and how it ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from exporter.polling.loop import HUNG_AFTER, KEEP_CONNECTION
from exporter.vast.errors import AuthError, Stopped
from tests.support.loops import DOWN, INTERVAL, Script, drive, page, runs
from tests.support.scripted_api import PATIENCE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from exporter.collectors.base import Progress, Run
    from tests.support.loops import NewLoop
    from tests.support.scripted_api import Api, ClientSetup, VirtualTime


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
