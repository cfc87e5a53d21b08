"""The machine's clock is set: right after the start or later, by years, forwards or backwards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.polling.wall_clock import TOLERANCE, WallClock
from exporter.simulator import ManualClock, SimulatedVast
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

YEAR = 365 * 86400.0
START = 1_768_478_400.0
SINCE = "vastai_instance_status_since_timestamp_seconds"
SUCCESS = "vastai_collector_last_success_timestamp_seconds"
RELOADED = "vastai_exporter_config_last_reload_success_timestamp_seconds"


class Machine:
    """An exporter on a machine whose clock can be set."""

    def __init__(self, vast: SimulatedVast) -> None:
        self.clock, self.wall_clock = ManualClock(100.0), ManualClock(START)
        config = CONFIG.model_validate(
            {"api": {"url": vast.url, "min_interval": "0s"}, "collectors": {"account": {"enabled": False}}}
        )
        loaded = Loaded(config, (AccountKey("research", Key(value=vast.key), {}),), ())
        self._poller = Poller(loaded, redact=Redactor(), clock=self.clock, wall_clock=self.wall_clock)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.wall_clock.advance(seconds)

    def set_clock(self, seconds: float) -> None:
        """Set the clock forwards, or backwards."""
        self.wall_clock.advance(seconds)

    def walk(self) -> None:
        """Walk once over all instances."""
        assert self._poller.loops[0].run_once()

    def shown(self, metric: str) -> set[float]:
        """Return the values of a metric."""
        body = self._poller.exposition.body(openmetrics=False, gzip=False, process=False)
        text = b"".join(body.pieces).decode()
        return {float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE)}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with SimulatedVast(size=60, clock=ManualClock(), thresholds=False) as vast:
        yield Machine(vast)


@pytest.mark.parametrize("leap", [30 * YEAR, -30 * YEAR, 3600.0, -3600.0])
def test_a_clock_that_is_set_leaves_no_wrong_time_behind(machine: Machine, leap: float) -> None:
    machine.walk()
    machine.pass_by(60)
    machine.set_clock(leap)
    assert machine.shown(SUCCESS) == {START + leap}
    assert machine.shown(RELOADED) == {START + leap}
    machine.walk()
    assert machine.shown(SUCCESS) == {START + leap + 60}
    assert machine.shown(SINCE) == {START + leap}


def test_a_clock_that_is_set_again_and_again_is_followed(machine: Machine) -> None:
    machine.walk()
    for leap in (YEAR, -3 * YEAR, 5.0, 2 * YEAR - 5.0):
        machine.set_clock(leap)
        machine.pass_by(60)
        machine.walk()
    assert machine.shown(SINCE) == {START}
    assert machine.shown(SUCCESS) == {START + 240}


def test_what_failed_walks_have_left_moves_with_the_clock_too(machine: Machine) -> None:
    machine.walk()
    machine.set_clock(YEAR)
    machine.walk()
    machine.set_clock(-YEAR)
    machine.walk()
    assert machine.shown(SINCE) == {START}


def test_small_drifts_change_no_timestamp() -> None:
    clock, wall_clock = ManualClock(0.0), ManualClock(START)
    wall = WallClock(clock, wall_clock)
    for _ in range(9):
        wall_clock.advance(TOLERANCE / 10)
        assert wall.at(7.0) == START + 7
    wall_clock.advance(TOLERANCE)
    assert wall.at(7.0) == pytest.approx(START + 7 + 1.9 * TOLERANCE)
    assert wall() == wall_clock()
    assert wall.set_by() == pytest.approx(1.9 * TOLERANCE)


def test_a_thread_that_has_to_wait_between_both_clocks_sets_nothing() -> None:
    clock, wall_clock = ManualClock(0.0), ManualClock(START)
    delay = 0.0

    def slowly() -> float:
        clock.advance(delay)
        return wall_clock()

    wall = WallClock(clock, slowly)
    delay = 5.0
    wall_clock.advance(20.0)
    assert wall.at(0.0) == START
    delay = 0.0
    assert wall.at(0.0) == START + 15.0
