"""From the pages of a list to parts of a snapshot: the one way that every collector of objects goes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from exporter.collectors.base import Progress, Run
from exporter.metrics import lines
from exporter.metrics.fields import Fields, Problems, Record
from exporter.metrics.rows import R, Row
from exporter.metrics.snapshot import Part
from exporter.metrics.values import UnreadableError, number
from exporter.vast.pages import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from exporter.vast.pages import Listing, Page

Item = TypeVar("Item")
Key = TypeVar("Key", int, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects(Generic[R, Item]):
    """How the rows of a list become objects with samples.

    Attributes:
        identity: names of the labels that identify an object: the account, and its key.
        fields: what is read of a row.
        rows: of the metric table.
        complete: makes the object's record of what was read, of the API's row, of what was known of the
            object before, and of the present time (epoch).
        item: what has to be known of an object later.

    """

    identity: tuple[str, str]
    fields: Fields
    rows: Sequence[Row[R]]
    complete: Callable[[Record, Mapping[str, Any], Item | None, float], R]
    item: Callable[[R], Item]


def as_read(record: Record, _row: Mapping[str, Any], _before: None, _now: float) -> Record:
    """Return a record as it is: `Objects.complete` of objects from which nothing further follows."""
    return record


def nothing(_: Record) -> None:
    """Keep nothing: `Objects.item` of objects of which only the samples are needed later."""


def collect(
    run: Run, listing: Listing[Key], objects: Objects[R, Item], params: Mapping[str, str] | None = None
) -> Iterator[Progress]:
    """Walk every page of a list and put it into `run.store`; see `exporter.collectors.base.Collect`.

    A page is shown as soon as it is there. Only the first walk of all is shown when it is whole.
    """
    started = run.clock()
    first = run.store.snapshot if not run.store.snapshot.parts else None
    held: list[Part[Key, Item]] = []
    count, total = 0, run.store.snapshot.total
    for page in walk(run.client, listing, params):
        problems = Problems()
        problems.unreadable["id"] += page.left_out
        total = _total(page, listing, problems, before=total)
        if page.speaks:
            part = _part(run, page, objects, problems)
            count += len(part.items)
            held.append(part)
            if first is None:
                run.store.snapshot = run.store.snapshot.replacing([part]).with_total(total)
        run.report(problems)
        yield Progress(
            pages=page.number, objects=count, total=total, total_pages=_pages_of(total, listing.limit)
        )
    snapshot = run.store.snapshot if first is None else first.replacing(held).with_total(total)
    run.store.snapshot = snapshot.with_seconds(run.clock() - started)


def _part(run: Run, page: Page[Key], objects: Objects[R, Item], problems: Problems) -> Part[Key, Item]:
    before = run.store.snapshot.items(page.after, page.upto)
    now = run.wall_clock()
    found: list[tuple[str, R]] = []
    items: dict[Key, Item] = {}
    for key, row in page.rows:
        record = objects.complete(objects.fields.read(row, problems), row, before.get(key), now)
        items[key] = objects.item(record)
        found.append((lines.labels(objects.identity, (run.account, str(key))), record))
    return Part(
        confirmed=run.clock(),
        lines=lines.of_objects(objects.rows, found),
        items=items,
        after=page.after,
        upto=page.upto,
    )


def _pages_of(total: int | None, limit: int | None) -> int | None:
    if limit is None:
        return 1
    return None if total is None else max(1, ceil(total / limit))


def _total(page: Page[Key], listing: Listing[Key], problems: Problems, *, before: int | None) -> int | None:
    if page.total is None:
        return before
    try:
        return int(number(page.total))
    except UnreadableError:
        problems.unreadable[listing.total] += 1
        return before
