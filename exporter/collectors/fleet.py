"""The whole fleet in numbers: instances by status, by label and status, GPUs by model and status."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from exporter.metrics import lines
from exporter.metrics.rows import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class Member(NamedTuple):
    """What the fleet's numbers need of one instance.

    Attributes:
        status: as in its labels, or None where it can't be read.
        since: when this status was first seen (epoch).
        label: that its user gave it.
        gpu_name: the model of its GPUs.
        gpus: how many they are, or None where the API does not say.

    """

    status: str | None
    since: float
    label: str
    gpu_name: str
    gpus: Number | None


INSTANCES = Metric(
    name="vastai_instances",
    help="Instances by status; every documented status is there (API field actual_status).",
    labels=("account", "status"),
    notes="counted from the rows; null is provisioning, what is neither text nor null is unreadable",
)
LABEL_INSTANCES = Metric(
    name="vastai_label_instances",
    help="Instances by the label that their user gave them, and status (API fields label, actual_status).",
    labels=("account", "label", "status"),
    notes="only pairs that occur; beyond limits.labels distinct labels the smallest are counted as _other",
)
GPUS = Metric(
    name="vastai_gpus",
    help="GPUs by model and status of their instance (API fields num_gpus, gpu_name, actual_status).",
    labels=("account", "gpu_name", "status"),
    notes="only pairs that occur",
)
API_INSTANCES = Metric(
    name="vastai_api_instances",
    help="Instances that the API says there are; other than the sum of vastai_instances, rows are missing"
    " (API field total_instances).",
    notes="as the last page said",
)
SUMMARIES = (INSTANCES, LABEL_INSTANCES, GPUS, API_INSTANCES)


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
