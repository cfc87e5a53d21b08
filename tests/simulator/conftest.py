from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.simulator import ManualClock, SimulatedVast

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> ManualClock:
    """The simulated time."""
    return ManualClock()


@pytest.fixture
def monotonic() -> ManualClock:
    """The clock that requests are held apart by."""
    return ManualClock(1000.0)


@pytest.fixture
def vast(clock: ManualClock, monotonic: ManualClock) -> Iterator[SimulatedVast]:
    """Sixty instances on a real socket, whose clocks stand still."""
    with SimulatedVast(size=60, clock=clock, monotonic=monotonic) as served:
        yield served
