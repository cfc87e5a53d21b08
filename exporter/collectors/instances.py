"""Every rented instance: its rows of the metric table, and the walk that fills them.

A row is the name behind `vastai_instance_`, a sentence, the API's field and its unit. Which units are
true, and where the vendor's own documents are wrong, is said in docs/metrics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.collectors import paged
from exporter.collectors.base import Collector, Progress, Run, fields_of
from exporter.collectors.fleet import SUMMARIES, Member, summarise
from exporter.metrics.fields import (
    NEGATIVE,
    NumberField,
    Record,
    TextField,
    flag_field,
    inner_field,
    number_field,
    text_field,
)
from exporter.metrics.rows import (
    BYTES_PER_SECOND,
    DOLLARS_PER_HOUR,
    GIB,
    GIGABYTE,
    MEGABIT,
    MEGABYTE,
    MIB,
    PERCENT,
    Condition,
    Row,
    field_row,
)
from exporter.metrics.values import Number, status
from exporter.vast.endpoints import Endpoint
from exporter.vast.pages import Listing, compact_json, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from fractions import Fraction

ENDPOINT = Endpoint("/api/v1/instances/", 1.0)
IDENTITY = ("account", "instance_id")

#: The API's mem_* fields hold KiB / 10^6.
MEMORY_UNIT = 1_024_000_000
#: While these last, the GPU is paid for.
GPU_BILLED = frozenset({"running", "frozen", "rebooting", "unknown"})

ACTUAL_STATUS = TextField(name="actual_status", read=status)
INTENDED_STATUS = TextField(name="intended_status", read=status)
LABEL = text_field("label")
GPU_NAME = text_field("gpu_name")
IS_BID = flag_field("is_bid")
NUM_GPUS = number_field("num_gpus")
CREDIT_BALANCE = number_field("credit_balance")
DPH_TOTAL = number_field("dph_total")
STORAGE_TOTAL_COST = number_field("storage_total_cost")
DISCOUNTED = inner_field("instance", "discountedTotalPerHour")
#: Texts that describe an instance: the label of the info metric, and the field.
DESCRIPTION = {
    "label": LABEL,
    "gpu_name": GPU_NAME,
    "image": text_field("image_uuid"),
    "template": text_field("template_name"),
    "machine_id": text_field("machine_id"),
    "host_id": text_field("host_id"),
    "geolocation": text_field("geolocation"),
    "verification": text_field("verification"),
}


@dataclass(frozen=True, slots=True)
class Instance(Record):
    """What the API said of one instance, and what follows from it.

    Attributes:
        status: as in its labels, or None where it can't be read.
        since: when this status was first seen (epoch), or None.

    """

    status: str | None
    since: float | None


RUNNING: Condition[Instance] = Condition(
    words="only while running", holds=lambda instance: instance.status == "running", fields=(ACTUAL_STATUS,)
)


def _row(
    suffix: str,
    meaning: str,
    field: NumberField,
    scale: Fraction | int = 1,
    *,
    when: Condition[Instance] | None = None,
    notes: str = "",
) -> Row[Instance]:
    """Return the row of a metric that is one field of the API, times `scale`."""
    name = f"vastai_instance_{suffix}"
    return field_row(name, meaning, field, scale, labels=IDENTITY, when=when, notes=notes)


def _one(_: Instance) -> Number:
    return 1


def _one_of_known_status(instance: Instance) -> Number | None:
    return None if instance.status is None else 1


def _burn(instance: Instance) -> Number | None:
    """Return what the instance costs now, by its state: dollars per hour."""
    if instance.status is None:
        return None
    if instance.status == "offline":
        return 0
    if instance.status not in GPU_BILLED:
        return instance.number(STORAGE_TOTAL_COST)
    discounted = instance.number(DISCOUNTED)
    return discounted if discounted is not None and discounted > 0 else instance.number(DPH_TOTAL)


def _rental(instance: Instance) -> str:
    if instance.number(IS_BID):
        return "interruptible"
    return "reserved" if (instance.number(CREDIT_BALANCE) or 0) > 0 else "on_demand"


INFO: Row[Instance] = Row(
    name="vastai_instance_info",
    help="Always 1; what describes an instance (API fields"
    f" {', '.join(field.name for field in DESCRIPTION.values())}, is_bid, credit_balance).",
    labels=(*IDENTITY, *DESCRIPTION, "rental"),
    notes="image is image_uuid and template is template_name;"
    " rental is interruptible if is_bid, else reserved if credit_balance is above 0, else on_demand",
    fields=(*DESCRIPTION.values(), IS_BID, CREDIT_BALANCE),
    value=_one,
    label_values=lambda instance: (*map(instance.text, DESCRIPTION.values()), _rental(instance)),
)
STATUS: Row[Instance] = Row(
    name="vastai_instance_status",
    help="Always 1; what the instance is and what its user wants it to be (API fields actual_status,"
    " intended_status).",
    labels=(*IDENTITY, "status", "intended_status"),
    notes="only the present pair; null is provisioning; any text of the API is passed on",
    fields=(ACTUAL_STATUS, INTENDED_STATUS),
    value=_one_of_known_status,
    label_values=lambda instance: (instance.status or "", instance.text(INTENDED_STATUS)),
)
STATUS_SINCE: Row[Instance] = Row(
    name="vastai_instance_status_since_timestamp_seconds",
    help="When this exporter first saw the present status (API field actual_status).",
    labels=IDENTITY,
    notes="a restart of the exporter starts it anew",
    fields=(ACTUAL_STATUS,),
    value=lambda instance: instance.since,
)
BURN: Row[Instance] = Row(
    name=f"vastai_instance_burn_{DOLLARS_PER_HOUR}",
    help="What the instance costs now, by its status, without bandwidth (API fields dph_total,"
    " storage_total_cost, instance).",
    labels=IDENTITY,
    notes="running, frozen, rebooting, unknown: instance.discountedTotalPerHour if above 0, else dph_total;"
    " offline: 0; any other: storage_total_cost",
    fields=(ACTUAL_STATUS, DPH_TOTAL, STORAGE_TOTAL_COST, DISCOUNTED),
    value=_burn,
)

ROWS: tuple[Row[Instance], ...] = (
    INFO,
    STATUS,
    STATUS_SINCE,
    _row("num_gpus", "GPUs rented", NUM_GPUS),
    _row("gpu_frac_ratio", "Share of the machine's GPUs", number_field("gpu_frac")),
    _row(
        "gpu_util_ratio",
        "GPU utilisation",
        number_field("gpu_util", unknown=NEGATIVE),
        PERCENT,
        when=RUNNING,
        notes="one value for all GPUs of the instance",
    ),
    _row("gpu_temp_celsius", "GPU temperature", number_field("gpu_temp"), when=RUNNING),
    _row("vmem_usage_bytes", "GPU memory in use", number_field("vmem_usage"), GIB, when=RUNNING),
    _row("gpu_ram_bytes", "Memory of one GPU", number_field("gpu_ram"), MIB),
    _row("gpu_totalram_bytes", "Memory of all GPUs rented", number_field("gpu_totalram"), MIB),
    _row(
        "cpu_util_ratio",
        "CPU utilisation, of a scale that the vendor does not confirm",
        number_field("cpu_util"),
        when=RUNNING,
        notes="as sent",
    ),
    _row("cpu_cores", "Virtual CPUs of the whole machine", number_field("cpu_cores")),
    _row("cpu_cores_effective", "Virtual CPUs allotted to the instance", number_field("cpu_cores_effective")),
    _row("cpu_ram_bytes", "Memory of the whole machine", number_field("cpu_ram"), MIB),
    _row("mem_usage_bytes", "Memory in use", number_field("mem_usage"), MEMORY_UNIT, when=RUNNING),
    _row("mem_limit_bytes", "Memory that the instance may use", number_field("mem_limit"), MEMORY_UNIT),
    _row(
        "disk_space_bytes",
        "Disk allotted to the instance",
        number_field("disk_space", unknown=NEGATIVE),
        GIGABYTE,
    ),
    _row("disk_usage_bytes", "Disk in use", number_field("disk_usage", unknown=NEGATIVE), GIGABYTE),
    _row(
        "disk_util_ratio",
        "Share of the disk in use",
        number_field("disk_util", unknown=NEGATIVE),
        notes="as sent",
    ),
    _row(
        f"inet_up_{BYTES_PER_SECOND}",
        "Measured upload speed of the machine's link, not traffic",
        number_field("inet_up"),
        MEGABIT,
    ),
    _row(
        f"inet_down_{BYTES_PER_SECOND}",
        "Measured download speed of the machine's link, not traffic",
        number_field("inet_down"),
        MEGABIT,
    ),
    _row(
        f"dph_total_{DOLLARS_PER_HOUR}", "Price of GPUs and disk while running, without bandwidth", DPH_TOTAL
    ),
    _row(
        f"dph_base_{DOLLARS_PER_HOUR}",
        "Price of the GPUs while running; of an interruptible one its bid",
        number_field("dph_base"),
    ),
    _row(
        f"storage_total_cost_{DOLLARS_PER_HOUR}",
        "Price of the disk, which is paid in every state but offline",
        STORAGE_TOTAL_COST,
    ),
    _row(f"min_bid_{DOLLARS_PER_HOUR}", "Lowest bid that holds the GPUs at present", number_field("min_bid")),
    BURN,
    _row("credit_balance_dollars", "Prepaid credit that is locked to this instance", CREDIT_BALANCE),
    _row("credit_discount_ratio", "Discount in force for prepaid credit", number_field("credit_discount")),
    _row(
        "credit_discount_max_ratio",
        "Largest discount for prepaid credit",
        number_field("credit_discount_max"),
    ),
    _row("start_timestamp_seconds", "When the contract began", number_field("start_date")),
    _row("end_timestamp_seconds", "When the contract ends", number_field("end_date")),
    _row("uptime_seconds", "How long the container has been up", number_field("uptime_mins"), 60),
    _row("reliability_ratio", "Reliability of the host, 0 to 1", number_field("reliability2")),
    _row("dlperf", "The vendor's score for deep learning", number_field("dlperf")),
    _row(
        "total_flops",
        "Floating-point operations a second of all GPUs rented",
        number_field("total_flops"),
        10**12,
    ),
    _row(
        f"gpu_mem_bw_{BYTES_PER_SECOND}", "Bandwidth of the GPU memory", number_field("gpu_mem_bw"), GIGABYTE
    ),
    _row(f"pcie_bw_{BYTES_PER_SECOND}", "Bandwidth of PCIe", number_field("pcie_bw"), GIGABYTE),
    _row(f"bw_nvlink_{BYTES_PER_SECOND}", "Bandwidth of NVLink", number_field("bw_nvlink"), GIGABYTE),
    _row(f"disk_bw_{BYTES_PER_SECOND}", "Bandwidth of the disk", number_field("disk_bw"), MEGABYTE),
    _row("gpu_lanes", "PCIe lanes of a GPU", number_field("gpu_lanes")),
    _row("pci_gen", "PCIe generation", number_field("pci_gen")),
    _row("is_bid", "1 for an interruptible instance, which can be outbid", IS_BID),
    _row("rentable", "1 while the machine can be rented", flag_field("rentable")),
    _row("static_ip", "1 where the machine has a static address", flag_field("static_ip")),
    _row("external", "1 for an offer from outside the marketplace", flag_field("external")),
)
FIELDS = fields_of(ROWS)
#: What is asked of the API, and nothing else: rows hold tokens, environment variables and addresses too.
COLUMNS = ("id", *FIELDS.names)
LISTING = Listing(
    endpoint=ENDPOINT,
    rows="instances",
    key=id_of,
    params={
        "limit": "25",
        "order_by": compact_json([{"col": "id", "dir": "asc"}]),
        "select_cols": compact_json(COLUMNS),
    },
    limit=25,
    total="total_instances",
)


def collect(run: Run) -> Iterator[Progress]:
    """Walk every page; see `exporter.collectors.base.Collect`."""
    return paged.collect(run, LISTING, OBJECTS, {"select_filters": compact_json(dict(run.filters))})


def _complete(record: Record, row: Mapping[str, Any], before: Member | None, now: float) -> Instance:
    """Return a record with what follows from it: the status in words, and since when it has been that."""
    current = record.texts.get(ACTUAL_STATUS.name)
    if current is None and isinstance(
        row.get(ACTUAL_STATUS.name), str | None
    ):  # a blank says as little as null
        current = "provisioning"
    since = None
    if current is not None:
        since = before.since if before is not None and before.status == current else now
    return Instance(record.numbers, record.texts, current, since)


def _member(instance: Instance) -> Member:
    return Member(
        status=instance.status,
        since=instance.since or 0.0,
        label=instance.text(LABEL),
        gpu_name=instance.text(GPU_NAME),
        gpus=instance.number(NUM_GPUS),
    )


OBJECTS: paged.Objects[Instance, Member] = paged.Objects(
    identity=IDENTITY, fields=FIELDS, rows=ROWS, complete=_complete, item=_member
)

COLLECTOR = Collector(
    name="instances",
    title="Instances",
    about="every rented instance",
    permission="instance_read",
    endpoints=(ENDPOINT,),
    objects="instances",
    interval=60.0,
    stale_after=300.0,
    collect=collect,
    enabled=True,
    rows=ROWS,
    summaries=SUMMARIES,
    summarise=summarise,
    further_fields=("id", "total_instances"),
    opens="the instances' logs and SSH keys",
    uncertain=(
        "the scale of `cpu_util`, and that of `disk_util`",
        "what `gpu_util`, `gpu_temp` and `vmem_usage` of several GPUs are: mean, sum, largest or first",
        "whether `dph_base` of an interruptible instance is its bid",
        "what is billed in the states `rebooting` and `unknown`; the full price is assumed",
    ),
)
