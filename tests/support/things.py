"""A collector of what no API has: things that are named by text, with counters, ranges and sentinels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.collectors import paged
from exporter.collectors.base import Collector, fields_of
from exporter.metrics import lines
from exporter.metrics.fields import NEGATIVE, Record, flag_field, number_field, text_field
from exporter.metrics.rows import GIB, PERCENT, Metric, Row, field_row
from exporter.vast.endpoints import Endpoint
from exporter.vast.pages import Listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.collectors.base import Progress, Run
    from exporter.metrics.snapshot import Part, Snapshot

ENDPOINT = Endpoint("/api/v0/things/", 2.5)
IDENTITY = ("account", "thing")

PAINTS = number_field("paints", least=0)
COLOUR = text_field("colour")


@dataclass(frozen=True, slots=True)
class Thing(Record):
    """What the API said of a thing, and when it was first seen (epoch)."""

    since: float


#: Gauges and counters in turn, as a table may have them.
ROWS: tuple[Row[Thing], ...] = (
    field_row("vastai_thing_size_bytes", "Size", number_field("size", least=0), GIB, labels=IDENTITY),
    field_row(
        "vastai_thing_starts_total",
        "Starts",
        number_field("starts", least=0, most=1e9),
        labels=IDENTITY,
        type="counter",
    ),
    field_row(
        "vastai_thing_charge_ratio",
        "How full it is",
        number_field("charge", unknown=NEGATIVE, most=100),
        PERCENT,
        labels=IDENTITY,
    ),
    Row(
        name="vastai_thing_paints_total",
        help="How often it was painted (API fields paints, colour).",
        type="counter",
        labels=(*IDENTITY, "colour"),
        fields=(PAINTS, COLOUR),
        value=lambda thing: thing.number(PAINTS),
        label_values=lambda thing: (thing.text(COLOUR),),
    ),
    field_row("vastai_thing_broken", "1 while it is broken", flag_field("broken"), labels=IDENTITY),
    Row(
        name="vastai_thing_since_timestamp_seconds",
        help="When this exporter first saw it (API field name).",
        labels=IDENTITY,
        fields=(),
        value=lambda thing: thing.since,
    ),
)
FIELDS = fields_of(ROWS)
SEEN = Metric(name="vastai_things_seen_total", help="Things that are known (API field name).", type="counter")


def name_of(row: Mapping[str, Any]) -> str | None:
    name = row.get("name")
    return name if isinstance(name, str) else None


def complete(record: Record, _: Mapping[str, Any], since: float | None, now: float) -> Thing:
    return Thing(record.numbers, record.texts, now if since is None else since)


def summarise(
    account: str, parts: tuple[Part[str, float], ...], _: Snapshot[str, float], _most_labels: int
) -> Mapping[str, bytes]:
    count = sum(len(part.items) for part in parts)
    return {SEEN.name: lines.of_samples(SEEN, account, [((), count)])}


#: Two things a page, or all of them in one reply; the API does not say how many there are.
PAGES = Listing(endpoint=ENDPOINT, rows="things", key=name_of, params={"order": "name"}, limit=2)
WHOLE = Listing(endpoint=ENDPOINT, rows="things", key=name_of, params={})
OBJECTS: paged.Objects[Thing, float] = paged.Objects(
    identity=IDENTITY, fields=FIELDS, rows=ROWS, complete=complete, item=lambda thing: thing.since
)


def collector(listing: Listing[str] = WHOLE) -> Collector:
    def collect(run: Run) -> Iterator[Progress]:
        return paged.collect(run, listing, OBJECTS)

    return Collector(
        name="things",
        title="Things",
        about="things",
        permission="thing_read",
        endpoints=(ENDPOINT,),
        objects="things",
        interval=60.0,
        stale_after=300.0,
        collect=collect,
        rows=ROWS,
        summaries=(SEEN,),
        summarise=summarise,
        further_fields=("id",),
    )


COLLECTOR = collector()
