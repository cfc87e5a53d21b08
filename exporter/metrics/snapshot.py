"""What is known now: immutable, dated, swapped whole.

A part holds what one reply said of a range of keys, as lines that are ready to be served; a snapshot is all
parts of one collector of one account. A new part replaces just the range that it speaks for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class Orderable(Protocol):
    """What has an order, as numbers and texts do."""

    def __lt__(self, other: Any, /) -> bool: ...  # noqa: ANN401 - whatever is of its kind
    def __le__(self, other: Any, /) -> bool: ...  # noqa: ANN401 - whatever is of its kind


#: What identifies an object, and orders all of its kind.
Key = TypeVar("Key", bound=Orderable)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Samples of some objects, as text.

    Attributes:
        text: the lines of each metric that has any, by its name; the objects in their order.
        counts: how many lines each object has, a byte each in the objects' order, for the metrics in which it
            is not one each.

    """

    text: Mapping[str, bytes]
    counts: Mapping[str, bytes] = field(default_factory=dict)

    def of(self, first: int, last: int) -> Lines:
        """Return the lines of the objects from number `first` up to, and without, number `last`."""
        text: dict[str, bytes] = {}
        counts: dict[str, bytes] = {}
        for name, chunk in self.text.items():
            before, behind = first, last
            if (each := self.counts.get(name)) is not None:
                before, behind = sum(each[:first]), sum(each[:last])
                counts[name] = each[first:last]
            if before < behind:
                # Split at the line's end only: a label's value may hold whatever else ends a line.
                text[name] = b"".join(line + b"\n" for line in chunk.split(b"\n")[before:behind])
        return Lines(text=text, counts={name: each for name, each in counts.items() if name in text})


NO_LINES = Lines(text={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Key, Item]):
    """What one reply said of the objects with after < key <= upto.

    Attributes:
        confirmed: when the reply came, in monotonic seconds.
        lines: the samples of its objects, in the order of `items`.
        items: what has to be known of each object beside its lines, by key, ascending.
        after: where the range begins, the key itself not in it; None for the beginning of all keys.
        upto: where it ends, the key itself in it; None for the end of all keys.
        set_by: seconds by which the wall clock had been set when the reply came.

    """

    confirmed: float
    lines: Lines
    items: Mapping[Key, Item]
    after: Key | None = None
    upto: Key | None = None
    set_by: float = 0.0

    def before(self, key: Key | None) -> Part[Key, Item] | None:
        """Return what this part says up to `key`, or None where it says nothing of that."""
        if key is None or (self.after is not None and key <= self.after):
            return None
        return self if self.upto is not None and self.upto <= key else self._cut(self.after, key)

    def behind(self, key: Key | None) -> Part[Key, Item] | None:
        """Return what this part says behind `key`, or None where it says nothing of that."""
        if key is None or (self.upto is not None and self.upto <= key):
            return None
        return self if self.after is not None and key <= self.after else self._cut(key, self.upto)

    def holds(self, key: Key) -> bool:
        """Return whether a key lies in this part's range."""
        return (self.after is None or self.after < key) and (self.upto is None or key <= self.upto)

    def _cut(self, after: Key | None, upto: Key | None) -> Part[Key, Item]:
        keys = list(self.items)
        first = 0 if after is None else sum(key <= after for key in keys)
        last = len(keys) if upto is None else sum(key <= upto for key in keys)
        items = {key: self.items[key] for key in keys[first:last]}
        lines = self.lines if len(items) == len(keys) else self.lines.of(first, last)
        return replace(self, after=after, upto=upto, items=items, lines=lines)


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Snapshot(Generic[Key, Item]):
    """All that one collector of one account knows.

    Attributes:
        parts: by ascending range, without overlap.
        total: how many objects the API says there are, or None.
        seconds: how long the last whole walk took.
        memory: what the collector keeps from run to run, counters above all; immutable, its own matter.

    """

    parts: tuple[Part[Key, Item], ...] = ()
    total: int | None = None
    seconds: float = 0.0
    memory: Any = None

    def replacing(self, new: Iterable[Part[Key, Item]]) -> Snapshot[Key, Item]:
        """Return a snapshot in which the ranges of `new` parts are theirs alone."""
        parts = self.parts
        for part in new:
            first, last = _meeting(parts, part.after, part.upto)
            met = parts[first:last]
            heads = [head for old in met if (head := old.before(part.after)) is not None]
            tails = [tail for old in met if (tail := old.behind(part.upto)) is not None]
            parts = (*parts[:first], *heads, part, *tails, *parts[last:])
        return replace(self, parts=parts)

    def with_total(self, total: int | None) -> Snapshot[Key, Item]:
        """Return this snapshot with what the API says of the number of objects; None changes nothing."""
        return self if total is None else replace(self, total=total)

    def with_memory(self, memory: object) -> Snapshot[Key, Item]:
        """Return this snapshot with what its collector keeps from run to run."""
        return replace(self, memory=memory)

    def with_seconds(self, seconds: float) -> Snapshot[Key, Item]:
        """Return this snapshot with the duration of a whole walk."""
        return replace(self, seconds=seconds)

    def meeting(self, after: Key | None, upto: Key | None) -> tuple[Part[Key, Item], ...]:
        """Return the parts that speak for any of a range."""
        first, last = _meeting(self.parts, after, upto)
        return self.parts[first:last]

    def limit(self, stale_after: float) -> float:
        """Return the seconds for which a part may be shown: `stale_after`, or more where a walk is longer."""
        return stale_after if self.seconds <= stale_after else 2 * self.seconds

    def fresh(self, now: float, stale_after: float) -> tuple[Part[Key, Item], ...]:
        """Return the parts that were confirmed lately enough to be shown."""
        oldest = now - self.limit(stale_after)
        return tuple(part for part in self.parts if part.confirmed >= oldest)


_after: Callable[[Part[Any, Any]], Any] = attrgetter("after")
_upto: Callable[[Part[Any, Any]], Any] = attrgetter("upto")


def _meeting(parts: Sequence[Part[Key, Any]], after: Key | None, upto: Key | None) -> tuple[int, int]:
    """Return the numbers of the first part that speaks for any of a range, and of the one behind the last.

    They are looked for by halves: each page asks, and one by one a walk would take the square of its pages.
    """
    first, last = 0, len(parts)
    if after is not None:
        ending = last - (parts[-1:] != () and parts[-1].upto is None)
        first = bisect_right(parts, after, hi=ending, key=_upto)
    if upto is not None:
        beginning = int(parts[:1] != () and parts[0].after is None)
        last = bisect_left(parts, upto, lo=beginning, key=_after)
    return first, last
