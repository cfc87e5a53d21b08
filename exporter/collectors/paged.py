"""Convert the pages of a list to parts of a snapshot, for all collectors of objects."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

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


class Follow(Protocol[Item]):
    """Updates the data that a collector keeps between runs."""

    def __call__(
        self,
        run: Run,
        memory: Any,  # noqa: ANN401 - private to the collector
        before: Sequence[Part[Any, Item]] | None,
        now: Part[Any, Item],
        /,
    ) -> object:
        """Return `memory` updated with a new part.

        Args:
            run: the current run.
            memory: the previous return value; None the first time.
            before: the parts that overlapped the new one's range; None on the very first walk.
            now: the new part.

        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects(Generic[R, Item]):
    """How the rows of a list become objects with samples.

    Attributes:
        identity: names of the labels that identify an object: the account and its key.
        fields: fields read from a row.
        rows: rows of the metric table.
        complete: makes the object's record from the values read, the API's row, the object's previous item
            and the current time (epoch).
        item: returns the data kept of an object.
        follow: updates the data that the collector keeps between runs (`Snapshot.memory`).
        moved: returns an item with its times shifted after the wall clock was set by some seconds.

    """

    identity: tuple[str, str]
    fields: Fields
    rows: Sequence[Row[R]]
    complete: Callable[[Record, Mapping[str, Any], Item | None, float], R]
    item: Callable[[R], Item]
    follow: Follow[Item] | None = None
    moved: Callable[[Item, float], Item] = lambda item, _seconds: item


def as_read(record: Record, _row: Mapping[str, Any], _before: None, _now: float) -> Record:
    """Return a record unchanged: `Objects.complete` for objects without derived values."""
    return record


def nothing(_: Record) -> None:
    """Keep nothing: `Objects.item` for objects of which only the samples are needed."""


def collect(
    run: Run, listing: Listing[Key], objects: Objects[R, Item], params: Mapping[str, str] | None = None
) -> Iterator[Progress]:
    """Walk all pages of a list and store them in `run.store`; see `exporter.collectors.base.Collect`.

    Each page is published at once. Only the very first walk is published as a whole.
    """
    started = run.clock()
    known = run.store.snapshot  # updated with each page of this walk, which frees replaced parts at once
    is_first = not known.parts
    count, total = 0, known.total
    for page in walk(run.client, listing, params):
        problems = Problems()
        problems.unreadable["id"] += page.left_out
        total = _total(page, listing, problems, before=total)
        if page.speaks:
            old = known.meeting(page.after, page.upto)
            part = _part(run, page, old, objects, problems)
            count += len(part.items)
            known = known.replacing([part]).with_total(total)
            if objects.follow is not None:
                seen = None if is_first else old
                known = known.with_memory(objects.follow(run, known.memory, seen, part))
            if not is_first:
                run.store.snapshot = known
        run.report(problems)
        yield Progress(
            pages=page.number, objects=count, total=total, total_pages=_pages_of(total, listing.limit)
        )
    run.store.snapshot = known.with_total(total).with_seconds(run.clock() - started)


def _part(
    run: Run,
    page: Page[Key],
    old: Sequence[Part[Key, Item]],
    objects: Objects[R, Item],
    problems: Problems,
) -> Part[Key, Item]:
    set_by = run.set_by()
    before = _before(old, objects, set_by)
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
        set_by=set_by,
    )


def _before(old: Sequence[Part[Key, Item]], objects: Objects[R, Item], set_by: float) -> Mapping[Key, Item]:
    """Return the previous items, with times by the current wall clock."""
    found: dict[Key, Item] = {}
    for part in old:
        seconds = set_by - part.set_by
        items = part.items.items()
        found.update(
            part.items if not seconds else {key: objects.moved(item, seconds) for key, item in items}
        )
    return found


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
