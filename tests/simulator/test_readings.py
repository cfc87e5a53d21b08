from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from exporter.simulator import DEFAULT_START, Fleet
from exporter.simulator.fleet.instance_row import row
from exporter.simulator.fleet.machines import Quirk

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance

GPU = ("gpu_util", "gpu_temp", "vmem_usage", "cpu_util")


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet(1, 400, DEFAULT_START, incidents=False)


def running(fleet: Fleet, quirk: Quirk | None) -> list[Instance]:
    found = [i for i in fleet.roster if i.shown_status == "running" and i.contract.machine.quirk is quirk]
    assert found
    return found


def polls(instance: Instance, now: float, *names: str, hours: int = 1) -> list[tuple[object, ...]]:
    """What polls a minute apart see."""
    rows = [row(instance, now + 60 * minute, names) for minute in range(60 * hours)]
    return [tuple(fields.values()) for fields in rows]


def test_some_hosts_say_zero_every_second_time(fleet: Fleet) -> None:
    for instance in running(fleet, Quirk.ZEROS):
        seen = polls(instance, fleet.now, *GPU)
        zeros = [reading[0] == 0 and reading[2:] == (0, 0) for reading in seen]
        assert zeros in ([True, False] * 30, [False, True] * 30)
        assert {reading[1] for reading, zero in zip(seen, zeros, strict=True) if zero} == {0}


def test_some_hosts_have_no_reading_now_and_then_and_say_null(fleet: Fleet) -> None:
    for instance in running(fleet, Quirk.NULLS):
        seen = polls(instance, fleet.now, *GPU, "disk_util", "disk_usage", "mem_usage", hours=8)
        missing = [reading for reading in seen if reading[2] is None]
        assert set(missing) == {(None, None, None, 0.0, -1, -1, None)}
        assert 0 < len(missing) < len(seen) / 2


def test_of_other_hosts_memory_of_the_gpu_is_always_known(fleet: Fleet) -> None:
    for instance in running(fleet, None):
        assert all(usage[0] for usage in polls(instance, fleet.now, "vmem_usage"))


def test_on_one_machine_two_models_are_named_in_turn(fleet: Fleet) -> None:
    for instance in running(fleet, Quirk.TWO_MODELS):
        names = [name for (name,) in polls(instance, fleet.now, "gpu_name")]
        assert len(set(names)) == 2
        assert instance.contract.machine.gpu.name in names
        changes = sum(a != b for a, b in pairwise(names))
        assert changes == pytest.approx(20, abs=1)


def test_where_a_clock_is_behind_the_uptime_begins_below_zero() -> None:
    fleet = Fleet(1, 60, DEFAULT_START, incidents=False)
    instance = running(fleet, Quirk.CLOCK_BEHIND)[0]
    fleet.set_status(instance.id, "exited")
    fleet.set_status(instance.id, "running")
    assert row(instance, fleet.now)["uptime_mins"] == -4
    assert row(instance, fleet.now + 600)["uptime_mins"] == 6


@pytest.mark.parametrize("quirk", list(Quirk))
def test_a_fleet_of_sixty_has_every_oddity_and_mostly_none(quirk: Quirk) -> None:
    fleet = Fleet(1, 60, DEFAULT_START)
    assert 0 < len(running(fleet, quirk)) < 8
    assert len(running(fleet, None)) > 25


def test_the_disk_of_what_is_loading_is_unknown(fleet: Fleet) -> None:
    instance = fleet.instance(fleet.rent().id)
    fleet.set_status(instance.id, "loading")
    fields = row(instance, fleet.now, ("disk_util", "disk_usage", "gpu_util"))
    assert list(fields.values()) == [-1, -1, None]
