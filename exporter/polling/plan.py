"""Which jobs a new configuration starts, changes and stops: a pure comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.polling.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to come from some jobs to others.

    Attributes:
        stop: no longer wanted, or now asking something else: their data and series go.
        keep: asking the same as before, perhaps at other times: they keep their data; as they are now.
        start: new, or asking something else.

    """

    stop: tuple[Job, ...]
    keep: tuple[Job, ...]
    start: tuple[Job, ...]


def plan(before: Iterable[Job], wanted: Iterable[Job]) -> Plan:
    """Return what has to be done so that just the `wanted` jobs run."""
    running = {job.id: job for job in before}
    keep, start = [], []
    for job in wanted:
        known = running.get(job.id)
        if known is not None and known.asks_the_same(job):
            keep.append(job)
            del running[job.id]
        else:
            start.append(job)
    return Plan(stop=tuple(running.values()), keep=tuple(keep), start=tuple(start))
