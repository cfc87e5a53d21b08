"""Every rented instance: its rows of the metric table, and the walk that fills them.

A row is the name behind `vastai_instance_`, a sentence, the API's field and its unit. Which units are
true, and where the vendor's own documents are wrong, is said in docs/metrics.md.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from exporter.collectors.base import Collector, Progress, Run, reads
from exporter.collectors.fleet import SUMMARIES, Instance, summarise
from exporter.metrics import lines
from exporter.metrics.rows import Gauge, Number, Reader, Record, scaled
from exporter.metrics.snapshot import Part
from exporter.metrics.values import UnreadableError, flag, number, part, record, status, text
from exporter.vast.pace import Endpoint
from exporter.vast.pages import Page, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENDPOINT = Endpoint("/api/v1/instances/", 1.0)
IDENTITY = ("account", "instance_id")

PERCENT = Fraction(1, 100)
MIB = 2**20
GIB = 2**30
MEGABYTE = 10**6
GIGABYTE = 10**9
MEGABIT = 125_000
#: The API's mem_* fields hold KiB / 10^6.
MEM = 1_024_000_000

#: While these last, the GPU is paid for.
GPU_BILLED = frozenset({"running", "frozen", "rebooting", "unknown"})


def _gauge(
    suffix: str,
    meaning: str,
    field: str,
    scale: Fraction | int = 1,
    *,
    reader: Reader = number,
    running_only: bool = False,
    negative_is_unknown: bool = False,
    note: str = "",
) -> Gauge:
    """Return the row of a metric that is one field of the API, times `scale`."""
    notes = (
        f"x {scale:,}".replace(",", " ") if scale not in {1, PERCENT} else "",
        "/ 100" if scale == PERCENT else "",
        "negative is unknown" if negative_is_unknown else "",
        "only while running" if running_only else "",
        note,
    )
    return Gauge(
        name=f"vastai_instance_{suffix}",
        help=f"{meaning} (API field {field}).",
        labels=IDENTITY,
        reading="; ".join(filter(None, notes)),
        reads={field: reader, **({"actual_status": status} if running_only else {})},
        value=scaled(field, scale, running_only=running_only, negative_is_unknown=negative_is_unknown),
    )


def _one(_: Record) -> Number:
    return 1


def _texts(*names: str) -> Any:  # noqa: ANN401 - what Gauge.texts holds
    def texts(row: Record) -> tuple[str, ...]:
        return tuple([str(row[name] or "") for name in names])

    return texts


def _status_is_known(row: Record) -> Number | None:
    return None if row["status"] is None else 1


def _burn(row: Record) -> Number | None:
    """Return what the instance costs now, by its state: dollars per hour."""
    if row["status"] is None:
        return None
    if row["status"] == "offline":
        return 0
    if row["status"] not in GPU_BILLED:
        return scaled("storage_total_cost")(row)
    discounted = scaled("instance")(row)
    return discounted if discounted is not None and discounted > 0 else scaled("dph_total")(row)


def _rental(row: Record) -> str:
    if row["is_bid"]:
        return "interruptible"
    prepaid = scaled("credit_balance")(row)
    return "reserved" if prepaid is not None and prepaid > 0 else "on_demand"


INFO = Gauge(
    name="vastai_instance_info",
    help="Always 1; what describes an instance (API fields label, gpu_name, image_uuid, template_name,"
    " machine_id, host_id, geolocation, verification, is_bid, credit_balance).",
    labels=(
        *IDENTITY,
        "label",
        "gpu_name",
        "image",
        "template",
        "machine_id",
        "host_id",
        "geolocation",
        "verification",
        "rental",
    ),
    reading="image is image_uuid and template is template_name;"
    " rental is interruptible if is_bid, else reserved if credit_balance is above 0, else on_demand",
    reads={
        "label": text,
        "gpu_name": text,
        "image_uuid": text,
        "template_name": text,
        "machine_id": text,
        "host_id": text,
        "geolocation": text,
        "verification": text,
        "is_bid": flag,
        "credit_balance": number,
    },
    value=_one,
    texts=_texts(
        "label",
        "gpu_name",
        "image_uuid",
        "template_name",
        "machine_id",
        "host_id",
        "geolocation",
        "verification",
        "rental",
    ),
)
STATUS = Gauge(
    name="vastai_instance_status",
    help="Always 1; what the instance is and what its user wants it to be (API fields actual_status,"
    " intended_status).",
    labels=(*IDENTITY, "status", "intended_status"),
    reading="only the present pair; null is provisioning; any text of the API is passed on",
    reads={"actual_status": status, "intended_status": status},
    value=_status_is_known,
    texts=_texts("status", "intended_status"),
)
STATUS_SINCE = Gauge(
    name="vastai_instance_status_since_timestamp_seconds",
    help="When this exporter first saw the present status (API field actual_status).",
    labels=IDENTITY,
    reading="a restart of the exporter starts it anew",
    reads={"actual_status": status},
    value=scaled("since"),
)
BURN = Gauge(
    name="vastai_instance_burn_dollars_per_hour",
    help="What the instance costs now, by its status, without bandwidth (API fields dph_total,"
    " storage_total_cost, instance).",
    labels=IDENTITY,
    reading="running, frozen, rebooting, unknown: instance.discountedTotalPerHour if above 0, else dph_total;"
    " offline: 0; any other: storage_total_cost",
    reads={
        "actual_status": status,
        "dph_total": number,
        "storage_total_cost": number,
        "instance": part("discountedTotalPerHour"),
    },
    value=_burn,
)

_BPS = "bytes_per_second"
_PER_HOUR = "dollars_per_hour"

GAUGES = (
    INFO,
    STATUS,
    STATUS_SINCE,
    _gauge("num_gpus", "GPUs rented", "num_gpus"),
    _gauge("gpu_frac_ratio", "Share of the machine's GPUs", "gpu_frac"),
    _gauge(
        "gpu_util_ratio",
        "GPU utilisation",
        "gpu_util",
        PERCENT,
        running_only=True,
        negative_is_unknown=True,
        note="one value for all GPUs of the instance",
    ),
    _gauge("gpu_temp_celsius", "GPU temperature", "gpu_temp", running_only=True),
    _gauge("vmem_usage_bytes", "GPU memory in use", "vmem_usage", GIB, running_only=True),
    _gauge("gpu_ram_bytes", "Memory of one GPU", "gpu_ram", MIB),
    _gauge("gpu_totalram_bytes", "Memory of all GPUs rented", "gpu_totalram", MIB),
    _gauge(
        "cpu_util_ratio",
        "CPU utilisation, of a scale that the vendor does not confirm",
        "cpu_util",
        running_only=True,
        note="as sent",
    ),
    _gauge("cpu_cores", "Virtual CPUs of the whole machine", "cpu_cores"),
    _gauge("cpu_cores_effective", "Virtual CPUs allotted to the instance", "cpu_cores_effective"),
    _gauge("cpu_ram_bytes", "Memory of the whole machine", "cpu_ram", MIB),
    _gauge("mem_usage_bytes", "Memory in use", "mem_usage", MEM, running_only=True),
    _gauge("mem_limit_bytes", "Memory that the instance may use", "mem_limit", MEM),
    _gauge(
        "disk_space_bytes", "Disk allotted to the instance", "disk_space", GIGABYTE, negative_is_unknown=True
    ),
    _gauge("disk_usage_bytes", "Disk in use", "disk_usage", GIGABYTE, negative_is_unknown=True),
    _gauge(
        "disk_util_ratio", "Share of the disk in use", "disk_util", negative_is_unknown=True, note="as sent"
    ),
    _gauge(f"inet_up_{_BPS}", "Measured upload speed of the machine's link, not traffic", "inet_up", MEGABIT),
    _gauge(
        f"inet_down_{_BPS}",
        "Measured download speed of the machine's link, not traffic",
        "inet_down",
        MEGABIT,
    ),
    _gauge(f"dph_total_{_PER_HOUR}", "Price of GPUs and disk while running, without bandwidth", "dph_total"),
    _gauge(
        f"dph_base_{_PER_HOUR}",
        "Price of the GPUs while running; of an interruptible one its bid",
        "dph_base",
    ),
    _gauge(
        f"storage_total_cost_{_PER_HOUR}",
        "Price of the disk, which is paid in every state but offline",
        "storage_total_cost",
    ),
    _gauge(f"min_bid_{_PER_HOUR}", "Lowest bid that holds the GPUs at present", "min_bid"),
    BURN,
    _gauge("credit_balance_dollars", "Prepaid credit that is locked to this instance", "credit_balance"),
    _gauge("credit_discount_ratio", "Discount in force for prepaid credit", "credit_discount"),
    _gauge("credit_discount_max_ratio", "Largest discount for prepaid credit", "credit_discount_max"),
    _gauge("start_timestamp_seconds", "When the contract began", "start_date"),
    _gauge("end_timestamp_seconds", "When the contract ends", "end_date"),
    _gauge("uptime_seconds", "How long the container has been up", "uptime_mins", 60),
    _gauge("reliability_ratio", "Reliability of the host, 0 to 1", "reliability2"),
    _gauge("dlperf", "The vendor's score for deep learning", "dlperf"),
    _gauge("total_flops", "Floating-point operations a second of all GPUs rented", "total_flops", 10**12),
    _gauge(f"gpu_mem_bw_{_BPS}", "Bandwidth of the GPU memory", "gpu_mem_bw", GIGABYTE),
    _gauge(f"pcie_bw_{_BPS}", "Bandwidth of PCIe", "pcie_bw", GIGABYTE),
    _gauge(f"bw_nvlink_{_BPS}", "Bandwidth of NVLink", "bw_nvlink", GIGABYTE),
    _gauge(f"disk_bw_{_BPS}", "Bandwidth of the disk", "disk_bw", MEGABYTE),
    _gauge("gpu_lanes", "PCIe lanes of a GPU", "gpu_lanes"),
    _gauge("pci_gen", "PCIe generation", "pci_gen"),
    _gauge("is_bid", "1 for an interruptible instance, which can be outbid", "is_bid", reader=flag),
    _gauge("rentable", "1 while the machine can be rented", "rentable", reader=flag),
    _gauge("static_ip", "1 where the machine has a static address", "static_ip", reader=flag),
    _gauge("external", "1 for an offer from outside the marketplace", "external", reader=flag),
)
READS = reads(GAUGES)
#: What is asked of the API, and nothing else: rows hold tokens, environment variables and addresses too.
COLUMNS = ("id", *READS)


def collect(run: Run) -> Iterator[Progress]:
    """Walk every page; see `exporter.collectors.base.Collect`.

    A page is shown as soon as it is there. Only the first walk of all is shown when it is whole.
    """
    started = run.clock()
    first = run.known.snapshot if not run.known.snapshot.parts else None
    held: list[Part[Instance]] = []
    objects, total = 0, run.known.snapshot.total
    for page in walk(run.client, ENDPOINT, columns=COLUMNS, filters=run.filters):
        part_, said = _part(run, page)
        total = total if said is None else said
        objects += len(part_.items)
        held.append(part_)
        if first is None:
            run.known.snapshot = run.known.snapshot.replacing([part_]).with_total(total)
        yield Progress(pages=page.number, objects=objects, total=total)
    snapshot = run.known.snapshot if first is None else first.replacing(held).with_total(total)
    run.known.snapshot = snapshot.with_seconds(run.clock() - started)


def _part(run: Run, page: Page) -> tuple[Part[Instance], int | None]:
    unreadable: Counter[str] = Counter({"id": page.left_out})
    before = run.known.snapshot.items(page.after, page.upto)
    now = run.wall_clock()
    objects: list[tuple[str, Record]] = []
    items: dict[int, Instance] = {}
    for key, row in page.rows:
        values = _values(row, before.get(key), now, unreadable)
        items[key] = _item(values)
        objects.append((lines.labels(IDENTITY, (run.account, str(key))), values))
    total = _total(page.total, unreadable)
    run.unreadable(unreadable)
    made = Part(
        confirmed=run.clock(),
        lines=lines.of_objects(GAUGES, objects),
        after=page.after,
        upto=page.upto,
        items=items,
    )
    return made, total


def _values(
    row: Mapping[str, Any], before: Instance | None, now: float, unreadable: Counter[str]
) -> dict[str, Number | str | None]:
    """Return what a row says, and what follows from it: status, since and rental."""
    values = record(row, READS, unreadable)
    current = values["actual_status"]
    if current is None and isinstance(row.get("actual_status"), str | None):  # a blank says as little as null
        current = "provisioning"
    values["status"] = current
    values["since"] = None
    if current is not None:
        values["since"] = before.since if before is not None and before.status == current else now
    values["rental"] = _rental(values)
    return values


def _item(values: Mapping[str, Number | str | None]) -> Instance:
    status_ = values["status"]
    return Instance(
        status=None if status_ is None else str(status_),
        since=float(scaled("since")(values) or 0.0),
        label=str(values["label"] or ""),
        gpu_name=str(values["gpu_name"] or ""),
        gpus=scaled("num_gpus")(values),
    )


def _total(value: object, unreadable: Counter[str]) -> int | None:
    try:
        return None if value is None else int(number(value))
    except UnreadableError:
        unreadable["total_instances"] += 1
        return None


COLLECTOR = Collector(
    name="instances",
    endpoint=ENDPOINT,
    objects="instances",
    gauges=GAUGES,
    summaries=SUMMARIES,
    summarise=summarise,
    collect=collect,
    extra_fields=("id", "total_instances"),
)
