"""Combine the instances of all accounts, for collectors that run once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors import instances
from exporter.collectors.fleet import Rented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from exporter.polling.loop import Loop

#: Seconds between checks whether the first runs have ended.
LOOK = 1.0


def whole_fleet(
    loops: Callable[[], Sequence[Loop]], clock: Callable[[], float], wait: Callable[[float], None]
) -> Iterator[Rented]:
    """Yield the fresh instances of each account.

    Args:
        loops: returns the current loops; called each time.
        clock: returns monotonic seconds.
        wait: sleeps until the first run of each account has ended, successful or not.

    Raises:
        Stopped: the wait was interrupted.

    """
    while any(not loop.runs.ended for loop in _walks(loops())):
        wait(LOOK)
    for loop in _walks(loops()):
        for part in loop.store.snapshot.fresh(clock(), loop.job.settings.stale_after):
            for instance_id, member in part.items.items():
                yield Rented(loop.job.account, instance_id, member)


def _walks(loops: Sequence[Loop]) -> Sequence[Loop]:
    return [loop for loop in loops if loop.job.collector.name == instances.COLLECTOR.name]
