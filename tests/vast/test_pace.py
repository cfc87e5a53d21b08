"""No two requests to one endpoint with one key come closer than its threshold and a tenth."""

from __future__ import annotations

import heapq
from itertools import count, pairwise
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import instances
from exporter.simulator import INSTANCES, SimulatedVast, starts
from exporter.vast.endpoints import Endpoint
from exporter.vast.pace import FORGOTTEN_AFTER, LONGEST_WAIT, MARGIN, Pace, Paces
from exporter.vast.pages import walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_api import ClientSetup, VirtualTime

LIST = Endpoint("/list/", 1.0)
SLOW = Endpoint("/slow/", 5.5)
#: Sums of floating-point seconds are this exact.
CLOSE = 1e-6

seconds = st.floats(0, 20, allow_subnormal=False)


class Asks(NamedTuple):
    """What one loop does: it asks, having thought; then its connection takes a while."""

    endpoint: Endpoint
    key: str
    rounds: list[tuple[float, float]]


class Later(Exception):  # noqa: N818 - not an error
    """In place of a wait."""


def not_now(delay: float) -> NoReturn:
    raise Later(delay)


def play(loops: list[Asks], lateness: Callable[[], float]) -> dict[tuple[str, str], tuple[list[float], ...]]:
    """Let loops go on side by side; return when requests had their turns and left, by endpoint and key.

    Nobody wakes before their time, but after it by as much as `lateness` says.
    """
    now, order = 0.0, count()
    paces = Paces(clock=lambda: now)
    seen: dict[tuple[str, str], tuple[list[float], ...]] = {}
    events: list[tuple[float, int, Callable[[], None]]] = []

    def at(when: float, what: Callable[[], None]) -> None:
        heapq.heappush(events, (when, next(order), what))

    def ask(loop: Asks, left: list[tuple[float, float]]) -> None:
        pace = paces.of(loop.key)
        turns, departures = seen.setdefault((loop.endpoint.path, loop.key), ([], []))
        try:
            pace.turn(loop.endpoint, not_now)
        except Later as later:
            at(now + later.args[0] + lateness(), lambda: ask(loop, left))
            return
        turns.append(now)

        def leave() -> None:
            pace.leaving(loop.endpoint)
            departures.append(now)
            if left[1:]:
                at(now + left[1][0], lambda: ask(loop, left[1:]))

        at(now + left[0][1], leave)

    for loop in loops:
        at(loop.rounds[0][0], lambda loop=loop: ask(loop, loop.rounds))  # type: ignore[misc]
    while events:
        now, _, what = heapq.heappop(events)
        what()
    return seen


def rounds(connecting: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[float, float]]]:
    return st.lists(st.tuples(seconds, connecting), min_size=1, max_size=8)


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(sorted(times))]


@given(
    st.lists(
        st.builds(Asks, st.sampled_from([LIST, SLOW]), st.sampled_from(["a", "b"]), rounds(st.floats(0, 1))),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.floats(0, 0.5), min_size=1, max_size=5),
)
def test_any_number_of_loops_with_one_key_keep_its_pace_together(
    loops: list[Asks], delays: list[float]
) -> None:
    turn = count()
    seen = play(loops, lambda: delays[next(turn) % len(delays)])
    for endpoint in (LIST, SLOW):
        for key in ("a", "b"):
            for times in seen.get((endpoint.path, key), ()):
                assert all(gap >= endpoint.threshold * MARGIN - CLOSE for gap in gaps(times))
    asked = sum(len(loop.rounds) for loop in loops)
    assert sum(len(departures) for _, departures in seen.values()) == asked


@given(rounds(seconds))
def test_however_long_a_connection_takes_the_next_request_leaves_in_time(
    one: list[tuple[float, float]],
) -> None:
    _, departures = play([Asks(LIST, "a", one)], lambda: 0.0)["/list/", "a"]
    assert all(gap >= LIST.threshold * MARGIN - CLOSE for gap in gaps(departures))


def started(pace: Pace, time: VirtualTime, endpoint: Endpoint, requests: int) -> list[float]:
    found = []
    for _ in range(requests):
        pace.turn(endpoint, time.wait)
        found.append(time.now)
    return found


def test_the_first_request_waits_for_nothing(time: VirtualTime) -> None:
    started(Pace(clock=time), time, LIST, 1)
    assert not time.waits


def test_each_following_one_waits_for_its_turn(time: VirtualTime) -> None:
    assert started(Pace(clock=time), time, LIST, 3) == pytest.approx([1000.0, 1001.1, 1002.2])


def test_who_comes_late_does_not_wait(time: VirtualTime) -> None:
    pace = Pace(clock=time)
    started(pace, time, LIST, 1)
    time.now += 1.2
    started(pace, time, LIST, 1)
    assert not time.waits


def test_endpoints_do_not_wait_for_each_other(time: VirtualTime) -> None:
    pace = Pace(clock=time)
    started(pace, time, LIST, 1)
    started(pace, time, SLOW, 1)
    assert not time.waits


@pytest.mark.parametrize("other", [Endpoint("/list/", 1.0, "POST"), Endpoint("/list/", 1.0, host="run")])
def test_a_path_has_a_pace_for_each_method_and_host(other: Endpoint, time: VirtualTime) -> None:
    pace = Pace(clock=time)
    started(pace, time, LIST, 1)
    pace.refused(LIST, threshold=4.0, retry_after=30.0)
    started(pace, time, other, 1)
    assert not time.waits


def test_an_endpoint_that_is_declared_twice_has_one_pace(time: VirtualTime) -> None:
    pace = Pace(clock=time)
    started(pace, time, LIST, 1)
    assert started(pace, time, Endpoint("/list/", 1.0), 1) == pytest.approx([1001.1])


def test_accounts_with_the_same_key_share_its_pace_and_others_do_not(time: VirtualTime) -> None:
    paces = Paces(clock=time)
    assert paces.of("same") is paces.of("same")
    started(paces.of("same"), time, LIST, 1)
    started(paces.of("other"), time, LIST, 1)
    assert not time.waits
    started(paces.of("same"), time, LIST, 1)
    assert time.waits == pytest.approx([1.1])


@pytest.mark.parametrize("interval", [0.0, 0.25, 90.0])
def test_a_configured_interval_overrides_the_documented_ones(interval: float, time: VirtualTime) -> None:
    pace = Paces(clock=time, min_interval=interval).of("key")
    assert pace.interval(LIST) == pace.interval(SLOW) == interval
    assert started(pace, time, LIST, 2)[1] == 1000.0 + interval


@pytest.mark.parametrize("interval", [None, 0.0])
def test_a_threshold_that_a_429_names_raises_the_pace_of_its_endpoint_only(
    interval: float | None, time: VirtualTime
) -> None:
    pace = Pace(clock=time, min_interval=interval)
    before = pace.interval(SLOW)
    pace.refused(LIST, threshold=2.0, retry_after=None)
    assert pace.interval(LIST) == pytest.approx(2.2)
    assert pace.interval(SLOW) == before


def test_a_threshold_that_a_429_names_never_lowers_the_pace(time: VirtualTime) -> None:
    pace = Pace(clock=time)
    for threshold in (3.0, 2.0, 0.1):
        pace.refused(LIST, threshold=threshold, retry_after=None)
    assert pace.interval(LIST) == pytest.approx(3.3)


def test_it_holds_for_the_request_that_comes_next(time: VirtualTime) -> None:
    pace = Pace(clock=time)
    started(pace, time, LIST, 1)
    pace.refused(LIST, threshold=4.0, retry_after=None)
    assert started(pace, time, LIST, 1) == pytest.approx([1004.4])


def test_neither_a_threshold_nor_retry_after_holds_us_for_more_than_a_minute(time: VirtualTime) -> None:
    pace = Pace(clock=time)
    started(pace, time, LIST, 1)
    pace.refused(LIST, threshold=999_999.0, retry_after=float("inf"))
    assert started(pace, time, LIST, 1) == [1000.0 + LONGEST_WAIT]


def test_retry_after_holds_all_that_use_the_key_but_one_endpoint_only(time: VirtualTime) -> None:
    paces = Paces(clock=time)
    paces.of("key").refused(LIST, threshold=None, retry_after=30.0)
    assert started(paces.of("key"), time, SLOW, 1) == [1000.0]
    assert started(paces.of("key"), time, LIST, 1) == [1030.0]


def test_a_shorter_retry_after_does_not_shorten_a_longer_one(time: VirtualTime) -> None:
    pace = Pace(clock=time)
    pace.refused(LIST, threshold=None, retry_after=30.0)
    pace.refused(LIST, threshold=None, retry_after=1.0)
    assert started(pace, time, LIST, 1) == [1030.0]


def test_what_is_known_of_a_key_is_forgotten_a_day_after_its_last_request(time: VirtualTime) -> None:
    paces = Paces(clock=time)
    kept, rotated = paces.of("kept"), paces.of("rotated")
    time.now += FORGOTTEN_AFTER
    assert paces.of("kept") is kept
    time.now += 1
    paces.of("new")  # whoever comes newly makes the old ones go
    assert paces.of("kept") is kept
    assert paces.of("rotated") is not rotated


def test_a_walk_is_never_refused_by_an_api_that_holds_us_to_its_threshold(setup: ClientSetup) -> None:
    with SimulatedVast(size=100, incidents=False, monotonic=setup.time) as vast:
        setup.url, setup.key = vast.url, vast.key
        pages = list(walk(setup.client(), instances.LISTING))
        arrived = starts(vast.requests, INSTANCES)
    assert len(pages) == len(arrived) == len(setup.attempts) > 3
    assert {attempt.code for attempt in setup.attempts} == {"200"}
    assert min(gaps(arrived)) >= 1.0
