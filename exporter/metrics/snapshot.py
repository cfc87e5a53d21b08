"""What is known now: immutable, dated, swapped whole.

A part holds what one reply said of a range of ids, as lines that are ready to be served; a snapshot is all
parts of one collector of one account. A new part replaces just the range that it speaks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from exporter.vast.pages import END

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Item = TypeVar("Item")

#: The first label that is an id is that of the object itself.
_ID = re.compile(rb'_id="([0-9]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Item]):
    """What one reply said of the objects with after < id <= upto.

    Attributes:
        after: where the range begins; the id itself is not in it.
        upto: where it ends; the id itself is in it.
        confirmed: when the reply came, in monotonic seconds.
        lines: the samples of each metric that has any, by its name, in ascending order of id.
        items: what has to be known of each object beside its lines, by id, ascending.

    """

    confirmed: float
    lines: Mapping[str, bytes]
    after: int = 0
    upto: int = END
    items: Mapping[int, Item] = field(default_factory=dict)

    def within(self, after: int, upto: int) -> Part[Item]:
        """Return what this part says of a range that lies in its own."""
        items = {key: item for key, item in self.items.items() if after < key <= upto}
        lines = self.lines
        if len(items) < len(self.items):
            kept = {name: _lines_within(chunk, after, upto) for name, chunk in lines.items()}
            lines = {name: chunk for name, chunk in kept.items() if chunk}
        return replace(self, after=after, upto=upto, items=items, lines=lines)


def _lines_within(chunk: bytes, after: int, upto: int) -> bytes:
    # An unescaped quote ends a label's value, so no text of a user can look like the label itself.
    return b"".join(
        line + b"\n"
        for line in chunk.split(b"\n")[:-1]
        if (found := _ID.search(line)) and after < int(found[1]) <= upto
    )


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Snapshot(Generic[Item]):
    """All that one collector of one account knows.

    Attributes:
        parts: by ascending range, without overlap.
        total: how many objects the API says there are, or None.
        seconds: how long the last whole walk took.

    """

    parts: tuple[Part[Item], ...] = ()
    total: int | None = None
    seconds: float = 0.0

    def replacing(self, new: Iterable[Part[Item]]) -> Snapshot[Item]:
        """Return a snapshot in which the ranges of `new` parts are theirs alone."""
        parts = self.parts
        for part in new:
            before = [
                p if p.upto <= part.after else p.within(p.after, part.after)
                for p in parts
                if p.after < part.after
            ]
            behind = [
                p if p.after >= part.upto else p.within(part.upto, p.upto)
                for p in parts
                if p.upto > part.upto
            ]
            parts = (*before, part, *behind)
        return replace(self, parts=parts)

    def with_total(self, total: int | None) -> Snapshot[Item]:
        """Return this snapshot with what the API says of the number of objects; None changes nothing."""
        return self if total is None else replace(self, total=total)

    def with_seconds(self, seconds: float) -> Snapshot[Item]:
        """Return this snapshot with the duration of a whole walk."""
        return replace(self, seconds=seconds)

    def items(self, after: int, upto: int) -> dict[int, Item]:
        """Return what is known of each object with after < id <= upto, and perhaps of some around them."""
        found: dict[int, Item] = {}
        for part in self.parts:
            if part.after < upto and after < part.upto:
                found.update(part.items)
        return found

    def limit(self, stale_after: float) -> float:
        """Return the seconds for which a part may be shown: `stale_after`, or more where a walk is longer."""
        return stale_after if self.seconds <= stale_after else 2 * self.seconds

    def fresh(self, now: float, stale_after: float) -> tuple[Part[Item], ...]:
        """Return the parts that were confirmed lately enough to be shown."""
        oldest = now - self.limit(stale_after)
        return tuple(part for part in self.parts if part.confirmed >= oldest)
