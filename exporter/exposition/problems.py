"""Problems of instances for the landing page, with the names, conditions and order of the recording rules.

Only problems that follow from the latest readings are here; the recording rules have all of them. A test lets
the rules judge the same instances.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.collectors.fleet import Member

#: Seconds, as in deploy/prometheus/thresholds.yml.
DOWN_SECONDS = 120.0
STUCK_SECONDS = 900.0
ENDING_SECONDS = 86_400.0
TOLD_SECONDS = 86_400.0
#: Seconds for which an instance counts as a worker after its endpoint was last read, as in the rules.
WORKER_SECONDS = 3600.0
#: From this rank on, somebody should look at once.
URGENT_RANK = 7

STARTING = frozenset({"provisioning", "created", "loading"})
ON_ITS_WAY = STARTING | {"rebooting"}
#: Statuses without the problem `down`: all is well, or another problem covers them.
NOT_DOWN = ON_ITS_WAY | {"running", "frozen", "offline"}
#: Statuses in which the host may be offline; only a notification tells.
MAY_BE_OFFLINE = frozenset({"exited", "unknown"})
OFFLINE = "instance_offline"
#: Types of notifications; the latest of these tells whether the host is offline.
OFFLINE_OR_BACK = frozenset({OFFLINE, "instance_online", "instance_started", "instance_resumed"})


class Case(NamedTuple):
    """An instance, with the other facts that the rules use.

    Attributes:
        member: the instance.
        now: epoch seconds.
        worker: whether it is a worker of a serverless endpoint, started and stopped by the autoscaler.
        told_offline: whether its latest notification reports the host offline.

    """

    member: Member
    now: float
    worker: bool = False
    told_offline: bool = False

    @property
    def age(self) -> float:
        """Seconds since its status was first seen."""
        return self.now - self.member.since

    @property
    def remaining(self) -> float:
        """Seconds to the end of its contract."""
        return inf if self.member.end_date is None else self.member.end_date - self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A reason why an instance needs attention.

    Attributes:
        reason: the label `reason` of account_instance_reason:vastai_instance_trouble:rank.
        words: its name on the dashboard Fleet.
        rank: the value of the rule; higher is worse.
        holds: returns whether an instance has the problem.

    """

    reason: str
    words: str
    rank: int
    holds: Callable[[Case], bool]

    @property
    def urgent(self) -> bool:
        """Whether somebody should look at once."""
        return self.rank >= URGENT_RANK


def _offline(case: Case) -> bool:
    member = case.member
    lost = member.status == "offline" or (member.status in MAY_BE_OFFLINE and case.told_offline)
    return lost and member.intended_status != "stopped"


def _down(case: Case) -> bool:
    member = case.member
    lost = member.status is not None and member.status not in NOT_DOWN and member.intended_status == "running"
    return lost and case.age >= DOWN_SECONDS and not member.queued and not case.worker


def _boot_failed(case: Case) -> bool:
    member = case.member
    given_up = member.status in STARTING and member.intended_status == "stopped"
    return given_up and case.age >= DOWN_SECONDS and not case.worker


def _stuck(case: Case) -> bool:
    member = case.member
    starts = member.status in ON_ITS_WAY and member.intended_status != "stopped"
    return starts and case.age >= STUCK_SECONDS and not member.queued


def _queued(case: Case) -> bool:
    return case.member.queued and case.member.status != "running" and not case.worker


#: Worst first, as in the rules.
PROBLEMS = (
    Problem(reason="expired", words="contract ended", rank=12, holds=lambda case: case.remaining <= 0),
    Problem(reason="offline", words="host offline", rank=11, holds=_offline),
    Problem(reason="down", words="down", rank=10, holds=_down),
    Problem(reason="boot_failed", words="boot failed", rank=9, holds=_boot_failed),
    Problem(reason="stuck", words="stuck starting", rank=5, holds=_stuck),
    Problem(
        reason="ending",
        words="contract ending",
        rank=4,
        holds=lambda case: 0 < case.remaining < ENDING_SECONDS,
    ),
    Problem(reason="queued", words="queued for GPU", rank=3, holds=_queued),
)


def problems(cases: Iterable[Case]) -> tuple[tuple[Problem, int], ...]:
    """Return the problems of all instances, worst first, with the number of instances that have each."""
    counts: Counter[str] = Counter()
    for case in cases:
        counts.update(problem.reason for problem in PROBLEMS if problem.holds(case))
    return tuple((problem, counts[problem.reason]) for problem in PROBLEMS if counts[problem.reason])


def told_offline(latest: Mapping[tuple[int, str], float], now: float) -> frozenset[int]:
    """Return the instances that a notification of the last day, and no later one, reports offline.

    Args:
        latest: time of the latest notification (epoch), by instance and type.
        now: epoch seconds.

    """
    newest: dict[int, float] = {}
    for (instance, kind), created in latest.items():
        if kind in OFFLINE_OR_BACK:
            newest[instance] = max(created, newest.get(instance, created))
    return frozenset(
        instance
        for instance, created in newest.items()
        if created > now - TOLD_SECONDS and latest.get((instance, OFFLINE)) == created
    )
