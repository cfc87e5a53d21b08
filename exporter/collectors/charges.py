"""Collect billed amounts by day, the only source that includes traffic and discounts.

Each day is requested separately and kept. Each run requests the days that may still change, newest first, so
that a restart shows the present at once and the last month soon. A window is a sum over whole days. It is
shown only when all its days are known, so that a partial sum never looks complete.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from exporter.collectors.assumptions import charges as assumptions
from exporter.collectors.base import Collector, Progress, Run
from exporter.collectors.fleet import OTHER as OTHER_LABELS
from exporter.metrics import lines
from exporter.metrics.fields import Problems
from exporter.metrics.rows import Metric
from exporter.metrics.snapshot import NO_LINES, Part
from exporter.metrics.values import Number, UnreadableError, number, text
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import ApiError
from exporter.vast.pages import Listing, compact_json, replies, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.metrics.snapshot import Snapshot

ENDPOINT = Endpoint("/api/v0/charges/", 1.0)
#: Seconds per day; in epoch seconds every UTC day is this long.
DAY = 86_400
#: A day may change until it is this many days old.
SETTLED_AFTER = 7
WINDOWS = ("today", "yesterday", "7d", "month", "last_month")
#: Source or item for which the API has no word.
OTHER = "other"
_WORD = re.compile("[a-z_]{1,30}")
#: Names of a charge's items in the API and in the label.
ITEMS = {"gpu": "gpu", "disk": "disk", "bwd": "bandwidth_down", "bwu": "bandwidth_up"}
#: Hourly costs of instances, including serverless workers: the part that prices can estimate.
RENTAL_SOURCES = {"instance", "serverless"}
RENTAL_ITEMS = {"gpu", "disk"}

LISTING: Listing[int] = Listing(
    endpoint=ENDPOINT,
    rows="results",
    key=lambda _: None,
    params={"format": "table", "limit": "500"},
    limit=500,
    total="total",
)

CHARGES = Metric(
    name="vastai_charges_dollars",
    help="Amount billed in a window of whole UTC days (API fields results, amount).",
    labels=("account", "window", "source", "item"),
    notes="window is today, yesterday, 7d (the last 7 whole days), month or last_month, and absent until"
    " all of its days are known; source is instance, volume, serverless or other; item is gpu, disk,"
    " bandwidth_down, bandwidth_up, or other for what the API does not itemise",
)
LABEL_CHARGES = Metric(
    name="vastai_label_charges_dollars",
    help="Amount billed in a window of whole UTC days, by user label of the instance (API fields results,"
    " amount).",
    labels=("account", "label", "window"),
    notes="beyond limits.labels the smallest are added up as _other",
)
LABEL_RENTAL_CHARGES = Metric(
    name="vastai_label_rental_charges_dollars",
    help="Amount billed for GPUs and disks in a window of whole UTC days, by user label of the instance"
    " (API fields results, amount).",
    labels=("account", "label", "window"),
    notes="compares with an estimate from prices: includes serverless workers, excludes traffic, volumes"
    " and what the API does not itemise; above limits.labels labels, the smallest are added up as _other",
)
WINDOW_START = Metric(
    name="vastai_charges_window_start_timestamp_seconds",
    help="Start time of a window of charges; absent until all days of the window are known.",
    labels=("account", "window"),
    notes="window today shows which UTC day the last run treated as today; nothing was billed in a window"
    " that has a start and no charges",
)


@dataclass(frozen=True, slots=True)
class Day:
    """Cost of one day in dollars: by source and item, by label, and hourly instance costs by label."""

    items: Mapping[tuple[str, str], Number]
    labels: Mapping[str, Number]
    rentals: Mapping[str, Number]


@dataclass(frozen=True, slots=True)
class Tally:
    """Running sums of one day."""

    items: Counter[tuple[str, str]] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    rentals: Counter[str] = field(default_factory=Counter)

    def add(self, source: str, item: str, label: str, amount: Number) -> None:
        """Add an amount to each sum that it belongs to."""
        self.items[source, item] += amount  # type: ignore[assignment]  # dollars are not integers
        self.labels[label] += amount  # type: ignore[assignment]
        if source in RENTAL_SOURCES and item in RENTAL_ITEMS:
            self.rentals[label] += amount  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Ledger:
    """All known days, by number since the epoch, and today's number."""

    days: Mapping[int, Day] = field(default_factory=dict)
    today: int = 0


def collect(run: Run) -> Iterator[Progress]:
    """Request each day that is not settled; see `exporter.collectors.base.Collect`.

    A failed day does not affect the others.
    """
    today = int(run.wall_clock() // DAY)
    wanted = _days_to_ask(run.store.snapshot.memory or Ledger(), today)
    failure: ApiError | None = None
    objects = 0
    for done, day in enumerate(wanted, start=1):
        try:
            found, rows = _ask(run, day)
        except ApiError as error:
            failure = failure or error
            if not error.passing:
                break  # a key without permission would fail for all sixty days
            continue
        objects += rows
        _keep(run, day, found, today)
        yield Progress(pages=done, objects=objects, total=None, total_pages=len(wanted))
    if failure is not None:
        raise failure


def _days_to_ask(ledger: Ledger, today: int) -> list[int]:
    """Return the days to request since the start of last month, newest first."""
    first = _first_of_last_month(today)
    return [
        day for day in range(today, first - 1, -1) if day not in ledger.days or day > today - SETTLED_AFTER
    ]


def _ask(run: Run, day: int) -> tuple[Day, int]:
    """Return the cost of one day, and the number of its rows."""
    bounds = {"day": {"gte": day * DAY, "lte": (day + 1) * DAY - 1}}
    problems = Problems()
    found = Tally()
    count = 0
    for reply, _ in replies(run.client, LISTING, {"select_filters": compact_json(bounds)}):
        for row in rows_of(reply, LISTING):
            count += 1
            _add(row, found, problems)
    run.report(problems)
    return Day(dict(found.items), dict(found.labels), dict(found.rentals)), count


def _add(row: object, found: Tally, problems: Problems) -> None:
    """Add one row, which has an item for each cost."""
    if not isinstance(row, dict):
        problems.unreadable["results"] += 1
        return
    source = _source(row)
    label = _label(row, problems)
    for item in _items(row, problems):
        try:
            amount = number(item["amount"])
        except (UnreadableError, LookupError, TypeError):
            problems.unreadable["amount"] += 1
            continue
        what = _word(item.get("type"))
        found.add(source, ITEMS.get(what, what), label, amount)


def _items(row: Mapping[str, Any], problems: Problems) -> list[Any]:
    """Return a row's items, or the whole row as one item if it has none."""
    items = row.get("items")
    if isinstance(items, list) and items:
        return items
    if items:
        problems.unreadable["items"] += 1
    return [{"amount": row["amount"], "type": OTHER}] if row.get("amount") else []


def _source(row: Mapping[str, Any]) -> str:
    """Return what was charged; a serverless worker is an instance too, but names its endpoint."""
    metadata = row.get("metadata")
    if isinstance(metadata, dict) and metadata.get("endpoint_id") is not None:
        return "serverless"
    source = row.get("source") or row.get("type")
    return _word(source.partition("-")[0] if isinstance(source, str) else None)


def _word(value: object) -> str:
    """Return a word of the API as it is; anything else becomes `OTHER`, to avoid a series per row."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else OTHER


def _label(row: Mapping[str, Any], problems: Problems) -> str:
    metadata = row.get("metadata")
    value = metadata.get("label") if isinstance(metadata, dict) else None
    try:
        return "" if value is None else text(value)
    except UnreadableError:
        problems.unreadable["label"] += 1
        return ""


def _keep(run: Run, day: int, found: Day, today: int) -> None:
    snapshot = run.store.snapshot
    known: Ledger = snapshot.memory or Ledger()
    first = _first_of_last_month(today)
    days = {number_: kept for number_, kept in known.days.items() if number_ >= first} | {day: found}
    part = Part(confirmed=run.clock(), lines=NO_LINES, items={1: None})
    run.store.snapshot = snapshot.replacing([part]).with_memory(Ledger(days, today))


def _date(day: int) -> datetime:
    return datetime.fromtimestamp(day * DAY, UTC)


def _first_of_month(day: int) -> int:
    return int(_date(day).replace(day=1).timestamp()) // DAY


def _first_of_last_month(today: int) -> int:
    return _first_of_month(int((_date(_first_of_month(today)) - timedelta(days=1)).timestamp()) // DAY)


def windows(today: int) -> dict[str, range]:
    """Return the days of each window."""
    month = _first_of_month(today)
    return {
        "today": range(today, today + 1),
        "yesterday": range(today - 1, today),
        "7d": range(today - 7, today),
        "month": range(month, today + 1),
        "last_month": range(_first_of_last_month(today), month),
    }


def summarise(
    account: str, _parts: tuple[Part[int, None], ...], snapshot: Snapshot[int, None], most_labels: int
) -> Mapping[str, bytes]:
    """Return the sums over windows; see `exporter.collectors.base.Summarise`."""
    ledger: Ledger = snapshot.memory or Ledger()
    items: dict[tuple[str, ...], Number] = {}
    labels: dict[tuple[str, ...], Number] = {}
    rentals: dict[tuple[str, ...], Number] = {}
    starts: dict[tuple[str, ...], Number] = {}
    for window, days in windows(ledger.today).items():
        if any(day not in ledger.days for day in days):
            continue
        known = [ledger.days[day] for day in days]
        starts[window,] = days.start * DAY
        for (source, item), dollars in _sum(day.items for day in known).items():
            items[window, source, item] = dollars
        for label, dollars in _folded(_sum(day.labels for day in known), most_labels).items():
            labels[label, window] = dollars
        for label, dollars in _folded(_sum(day.rentals for day in known), most_labels).items():
            rentals[label, window] = dollars
    return {
        CHARGES.name: lines.of_samples(CHARGES, account, items.items()),
        LABEL_CHARGES.name: lines.of_samples(LABEL_CHARGES, account, labels.items()),
        LABEL_RENTAL_CHARGES.name: lines.of_samples(LABEL_RENTAL_CHARGES, account, rentals.items()),
        WINDOW_START.name: lines.of_samples(WINDOW_START, account, starts.items()),
    }


def _sum(days: Iterable[Mapping[Any, Number]]) -> dict[Any, Number]:
    total: dict[Any, Number] = {}
    for day in days:
        for key, dollars in day.items():
            total[key] = total.get(key, 0) + dollars
    return total


def _folded(labels: Mapping[str, Number], most: int) -> dict[str, Number]:
    """Return dollars by label, with all but the `most` most expensive labels summed as `OTHER_LABELS`."""
    ordered = sorted(labels, key=lambda label: (-labels[label], label))
    found = {label: labels[label] for label in ordered[:most]}
    for label in ordered[most:]:
        found[OTHER_LABELS] = found.get(OTHER_LABELS, 0) + labels[label]
    return found


COLLECTOR = Collector(
    name="charges",
    title="Charges",
    about="billed amounts by day, including traffic",
    permission="billing_read",
    endpoints=(ENDPOINT,),
    objects="charges",
    interval=3600.0,
    stale_after=10_800.0,
    collect=collect,
    summaries=(CHARGES, LABEL_CHARGES, LABEL_RENTAL_CHARGES, WINDOW_START),
    summarise=summarise,
    further_fields=("results", "amount", "items", "label"),
    not_exported={
        "start": "the day is what was asked for",
        "end": "the day is what was asked for",
        "type": "told by source and item",
        "source": "the label source; the contract's number would be a series for each",
        "description": "free text",
        "metadata": "label and endpoint_id are read",
    },
    requests=SETTLED_AFTER,
    requests_for="500 charges of a day",
    opens="invoices and earnings",
    assumptions=assumptions.ASSUMPTIONS,
)
