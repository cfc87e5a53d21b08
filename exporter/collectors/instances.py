"""Collect all rented instances: their rows of the metric table, and the walk over their pages.

A row has a group, the name after `vastai_instance_`, a sentence, the API field and its unit. docs/metrics.md
explains the units, and where the vendor's own documentation is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from exporter.collectors import paged
from exporter.collectors.assumptions import instances as assumptions
from exporter.collectors.base import Collector, Progress, Run, fields_of
from exporter.collectors.fleet import SUMMARIES, Member, follow, summarise
from exporter.collectors.instance_record import (
    ACTUAL_STATUS,
    CPU_TELEMETRY,
    CPU_UTIL,
    CREDIT_BALANCE,
    CUR_STATE,
    DESCRIPTION,
    DISCOUNTED,
    DPH_TOTAL,
    END_DATE,
    GPU_NAME,
    GPU_TEMP,
    GPU_UTIL,
    INTENDED_STATUS,
    IS_BID,
    LABEL,
    NEXT_STATE,
    NUM_GPUS,
    RUNNING,
    STORAGE_TOTAL_COST,
    TELEMETRY,
    VERIFIED,
    Instance,
    current_status,
    moment,
    price,
    share,
)
from exporter.collectors.instance_target import TARGET_FIELDS, target_of
from exporter.config.models import GroupedSettings
from exporter.metrics.fields import NEGATIVE, Fields, NumberField, Record, flag_field, number_field
from exporter.metrics.rows import (
    BYTES_PER_SECOND,
    DOLLARS_PER_HOUR,
    GIB,
    GIGABYTE,
    KILOBYTE,
    MEGABIT,
    MEGABYTE,
    MIB,
    PERCENT,
    Condition,
    Row,
    field_row,
)
from exporter.vast.endpoints import Endpoint
from exporter.vast.pages import Listing, compact_json, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.metrics.values import Number

ENDPOINT = Endpoint("/api/v1/instances/", 1.0)
IDENTITY = ("account", "instance_id")

Group = Literal["status", "use", "money", "hardware", "network"]
#: Content of each group. Metrics that rules and dashboards use together are in one group, with the values
#: that they are compared with.
GROUPS: Mapping[str, str] = {
    "status": "what each instance is, how it is and since when, its contract, its host's reliability",
    "use": "GPU, CPU, memory and disk in use, and what there is of memory and disk",
    "money": "what each instance costs, its prices and its prepaid credit",
    "hardware": "what its machine has and can do",
    "network": "traffic and its price, the speed and the address of the link",
}

#: The API's mem_* fields contain KiB / 10^6.
MEMORY_UNIT = 1_024_000_000


def _row(
    group: Group,
    suffix: str,
    meaning: str,
    field: NumberField,
    scale: Fraction | int = 1,
    *,
    type: Literal["gauge", "counter"] = "gauge",  # noqa: A002 - Prometheus calls it that
    when: Condition[Instance] | None = None,
    notes: str = "",
) -> Row[Instance]:
    """Return the row of a metric that is one API field times `scale`."""
    name = f"vastai_instance_{suffix}"
    row = field_row(name, meaning, field, scale, labels=IDENTITY, type=type, when=when, notes=notes)
    return replace(row, group=group)


def _one(_: Instance) -> Number:
    return 1


def _one_of_known_status(instance: Instance) -> Number | None:
    return None if instance.status is None else 1


INFO: Row[Instance] = Row(
    name="vastai_instance_info",
    help="Always 1; the labels describe the instance (API fields"
    f" {', '.join(field.name for field in DESCRIPTION.values())}, is_bid, credit_balance).",
    labels=(*IDENTITY, *DESCRIPTION, "rental"),
    notes="image is image_uuid and template is template_name;"
    " rental is interruptible if is_bid, else reserved if credit_balance is above 0, else on_demand",
    fields=(*DESCRIPTION.values(), IS_BID, CREDIT_BALANCE),
    value=_one,
    label_values=lambda instance: (*map(instance.text, DESCRIPTION.values()), instance.rental()),
    group="status",
)
STATUS: Row[Instance] = Row(
    name="vastai_instance_status",
    help="Always 1; the actual and the intended status of the instance, as labels (API fields"
    " actual_status, intended_status).",
    labels=(*IDENTITY, "status", "intended_status"),
    notes="only the current pair; null is provisioning; any other text of the API is passed on",
    fields=(ACTUAL_STATUS, INTENDED_STATUS),
    value=_one_of_known_status,
    label_values=lambda instance: (instance.status or "", instance.text(INTENDED_STATUS)),
    group="status",
)
STATE: Row[Instance] = Row(
    name="vastai_instance_state",
    help="Always 1; the current and the next state of the hardware allocation, as labels (API fields"
    " cur_state, next_state).",
    labels=(*IDENTITY, "cur_state", "next_state"),
    notes="only the current pair; (stopped, running) means that others have taken the GPU: the instance"
    " starts, and costs, as soon as it is free",
    fields=(CUR_STATE, NEXT_STATE),
    value=lambda instance: 1 if instance.text(CUR_STATE) or instance.text(NEXT_STATE) else None,
    label_values=lambda instance: (instance.text(CUR_STATE), instance.text(NEXT_STATE)),
    group="status",
)
TELEMETRY_MISSING: Row[Instance] = Row(
    name="vastai_instance_telemetry_missing",
    help="1 if the API reports no GPU telemetry for the instance, else 0 (API fields gpu_util, gpu_temp).",
    labels=IDENTITY,
    notes="only while running; telemetry is missing if gpu_util is null, or gpu_temp is 0 or below",
    fields=(ACTUAL_STATUS, GPU_UTIL, GPU_TEMP),
    value=lambda instance: int(not instance.has_telemetry) if instance.is_running else None,
    group="status",
)
STATUS_SINCE: Row[Instance] = Row(
    name="vastai_instance_status_since_timestamp_seconds",
    help="Time at which the exporter first saw the current status of the instance (API field actual_status).",
    labels=IDENTITY,
    notes="a restart of the exporter resets it",
    fields=(ACTUAL_STATUS,),
    value=lambda instance: instance.since,
    group="status",
)
BURN: Row[Instance] = Row(
    name=f"vastai_instance_burn_{DOLLARS_PER_HOUR}",
    help="Current cost of the instance in its present status, excluding traffic (API fields dph_total,"
    " storage_total_cost, instance).",
    labels=IDENTITY,
    notes="running, frozen, rebooting, unknown: instance.discountedTotalPerHour if above 0, else dph_total;"
    " offline: 0; any other: storage_total_cost",
    fields=(ACTUAL_STATUS, DPH_TOTAL, STORAGE_TOTAL_COST, DISCOUNTED),
    value=Instance.burn,
    group="money",
)

ROWS: tuple[Row[Instance], ...] = (
    INFO,
    STATUS,
    STATE,
    STATUS_SINCE,
    TELEMETRY_MISSING,
    _row("status", "num_gpus", "Number of rented GPUs", NUM_GPUS),
    _row("status", "gpu_frac_ratio", "Share of the machine's GPUs that the instance has", share("gpu_frac")),
    _row(
        "use",
        "gpu_util_ratio",
        "GPU utilisation",
        GPU_UTIL,
        PERCENT,
        when=TELEMETRY,
        notes="the mean of the instance's GPUs",
    ),
    _row(
        "use",
        "gpu_temp_celsius",
        "GPU temperature",
        GPU_TEMP,
        when=TELEMETRY,
        notes="one value for all GPUs of the instance",
    ),
    _row(
        "use",
        "vmem_usage_bytes",
        "GPU memory in use",
        number_field("vmem_usage", least=0, most=100_000),
        GIB,
        when=TELEMETRY,
    ),
    _row("hardware", "gpu_ram_bytes", "Memory of one GPU", number_field("gpu_ram", least=0, most=1e8), MIB),
    _row(
        "hardware",
        "gpu_totalram_bytes",
        "Memory of all rented GPUs",
        number_field("gpu_totalram", least=0, most=1e9),
        MIB,
    ),
    _row(
        "use",
        "cpu_util_ratio",
        "Utilisation of the allotted virtual CPUs",
        CPU_UTIL,
        PERCENT,
        when=CPU_TELEMETRY,
        notes="measured as percent of the allotted CPUs, on machines of one size only",
    ),
    _row(
        "hardware",
        "cpu_cores",
        "Virtual CPUs of the whole machine",
        number_field("cpu_cores", least=0, most=1e5),
    ),
    _row(
        "hardware",
        "cpu_cores_effective",
        "Virtual CPUs allotted to the instance",
        number_field("cpu_cores_effective", least=0, most=1e5),
    ),
    _row(
        "hardware",
        "cpu_ram_bytes",
        "Memory of the whole machine",
        number_field("cpu_ram", least=0, most=1e9),
        MIB,
    ),
    _row(
        "use",
        "mem_usage_bytes",
        "Memory in use",
        number_field("mem_usage", least=0, most=1e6),
        MEMORY_UNIT,
        when=RUNNING,
    ),
    _row(
        "use",
        "mem_limit_bytes",
        "Memory limit of the instance",
        number_field("mem_limit", least=0, most=1e6),
        MEMORY_UNIT,
    ),
    _row(
        "use",
        "disk_space_bytes",
        "Disk allotted to the instance",
        number_field("disk_space", unknown=NEGATIVE, least=0, most=1e8),
        GIGABYTE,
    ),
    _row(
        "use",
        "disk_usage_bytes",
        "Disk in use",
        number_field("disk_usage", unknown=NEGATIVE, least=0, most=1e8),
        GIGABYTE,
    ),
    _row(
        "use",
        "disk_util_ratio",
        "Share of the disk in use",
        number_field("disk_util", unknown=NEGATIVE, least=0, most=1.1),
        notes="as sent",
    ),
    _row(
        "network",
        f"inet_up_{BYTES_PER_SECOND}",
        "Upload speed of the machine's link as Vast.ai measured it, not current traffic",
        number_field("inet_up", least=0, most=1e8),
        MEGABIT,
    ),
    _row(
        "network",
        f"inet_down_{BYTES_PER_SECOND}",
        "Download speed of the machine's link as Vast.ai measured it, not current traffic",
        number_field("inet_down", least=0, most=1e8),
        MEGABIT,
    ),
    _row(
        "network",
        "inet_up_billed_bytes_total",
        "Billed upload since the contract began",
        number_field("inet_up_billed", least=0, most=1e15),
        KILOBYTE,
        type="counter",
        notes="null before the first traffic; the measurement, exact to 2 %, does not tell whether a unit"
        " is 1000 or 1024 bytes",
    ),
    _row(
        "network",
        "inet_down_billed_bytes_total",
        "Billed download since the contract began",
        number_field("inet_down_billed", least=0, most=1e15),
        KILOBYTE,
        type="counter",
        notes="as inet_up_billed",
    ),
    _row(
        "network",
        "inet_up_cost_dollars_per_byte",
        "Price of uploaded traffic",
        number_field("inet_up_cost", least=0, most=1000),
        Fraction(1, GIGABYTE),
    ),
    _row(
        "network",
        "inet_down_cost_dollars_per_byte",
        "Price of downloaded traffic",
        number_field("inet_down_cost", least=0, most=1000),
        Fraction(1, GIGABYTE),
    ),
    _row(
        "money",
        f"dph_total_{DOLLARS_PER_HOUR}",
        "Price of GPUs and disk while running, excluding traffic",
        DPH_TOTAL,
        notes="exported in every status; the current cost is vastai_instance_burn_dollars_per_hour",
    ),
    _row(
        "money",
        f"dph_base_{DOLLARS_PER_HOUR}",
        "Price of the GPUs while running; for an interruptible instance, its bid",
        price("dph_base"),
    ),
    _row(
        "money",
        f"storage_total_cost_{DOLLARS_PER_HOUR}",
        "Price of the disk, charged in every status except offline",
        STORAGE_TOTAL_COST,
    ),
    _row(
        "money",
        f"min_bid_{DOLLARS_PER_HOUR}",
        "Lowest bid that would raise the current one, not the market price",
        price("min_bid"),
        notes="the larger of the machine's floor and 1.2 x the own bid, so it does not show that the"
        " instance was outbid",
    ),
    BURN,
    _row("money", "credit_balance_dollars", "Prepaid credit locked to the instance", CREDIT_BALANCE),
    _row("money", "credit_discount_ratio", "Current discount for prepaid credit", share("credit_discount")),
    _row(
        "money",
        "credit_discount_max_ratio",
        "Maximum discount for prepaid credit",
        share("credit_discount_max"),
    ),
    _row("status", "start_timestamp_seconds", "Start time of the rental contract", moment("start_date")),
    _row("status", "end_timestamp_seconds", "End time of the rental contract", END_DATE),
    _row(
        "status",
        "uptime_seconds",
        "Uptime of the container",
        number_field("uptime_mins", unknown=NEGATIVE, least=0, most=1e8),
        60,
    ),
    _row("status", "reliability_ratio", "Reliability score of the host, from 0 to 1", share("reliability2")),
    _row(
        "hardware",
        "dlperf",
        "Vast.ai's DLPerf score for deep learning performance",
        number_field("dlperf", least=0, most=1e9),
    ),
    _row(
        "hardware",
        "total_flops",
        "Floating-point operations per second of all rented GPUs",
        number_field("total_flops", least=0, most=1e9),
        10**12,
    ),
    _row(
        "hardware",
        f"gpu_mem_bw_{BYTES_PER_SECOND}",
        "GPU memory bandwidth",
        number_field("gpu_mem_bw", least=0, most=1e9),
        GIGABYTE,
    ),
    _row(
        "hardware",
        f"pcie_bw_{BYTES_PER_SECOND}",
        "PCIe bandwidth",
        number_field("pcie_bw", least=0, most=1e9),
        GIGABYTE,
    ),
    _row(
        "hardware",
        f"bw_nvlink_{BYTES_PER_SECOND}",
        "NVLink bandwidth",
        number_field("bw_nvlink", least=0, most=1e9),
        GIGABYTE,
    ),
    _row(
        "hardware",
        f"disk_bw_{BYTES_PER_SECOND}",
        "Disk bandwidth",
        number_field("disk_bw", least=0, most=1e9),
        MEGABYTE,
    ),
    _row("hardware", "gpu_lanes", "PCIe lanes per GPU", number_field("gpu_lanes", least=0, most=1e4)),
    _row("hardware", "pci_gen", "PCIe generation", number_field("pci_gen", least=0, most=100)),
    _row("status", "is_bid", "1 if the instance is interruptible and can be outbid, else 0", IS_BID),
    _row("status", "rentable", "1 if the machine can be rented, else 0", flag_field("rentable")),
    _row("network", "static_ip", "1 if the machine has a static IP address, else 0", flag_field("static_ip")),
    _row(
        "hardware",
        "external",
        "1 if the offer comes from outside the marketplace, else 0",
        flag_field("external"),
    ),
)
FIELDS = fields_of(ROWS)
#: The only columns requested: full rows also contain tokens, environment variables and addresses.
COLUMNS = ("id", *FIELDS.names)
#: Fields requested while discovery is on.
ADDRESSED_FIELDS = Fields([*(field for row in ROWS for field in row.fields), *TARGET_FIELDS])
ADDRESSED_COLUMNS = ("id", *ADDRESSED_FIELDS.names)


def _listing(columns: tuple[str, ...]) -> Listing[int]:
    return Listing(
        endpoint=ENDPOINT,
        rows="instances",
        key=id_of,
        params={
            "limit": "25",
            "order_by": compact_json([{"col": "id", "dir": "asc"}]),
            "select_cols": compact_json(columns),
        },
        limit=25,
        total="total_instances",
    )


LISTING = _listing(COLUMNS)
ADDRESSED_LISTING = _listing(ADDRESSED_COLUMNS)


def collect(run: Run) -> Iterator[Progress]:
    """Walk all pages; see `exporter.collectors.base.Collect`."""
    return paged.collect(run, LISTING, _shown(run, OBJECTS), _params(run))


def collect_addressed(run: Run) -> Iterator[Progress]:
    """Walk all pages, and request addresses too."""
    return paged.collect(run, ADDRESSED_LISTING, _shown(run, ADDRESSED_OBJECTS), _params(run))


def _shown(run: Run, objects: paged.Objects[Instance, Member]) -> paged.Objects[Instance, Member]:
    """Return `objects` without the rows of disabled groups."""
    return replace(objects, rows=[row for row in objects.rows if run.settings.shows(row.group)])


def _params(run: Run) -> Mapping[str, str]:
    return {"select_filters": compact_json(dict(run.filters))}


def _complete(record: Record, row: Mapping[str, Any], before: Member | None, now: float) -> Instance:
    """Return a record with derived values: the status, and since when it has lasted."""
    status = current_status(record, row)
    since = None
    if status is not None:
        since = before.since if before is not None and before.status == status else now
    return Instance(record.numbers, record.texts, status, since)


def _member(instance: Instance) -> Member:
    return Member(
        status=instance.status,
        intended_status=instance.text(INTENDED_STATUS),
        since=instance.since or 0.0,
        label=instance.text(LABEL),
        gpu_name=instance.text(GPU_NAME),
        gpus=instance.number(NUM_GPUS),
        burn=instance.burn() or 0.0,
        rental=instance.rental(),
        verified=instance.text(DESCRIPTION["verification"]) == VERIFIED,
        machine_id=instance.text(DESCRIPTION["machine_id"]),
        gpu_price=instance.gpu_price(),
        end_date=instance.number(END_DATE),
        queued=instance.queued,
    )


def _addressed_member(instance: Instance) -> Member:
    return _member(instance)._replace(target=target_of(instance))


OBJECTS: paged.Objects[Instance, Member] = paged.Objects(
    identity=IDENTITY,
    fields=FIELDS,
    rows=ROWS,
    complete=_complete,
    item=_member,
    moved=lambda member, seconds: member._replace(since=member.since + seconds),
    follow=follow,
)
ADDRESSED_OBJECTS = replace(OBJECTS, fields=ADDRESSED_FIELDS, item=_addressed_member)

_WITHOUT_ADDRESSES = Collector(
    name="instances",
    title="Instances",
    about="all rented instances",
    permission="instance_read",
    endpoints=(ENDPOINT,),
    objects="instances",
    interval=60.0,
    stale_after=300.0,
    collect=collect,
    enabled=True,
    filtered=True,
    rows=ROWS,
    summaries=SUMMARIES,
    summarise=summarise,
    groups=GROUPS,
    settings=GroupedSettings,
    further_fields=("id", "total_instances"),
    requests_for="25 instances",
    opens="the instances' logs and SSH keys",
    assumptions=assumptions.ASSUMPTIONS,
)
COLLECTOR = replace(
    _WITHOUT_ADDRESSES,
    addressed=replace(
        _WITHOUT_ADDRESSES,
        collect=collect_addressed,
        further_fields=(
            *_WITHOUT_ADDRESSES.further_fields,
            *(field.name for field in TARGET_FIELDS),
        ),
    ),
)
