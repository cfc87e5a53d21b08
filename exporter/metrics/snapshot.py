"""Hold the current state as immutable, dated snapshots that are replaced as a whole.

A part contains the result of one reply for a range of keys, as lines ready to be served. A snapshot contains
all parts of one collector of one account. A new part replaces exactly the range that it covers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class Orderable(Protocol):
    """A type with an order, such as numbers and strings."""

    def __lt__(self, other: Any, /) -> bool: ...  # noqa: ANN401 - anything of its type
    def __le__(self, other: Any, /) -> bool: ...  # noqa: ANN401 - anything of its type


#: Identifies an object and sorts all objects of its kind.
Key = TypeVar("Key", bound=Orderable)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Samples of some objects, as text.

    Attributes:
        text: lines by metric name, in the order of the objects; metrics without samples are absent.
        counts: number of lines per object, one byte each in the order of the objects, for metrics that do not
            have exactly one line per object.

    """

    text: Mapping[str, bytes]
    counts: Mapping[str, bytes] = field(default_factory=dict)

    def of(self, first: int, last: int) -> Lines:
        """Return the lines of the objects with index `first` to `last`, excluding `last`."""
        text: dict[str, bytes] = {}
        counts: dict[str, bytes] = {}
        for name, chunk in self.text.items():
            before, behind = first, last
            if (each := self.counts.get(name)) is not None:
                before, behind = sum(each[:first]), sum(each[:last])
                counts[name] = each[first:last]
            if before < behind:
                # Only split at \n: a label value may contain other line separators.
                text[name] = b"".join(line + b"\n" for line in chunk.split(b"\n")[before:behind])
        return Lines(text=text, counts={name: each for name, each in counts.items() if name in text})


NO_LINES = Lines(text={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Key, Item]):
    """The result of one reply: the objects with after < key <= upto.

    Attributes:
        confirmed: when the reply arrived, in monotonic seconds.
        lines: samples of its objects, in the order of `items`.
        items: data kept of each object besides its lines, by ascending key.
        after: start of the range, excluded; None for the start of all keys.
        upto: end of the range, included; None for the end of all keys.
        set_by: seconds by which the wall clock had been set when the reply arrived.

    """

    confirmed: float
    lines: Lines
    items: Mapping[Key, Item]
    after: Key | None = None
    upto: Key | None = None
    set_by: float = 0.0

    def before(self, key: Key | None) -> Part[Key, Item] | None:
        """Return this part up to `key`, or None if it covers nothing there."""
        if key is None or (self.after is not None and key <= self.after):
            return None
        return self if self.upto is not None and self.upto <= key else self._cut(self.after, key)

    def behind(self, key: Key | None) -> Part[Key, Item] | None:
        """Return this part after `key`, or None if it covers nothing there."""
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
    """Current state of one collector of one account.

    Attributes:
        parts: parts in ascending order, without overlap.
        total: number of objects according to the API, or None.
        seconds: duration of the last complete walk.
        memory: immutable data that the collector keeps between runs, mostly counters.

    """

    parts: tuple[Part[Key, Item], ...] = ()
    total: int | None = None
    seconds: float = 0.0
    memory: Any = None

    def replacing(self, new: Iterable[Part[Key, Item]]) -> Snapshot[Key, Item]:
        """Return a snapshot in which the `new` parts replace the ranges that they cover."""
        parts = self.parts
        for part in new:
            first, last = _meeting(parts, part.after, part.upto)
            met = parts[first:last]
            heads = [head for old in met if (head := old.before(part.after)) is not None]
            tails = [tail for old in met if (tail := old.behind(part.upto)) is not None]
            parts = (*parts[:first], *heads, part, *tails, *parts[last:])
        return replace(self, parts=parts)

    def with_total(self, total: int | None) -> Snapshot[Key, Item]:
        """Return this snapshot with the API's number of objects; None leaves it unchanged."""
        return self if total is None else replace(self, total=total)

    def with_memory(self, memory: object) -> Snapshot[Key, Item]:
        """Return this snapshot with the data that its collector keeps between runs."""
        return replace(self, memory=memory)

    def with_seconds(self, seconds: float) -> Snapshot[Key, Item]:
        """Return this snapshot with the duration of a complete walk."""
        return replace(self, seconds=seconds)

    def meeting(self, after: Key | None, upto: Key | None) -> tuple[Part[Key, Item], ...]:
        """Return the parts that overlap a range."""
        first, last = _meeting(self.parts, after, upto)
        return self.parts[first:last]

    def limit(self, stale_after: float) -> float:
        """Return the maximum age of a part in seconds: `stale_after`, or more if a walk takes longer."""
        return stale_after if self.seconds <= stale_after else 2 * self.seconds

    def fresh(self, now: float, stale_after: float) -> tuple[Part[Key, Item], ...]:
        """Return the parts that are not stale."""
        oldest = now - self.limit(stale_after)
        return tuple(part for part in self.parts if part.confirmed >= oldest)


_after: Callable[[Part[Any, Any]], Any] = attrgetter("after")
_upto: Callable[[Part[Any, Any]], Any] = attrgetter("upto")


def _meeting(parts: Sequence[Part[Key, Any]], after: Key | None, upto: Key | None) -> tuple[int, int]:
    """Return the index of the first part that overlaps a range, and the index after the last.

    It uses a binary search. Each page calls it, and a linear search would make a walk quadratic.
    """
    first, last = 0, len(parts)
    if after is not None:
        ending = last - (parts[-1:] != () and parts[-1].upto is None)
        first = bisect_right(parts, after, hi=ending, key=_upto)
    if upto is not None:
        beginning = int(parts[:1] != () and parts[0].after is None)
        last = bisect_left(parts, upto, lo=beginning, key=_after)
    return first, last
