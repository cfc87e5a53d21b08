"""Hold the instances of one account in order of id."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.simulator.fleet.instance import Instance


class Roster:
    """Finds instances by id and position; appends and look-ups are cheap."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._by_id: dict[int, Instance] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Instance]:
        """Iterate in order of id."""
        return map(self._by_id.__getitem__, self._ids)

    def ids(self) -> list[int]:
        """Return all ids in ascending order."""
        return list(self._ids)

    def get(self, instance_id: int) -> Instance | None:
        """Return the instance, or None if the id does not exist."""
        return self._by_id.get(instance_id)

    def at(self, index: int) -> Instance:
        """Return the instance at a position in the order of ids."""
        return self._by_id[self._ids[index]]

    def add(self, instance: Instance) -> None:
        """Add an instance whose id is higher than all others."""
        self._ids.append(instance.id)
        self._by_id[instance.id] = instance

    def remove(self, instance: Instance) -> None:
        """Remove an instance."""
        del self._ids[bisect_left(self._ids, instance.id)]
        del self._by_id[instance.id]

    def after(self, instance_id: int | None) -> Iterator[Instance]:
        """Yield the instances with a higher id in ascending order; all for None."""
        first = 0 if instance_id is None else bisect_right(self._ids, instance_id)
        for index in range(first, len(self._ids)):
            yield self._by_id[self._ids[index]]
