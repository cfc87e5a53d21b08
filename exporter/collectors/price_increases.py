"""Collect pending price increases: current price, requested price and deadline for a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.collectors import paged
from exporter.collectors.assumptions import price_increases as assumptions
from exporter.collectors.base import Collector, Progress, Run, fields_of
from exporter.metrics import lines
from exporter.metrics.fields import NOT_POSITIVE, NumberField, Record, number_field
from exporter.metrics.rows import DOLLARS_PER_HOUR, Metric, Row, field_row
from exporter.vast.endpoints import Endpoint
from exporter.vast.pages import Listing, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.metrics.snapshot import Part, Snapshot

#: The threshold is undocumented; 1 s is the smallest of any endpoint.
ENDPOINT = Endpoint("/api/v0/instances/pending-price-increases/", 1.0, documented=False)
IDENTITY = ("account", "instance_id")
HOUR = 3600

PRICE_INCREASES = Metric(
    name="vastai_price_increases",
    help="Number of pending price increases (API field pending_price_increases).",
)


def _row(suffix: str, meaning: str, field: NumberField, scale: int = 1, notes: str = "") -> Row[Record]:
    """Return the row of a metric that is one API field times `scale`."""
    return field_row(f"vastai_price_increase_{suffix}", meaning, field, scale, labels=IDENTITY, notes=notes)


ROWS = (
    _row(
        f"old_gpu_{DOLLARS_PER_HOUR}",
        "Price per GPU under the current contract",
        number_field("old_gpu_costpersec", least=0, most=100),
        HOUR,
    ),
    _row(
        f"new_gpu_{DOLLARS_PER_HOUR}",
        "Price per GPU that the host asks for",
        number_field("new_gpu_costpersec", least=0, most=100),
        HOUR,
        notes="null, so no sample, if only other prices rise",
    ),
    _row(
        "contract_end_timestamp_seconds",
        "End time of the rental contract, which is not extended without an answer",
        number_field("contract_end_date", unknown=NOT_POSITIVE, least=1e9, most=1e11),
    ),
)


def _contract(row: Mapping[str, Any]) -> int | None:
    return id_of({"id": row.get("contract_id")})


LISTING = Listing(
    endpoint=ENDPOINT,
    rows="pending_price_increases",
    key=_contract,
    params={},
    none=frozenset({"no_pending_price_increase"}),
)
OBJECTS = paged.Objects(
    identity=IDENTITY, fields=fields_of(ROWS), rows=ROWS, complete=paged.as_read, item=paged.nothing
)


def collect(run: Run) -> Iterator[Progress]:
    """Request all pending increases; see `exporter.collectors.base.Collect`."""
    return paged.collect(run, LISTING, OBJECTS)


def summarise(
    account: str,
    parts: tuple[Part[int, None], ...],
    _snapshot: Snapshot[int, None],
    _most_labels: int,
) -> Mapping[str, bytes]:
    """Return the number of increases; see `exporter.collectors.base.Summarise`."""
    count = sum(len(part.items) for part in parts)
    return {PRICE_INCREASES.name: lines.of_samples(PRICE_INCREASES, account, [((), count)])}


COLLECTOR = Collector(
    name="price_increases",
    title="Price increases",
    about="pending price increases",
    permission="",
    endpoints=(ENDPOINT,),
    objects="increases",
    interval=900.0,
    stale_after=3600.0,
    collect=collect,
    rows=ROWS,
    summaries=(PRICE_INCREASES,),
    summarise=summarise,
    further_fields=("id", "pending_price_increases"),
    not_exported={
        "pending_price_increase_id": "redundant: a contract has one at most",
        "host_id": "redundant: vastai_instance_info has it",
        "old_disk_ram_costpersec": "small beside the price of the GPU",
        "new_disk_ram_costpersec": "small beside the price of the GPU",
        "old_bwu_cost": "small beside the price of the GPU",
        "new_bwu_cost": "small beside the price of the GPU",
        "old_bwd_cost": "small beside the price of the GPU",
        "new_bwd_cost": "small beside the price of the GPU",
        "old_platform_fee": "a share that the host pays",
        "new_platform_fee": "a share that the host pays",
        "ask_end_date": "when the host's new offer ends",
        "created_at": "when the host asked",
    },
    assumptions=assumptions.ASSUMPTIONS,
)
