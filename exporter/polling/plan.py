"""Compare two configurations: which jobs to start, keep and stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.polling.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps from the current jobs to the wanted ones.

    Attributes:
        stop: removed jobs, and jobs that now request something else; their data and series go.
        keep: jobs that request the same, perhaps on another schedule, in their new form; their data stays.
        start: new jobs, and jobs that now request something else.

    """

    stop: tuple[Job, ...]
    keep: tuple[Job, ...]
    start: tuple[Job, ...]


def plan(before: Iterable[Job], wanted: Iterable[Job]) -> Plan:
    """Return the steps after which exactly the `wanted` jobs run."""
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
