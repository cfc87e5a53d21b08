"""Collect volumes: storage that is billed whether or not an instance uses it; one reply lists all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors import paged
from exporter.collectors.assumptions import volumes as assumptions
from exporter.collectors.base import Collector, Progress, Run, fields_of
from exporter.metrics.fields import NEGATIVE, NOT_POSITIVE, NumberField, Record, number_field, text_field
from exporter.metrics.rows import DOLLARS_PER_HOUR, GIGABYTE, Row, field_row
from exporter.metrics.values import UnreadableError
from exporter.vast.endpoints import Endpoint
from exporter.vast.pages import Listing, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Without a trailing slash, as in the vendor's client.
ENDPOINT = Endpoint("/api/v0/volumes", 5.5)
IDENTITY = ("account", "volume_id")
#: Descriptive texts: label of the info metric, and field.
DESCRIPTION = {
    "label": text_field("label"),
    "kind": text_field("type"),
    "status": text_field("status"),
    "machine_id": text_field("machine_id"),
}


def _row(suffix: str, meaning: str, field: NumberField, scale: int = 1, notes: str = "") -> Row[Record]:
    """Return the row of a metric that is one API field times `scale`."""
    return field_row(f"vastai_volume_{suffix}", meaning, field, scale, labels=IDENTITY, notes=notes)


def _length(value: object) -> int:
    if not isinstance(value, list):
        raise UnreadableError
    return len(value)


INFO: Row[Record] = Row(
    name="vastai_volume_info",
    help="Always 1; the labels describe the volume (API fields"
    f" {', '.join(field.name for field in DESCRIPTION.values())}).",
    labels=(*IDENTITY, *DESCRIPTION),
    notes="kind is the API's type; machine is a local volume, which is lost with its machine",
    fields=tuple(DESCRIPTION.values()),
    value=lambda _: 1,
    label_values=lambda volume: tuple(map(volume.text, DESCRIPTION.values())),
)
ROWS = (
    INFO,
    _row("disk_space_bytes", "Size of the volume", number_field("disk_space", unknown=NEGATIVE), GIGABYTE),
    _row(
        f"storage_total_cost_{DOLLARS_PER_HOUR}",
        "Price of the volume, charged whether or not it is in use",
        number_field("storage_total_cost", unknown=NEGATIVE),
    ),
    _row(
        "instances",
        "Number of instances that the volume is attached to",
        NumberField(name="instances", read=_length),
        notes="counts the API's list, which keeps a destroyed instance for about 30 s",
    ),
    _row(
        "start_timestamp_seconds",
        "Start time of the rental contract",
        number_field("start_date", unknown=NOT_POSITIVE),
    ),
    _row(
        "end_timestamp_seconds",
        "End time of the rental contract",
        number_field("end_date", unknown=NOT_POSITIVE),
    ),
    _row(
        "reliability_ratio",
        "Reliability score of the host, from 0 to 1",
        number_field("reliability2", least=0.0, most=1.0),
    ),
)
LISTING = Listing(endpoint=ENDPOINT, rows="volumes", key=id_of, params={"owner": "me", "type": "all_volume"})
OBJECTS = paged.Objects(
    identity=IDENTITY, fields=fields_of(ROWS), rows=ROWS, complete=paged.as_read, item=paged.nothing
)


def collect(run: Run) -> Iterator[Progress]:
    """Request all volumes; see `exporter.collectors.base.Collect`."""
    return paged.collect(run, LISTING, OBJECTS)


COLLECTOR = Collector(
    name="volumes",
    title="Volumes",
    about="rented volumes, attached or not",
    permission="instance_read",
    endpoints=(ENDPOINT,),
    objects="volumes",
    interval=600.0,
    stale_after=1800.0,
    collect=collect,
    rows=ROWS,
    further_fields=("id",),
    not_exported={
        "cluster_id": "static: nothing that changes or costs",
        "host_id": "redundant: the machine is named",
        "disk_name": "static",
        "driver_version": "of the machine, not of the volume",
        "cuda_max_good": "of the machine, not of the volume",
        "cpu_name": "of the machine, not of the volume",
        "cpu_arch": "of the machine, not of the volume",
        "mobo_name": "of the machine, not of the volume",
        "os_version": "of the machine, not of the volume",
        "inet_up": "of the machine, not of the volume",
        "inet_down": "of the machine, not of the volume",
        "static_ip": "of the machine, not of the volume",
        "verification": "of the machine, not of the volume",
        "geolocation": "of the machine, not of the volume",
        "public_ipaddr": "sensitive: an address to attack",
    },
    assumptions=assumptions.ASSUMPTIONS,
)
