"""Steps begin when they are due, in as many threads as isolation needs and no more."""

from __future__ import annotations

import threading
import time as real_time
from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

import pytest

from exporter.polling.lanes import SHARED_THREADS, Lane, Lanes
from exporter.polling.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds in which anything that is waited for has happened, on however busy a machine.
PATIENCE = 60.0


class Collector:
    def __init__(self, name: str, *, enabled: bool) -> None:
        self.name = name
        self.enabled = enabled


class Job:
    def __init__(self, account: str, collector: str, *, enabled: bool) -> None:
        self.account = account
        self.collector = Collector(collector, enabled=enabled)


class Steps:
    """Stands for a loop: its steps take as long as a test wants, and are counted."""

    def __init__(
        self, account: str = "a", collector: str = "instances", *, enabled: bool = True, due: float = 0.0
    ) -> None:
        self.job = Job(account, collector, enabled=enabled)
        self.name = f"{collector} {account}"
        self.due = due
        self.stopped = False
        self.taken = 0
        self.errors: list[str] = []
        self.queued = 0
        self.entered = threading.Semaphore(0)
        self.proceed = threading.Event()
        self.proceed.set()
        self.meanwhile: Callable[[], None] = lambda: None

    def queue(self) -> None:
        self.queued += 1

    def step(self) -> None:
        self.due += 10.0
        self.taken += 1
        self.entered.release()
        assert self.proceed.wait(PATIENCE)
        self.meanwhile()

    def fail(self, error: str) -> None:
        self.errors.append(error)
        self.due += 10.0

    def has_entered(self) -> bool:
        return self.entered.acquire(timeout=PATIENCE)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scheduler(clock: Clock) -> Iterator[Scheduler]:
    made = Scheduler(clock)
    yield made
    made.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    until = real_time.monotonic() + PATIENCE
    while not condition():
        assert real_time.monotonic() < until, "it did not happen"
        real_time.sleep(0.002)


def runs(name: str) -> int:
    """How many threads of that name there are."""
    return sum(thread.name == name for thread in threading.enumerate())


def test_a_step_begins_when_it_is_due_and_comes_again(scheduler: Scheduler, clock: Clock) -> None:
    steps = Steps(due=5.0)
    scheduler.add(steps)  # type: ignore[arg-type]
    scheduler.begin_due()
    assert steps.queued == 0
    for now in (5.0, 15.0):
        clock.now = now
        scheduler.begin_due()
        assert steps.has_entered()
        wait_until(lambda: runs(steps.name) == 0)
    assert steps.taken == 2


def test_the_thread_of_the_scheduler_waits_for_the_next_one() -> None:
    scheduler = Scheduler(real_time.monotonic)
    steps = Steps(due=real_time.monotonic() + 0.05)
    scheduler.start()
    scheduler.add(steps)  # type: ignore[arg-type]
    assert steps.has_entered()
    later = Steps("b", due=real_time.monotonic() + 3600)
    scheduler.add(later)  # type: ignore[arg-type]
    later.due = 0.0
    scheduler.add(later)  # type: ignore[arg-type]
    assert later.has_entered()
    scheduler.stop()
    wait_until(lambda: runs("scheduler") == 0)


def test_only_the_newest_time_counts(scheduler: Scheduler, clock: Clock) -> None:
    steps = Steps(due=5.0)
    scheduler.add(steps)  # type: ignore[arg-type]
    steps.due = 100.0
    scheduler.add(steps)  # type: ignore[arg-type]
    clock.now = 50.0
    scheduler.begin_due()
    assert steps.queued == 0


def test_a_loop_never_has_two_steps_at_once(scheduler: Scheduler) -> None:
    steps = Steps(collector="volumes", enabled=False)
    steps.proceed.clear()
    scheduler.add(steps)  # type: ignore[arg-type]
    scheduler.begin_due()
    assert steps.has_entered()
    steps.due = 0.0
    scheduler.add(steps)  # type: ignore[arg-type]
    scheduler.begin_due()
    assert steps.queued == 1
    steps.proceed.set()
    wait_until(lambda: runs(steps.name) == 0)
    scheduler.begin_due()
    assert steps.has_entered()


def test_a_loop_that_was_stopped_takes_one_more_step_to_clean_up_and_no_other(
    scheduler: Scheduler, clock: Clock
) -> None:
    steps = Steps()
    steps.stopped = True
    scheduler.add(steps)  # type: ignore[arg-type]
    scheduler.begin_due()
    assert steps.has_entered()
    wait_until(lambda: runs(steps.name) == 0)
    clock.now = 1000.0
    scheduler.begin_due()
    assert steps.taken == 1


def test_what_a_step_raises_ends_no_lane_and_no_schedule(
    scheduler: Scheduler, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", logged.append)
    steps = Steps()

    def fail() -> None:
        raise SystemExit

    steps.meanwhile = fail
    scheduler.add(steps)  # type: ignore[arg-type]
    for now in (0.0, 10.0):
        clock.now = now
        scheduler.begin_due()
        assert steps.has_entered()
        wait_until(lambda: runs(steps.name) == 0)
    assert [args.exc_type for args in logged] == [SystemExit, SystemExit]


def test_a_step_for_which_there_is_no_thread_has_failed_and_comes_again(
    scheduler: Scheduler, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    steps = Steps()
    scheduler.add(steps)  # type: ignore[arg-type]
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        scheduler.begin_due()
    assert steps.errors == ["no thread for it: can't start new thread"]
    clock.now = 10.0
    scheduler.begin_due()
    assert steps.has_entered()


# Isolation


def test_what_hangs_delays_no_other_account_and_not_its_own_default_collectors(
    scheduler: Scheduler,
) -> None:
    hung = [
        Steps("a", "instances"),
        *(Steps("a", f"optional {n}", enabled=False) for n in range(SHARED_THREADS)),
    ]
    for each in hung:
        each.proceed.clear()
        scheduler.add(each)  # type: ignore[arg-type]
    scheduler.begin_due()
    assert all(each.has_entered() for each in hung)
    others = [Steps("a", "account"), Steps("b", "instances"), Steps("b", "optional 0", enabled=False)]
    for each in others:
        scheduler.add(each)  # type: ignore[arg-type]
    scheduler.begin_due()
    assert all(each.has_entered() for each in others)
    for each in hung:
        each.proceed.set()


def test_collectors_that_are_off_by_default_share_the_threads_of_their_account(
    scheduler: Scheduler,
) -> None:
    some = [Steps("shared", f"optional {n}", enabled=False) for n in range(SHARED_THREADS + 3)]
    for each in some:
        each.proceed.clear()
        scheduler.add(each)  # type: ignore[arg-type]
    scheduler.begin_due()
    assert sum(each.has_entered() for each in some[:SHARED_THREADS]) == SHARED_THREADS
    assert sum(runs(each.name) for each in some) == SHARED_THREADS
    assert [each.taken for each in some] == [1] * SHARED_THREADS + [0] * 3
    for each in some:
        each.proceed.set()
    assert all(each.has_entered() for each in some[SHARED_THREADS:])


def test_two_hundred_accounts_with_ten_collectors_have_at_most_eight_hundred_threads() -> None:
    lanes = Lanes()
    entered, proceed = threading.Semaphore(0), threading.Event()

    def task() -> None:
        entered.release()
        assert proceed.wait(PATIENCE)

    for account in range(200):
        for number in range(10):
            job = Job(str(account), str(number), enabled=number < 2)
            lanes.of(job).submit(task, "crowd")  # type: ignore[arg-type]
    for _ in range(800):
        assert entered.acquire(timeout=PATIENCE)
    assert runs("crowd") == 800
    proceed.set()
    for _ in range(1200):
        assert entered.acquire(timeout=PATIENCE)
    wait_until(lambda: runs("crowd") == 0)


def test_a_lane_keeps_the_order_of_what_waits() -> None:
    lane, done = Lane(1), threading.Event()
    proceed = threading.Event()
    order: list[int] = []

    def first() -> None:
        proceed.wait(PATIENCE)
        order.append(0)

    lane.submit(first, "lane")
    for number in (1, 2, 3):
        lane.submit(partial(order.append, number), "lane")
    lane.submit(done.set, "lane")
    proceed.set()
    assert done.wait(PATIENCE)
    assert order == [0, 1, 2, 3]


def test_a_lane_that_runs_something_is_the_one_of_its_job_and_an_idle_one_is_not_kept() -> None:
    lanes, proceed = Lanes(), threading.Event()
    job = Job("account", "instances", enabled=True)
    lane = ref(lanes.of(job))  # type: ignore[arg-type]
    assert lane() is None
    lanes.of(job).submit(lambda: bool(proceed.wait(PATIENCE)), "lane")  # type: ignore[arg-type]
    lane = ref(lanes.of(job))  # type: ignore[arg-type]
    assert lane() is not None
    proceed.set()
    wait_until(lambda: runs("lane") == 0)
    wait_until(lambda: lane() is None)
