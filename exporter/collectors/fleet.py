"""The whole fleet in numbers: instances by status and label, GPUs by model; what happened, and what it cost.

What happened is counted from one reading to the next: by the page, as a page says all there is in its range.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from exporter.metrics import lines
from exporter.metrics.rows import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.collectors.base import Run
    from exporter.collectors.instance_target import Target
    from exporter.metrics.snapshot import Part, Snapshot
    from exporter.metrics.values import Number

#: What the API documents as actual_status; null is `provisioning`. Others are passed on as they come.
STATUSES = (
    "provisioning",
    "created",
    "loading",
    "running",
    "frozen",
    "stopped",
    "exited",
    "rebooting",
    "unknown",
    "offline",
)
#: The status of an instance whose actual_status is neither text nor null: it is counted nevertheless.
UNREADABLE = "unreadable"
#: The label that stands for all that are too many.
OTHER = "_other"
#: Pairs of statuses with a counter of their own: the documented ones make 110. The API may have others, and
#: what counts as `OTHER` beyond that is the pair of `OTHER` and `OTHER`.
MOST_CHANGES = 400
HOUR = 3600.0

_log = logging.getLogger(__name__)


class Member(NamedTuple):
    """What the fleet's numbers need of one instance.

    Attributes:
        status: as in its labels, or None where it can't be read.
        intended_status: what its user wants, "" where the API does not say.
        since: when this status was first seen (epoch).
        label: that its user gave it.
        gpu_name: the model of its GPUs.
        gpus: how many they are, or None where the API does not say.
        burn: dollars an hour that it costs now; 0 where that is not known.
        rental: how it is rented, as in its labels.
        verified: whether Vast.ai has verified its machine.
        machine_id: its machine, "" where the API does not say.
        gpu_price: dollars an hour for one of its GPUs, without the disk; None while none is paid for.
        end_date: when its contract ends (epoch), or None where the API does not say.
        queued: whether it starts as soon as others leave its GPU.
        target: where it can be reached, or None where that was not asked.

    """

    status: str | None
    intended_status: str
    since: float
    label: str
    gpu_name: str
    gpus: Number | None
    burn: float
    rental: str
    verified: bool
    machine_id: str
    gpu_price: Number | None
    end_date: Number | None
    queued: bool
    target: Target | None = None


class Rented(NamedTuple):
    """An instance, and whose it is: what those see that look at the fleets of all accounts."""

    account: str
    instance_id: int
    member: Member


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What has happened to a fleet since its first whole walk.

    Attributes:
        appeared: instances that were not there before.
        disappeared: instances that are no longer there.
        changes: changes of status, by the one before and the one after.
        burned: dollars, by label.

    """

    appeared: int = 0
    disappeared: int = 0
    changes: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    burned: Mapping[tuple[str, ...], float] = field(default_factory=dict)


INSTANCES = Metric(
    name="vastai_instances",
    help="Number of instances by status, including those that no instance has (API field actual_status).",
    labels=("account", "status"),
    notes="counted from the rows; 0 for each documented status that no instance has; null is provisioning,"
    " and what is neither text nor null is unreadable",
    group="status",
)
LABEL_INSTANCES = Metric(
    name="vastai_label_instances",
    help="Number of instances by user label and status (API fields label, actual_status).",
    labels=("account", "label", "status"),
    notes="only pairs that occur; above limits.labels labels, the smallest are counted as _other",
    group="status",
)
GPUS = Metric(
    name="vastai_gpus",
    help="Number of rented GPUs by model and status of the instance (API fields num_gpus, gpu_name,"
    " actual_status).",
    labels=("account", "gpu_name", "status"),
    notes="only pairs that occur",
    group="status",
)
API_INSTANCES = Metric(
    name="vastai_api_instances",
    help="Number of instances that the API reports; rows are missing if the sum of vastai_instances differs"
    " (API field total_instances).",
    notes="as the last page reports it",
    group="status",
)
APPEARED = Metric(
    name="vastai_instances_appeared_total",
    help="Total number of instances that appeared from one reading to the next (API field id).",
    type="counter",
    notes="counts from the first complete reading; misses what appears and disappears between two readings;"
    " each one is also logged",
    group="status",
)
DISAPPEARED = Metric(
    name="vastai_instances_disappeared_total",
    help="Total number of instances that disappeared from one reading to the next (API field id).",
    type="counter",
    notes="counts from the first complete reading; each one is also logged",
    group="status",
)
STATUS_CHANGES = Metric(
    name="vastai_status_changes_total",
    help="Total number of status changes from one reading to the next (API field actual_status).",
    type="counter",
    labels=("account", "from", "to"),
    notes=f"only pairs that occurred; each change is also logged; above {MOST_CHANGES} pairs, more than the"
    f" documented statuses make, new ones count as {OTHER}",
    group="status",
)
LABEL_BURNED = Metric(
    name="vastai_label_burned_dollars_total",
    help="Estimated cost of the instances by user label since the exporter started, excluding traffic (API"
    " fields label, actual_status, dph_total, storage_total_cost, instance).",
    type="counter",
    labels=("account", "label"),
    notes="by price and status, exact to one interval; above limits.labels labels, new ones count as _other",
    group="money",
)
SUMMARIES = (
    INSTANCES,
    LABEL_INSTANCES,
    GPUS,
    API_INSTANCES,
    APPEARED,
    DISAPPEARED,
    STATUS_CHANGES,
    LABEL_BURNED,
)


def summarise(
    account: str, parts: tuple[Part[int, Member], ...], snapshot: Snapshot[int, Member], most_labels: int
) -> Mapping[str, bytes]:
    """Return the lines of `SUMMARIES`; see `exporter.collectors.base.Summarise`."""
    statuses: Counter[tuple[str, ...]] = Counter({(status,): 0 for status in STATUSES})
    labels: Counter[tuple[str, ...]] = Counter()
    gpus: Counter[tuple[str, ...]] = Counter()
    for part in parts:
        for instance in part.items.values():
            status = instance.status or UNREADABLE
            statuses[status,] += 1
            labels[instance.label, status] += 1
            if instance.gpus is not None:
                gpus[instance.gpu_name, status] += instance.gpus  # type: ignore[assignment]  # gpus may be halves
    total = {} if snapshot.total is None else {(): snapshot.total}
    return {
        INSTANCES.name: lines.of_samples(INSTANCES, account, statuses.items()),
        LABEL_INSTANCES.name: lines.of_samples(LABEL_INSTANCES, account, folded(labels, most_labels).items()),
        GPUS.name: lines.of_samples(GPUS, account, gpus.items()),
        API_INSTANCES.name: lines.of_samples(API_INSTANCES, account, total.items()),
        **_history_lines(account, snapshot.memory or History()),
    }


def follow(
    run: Run, memory: History | None, before: Sequence[Part[int, Member]] | None, now: Part[int, Member]
) -> History:
    """Return the history with what a new part tells; see `exporter.collectors.paged.Follow`."""
    history, most = memory or History(), run.limits.labels
    burned = dict(history.burned)
    for each in now.items.values():
        _add(burned, each.label, 0.0, most)  # so that each series is there before it grows
    if before is None:
        return replace(history, burned=burned)
    changes: Counter[tuple[str, ...]] = Counter(history.changes)
    known: set[int] = set()
    for old in before:
        hours = (now.confirmed - old.confirmed) / HOUR
        members = {key: member for key, member in old.items.items() if now.holds(key)}
        known |= members.keys()
        for key, was in members.items():
            _add(burned, was.label, was.burn * hours, most)
            member = now.items.get(key)
            if member is not None and member.status != was.status:
                pair = was.status or UNREADABLE, member.status or UNREADABLE
                changes[pair if pair in changes or len(changes) < MOST_CHANGES else (OTHER, OTHER)] += 1
                _tell("status changed", run, key, {"from": was.status, "to": member.status}, member)
    appeared, disappeared = sorted(now.items.keys() - known), sorted(known - now.items.keys())
    for key in appeared:
        member = now.items[key]
        _tell("instance appeared", run, key, {"status": member.status}, member)
    for key in disappeared:
        _tell("instance disappeared", run, key)
    return History(
        appeared=history.appeared + len(appeared),
        disappeared=history.disappeared + len(disappeared),
        changes=dict(changes),
        burned=burned,
    )


def _add(burned: dict[tuple[str, ...], float], label: str, dollars: float, most: int) -> None:
    """Add to a label's sum; a label that has its series keeps it, and new ones beyond `most` are `OTHER`."""
    key = (label,) if (label,) in burned or len(burned) < most else (OTHER,)
    burned[key] = burned.get(key, 0.0) + dollars


def _tell(
    event: str, run: Run, instance: int, fields: Mapping[str, object] | None = None, now: Member | None = None
) -> None:
    """Log what happened to an instance; `docs/logs.md` has what these lines are read by."""
    ids: dict[str, object] = {"account": run.account, "instance_id": instance}
    intended = {} if now is None else {"intended_status": now.intended_status}
    _log.info(event, extra={"fields": {**ids, **(fields or {}), **intended}})


def _history_lines(account: str, history: History) -> dict[str, bytes]:
    return {
        APPEARED.name: lines.of_samples(APPEARED, account, [((), history.appeared)]),
        DISAPPEARED.name: lines.of_samples(DISAPPEARED, account, [((), history.disappeared)]),
        STATUS_CHANGES.name: lines.of_samples(STATUS_CHANGES, account, history.changes.items()),
        LABEL_BURNED.name: lines.of_samples(LABEL_BURNED, account, history.burned.items()),
    }


def folded(pairs: Counter[tuple[str, ...]], most: int) -> Counter[tuple[str, ...]]:
    """Return counts by (label, status) with all but the `most` largest labels added up as `OTHER`."""
    sizes: Counter[str] = Counter()
    for (label, _), count in pairs.items():
        sizes[label] += count
    if len(sizes) <= most:
        return pairs
    kept = set(sorted(sizes, key=lambda label: (-sizes[label], label))[:most])
    result: Counter[tuple[str, ...]] = Counter()
    for (label, status), count in pairs.items():
        result[label if label in kept else OTHER, status] += count
    return result
