"""Summarise the fleet: instances by status and label, GPUs by model, events and cost.

Events are counted between two readings of a page, since a page lists everything in its range.
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

#: Documented values of actual_status; null is `provisioning`. Other values are passed through.
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
#: Status of an instance whose actual_status is neither text nor null; it still counts.
UNREADABLE = "unreadable"
#: Label for all labels beyond the limit.
OTHER = "_other"
#: Maximum number of status pairs with their own counter; the documented statuses make 110. The API may have
#: others: beyond this limit, both labels are `OTHER`.
MOST_CHANGES = 400
HOUR = 3600.0

_log = logging.getLogger(__name__)


class Member(NamedTuple):
    """The part of an instance that the fleet's metrics need.

    Attributes:
        status: status as in its labels, or None if unreadable.
        intended_status: status that the user requested, or "".
        since: when this status was first seen (epoch).
        label: user-set label.
        gpu_name: GPU model.
        gpus: number of GPUs, or None if unknown.
        burn: current cost in dollars per hour; 0 if unknown.
        rental: rental type, as in its labels.
        verified: whether Vast.ai has verified its machine.
        machine_id: machine id, or "".
        gpu_price: current price per GPU in dollars per hour, without the disk; None while no GPU is billed.
        end_date: end of the contract (epoch), or None if unknown.
        queued: whether it waits for its GPU and starts once that is free.
        target: scrape target, or None if discovery is off.

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
    """An instance and its account, for collectors that look at all accounts."""

    account: str
    instance_id: int
    member: Member


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Events in a fleet since its first complete walk.

    Attributes:
        appeared: number of new instances.
        disappeared: number of instances that no longer exist.
        changes: number of status changes, by old and new status.
        burned: estimated dollars by label.

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
                gpus[instance.gpu_name, status] += instance.gpus  # type: ignore[assignment]  # fractional
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
    """Return the history updated with a new part; see `exporter.collectors.paged.Follow`."""
    history, most = memory or History(), run.limits.labels
    burned = dict(history.burned)
    for each in now.items.values():
        _add(burned, each.label, 0.0, most)  # so that each series exists before it grows
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
    """Add to a label's sum; a label with a series keeps it, and new ones beyond `most` go to `OTHER`."""
    key = (label,) if (label,) in burned or len(burned) < most else (OTHER,)
    burned[key] = burned.get(key, 0.0) + dollars


def _tell(
    event: str, run: Run, instance: int, fields: Mapping[str, object] | None = None, now: Member | None = None
) -> None:
    """Log an event of an instance; docs/logs.md describes the format."""
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
    """Return counts by (label, status), with all but the `most` largest labels summed as `OTHER`."""
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
