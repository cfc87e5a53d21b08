"""The targets of all accounts as JSON, or which accounts have not been read yet."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import ref

from exporter.discovery.target_groups import target_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.collectors.base import Store
    from exporter.collectors.fleet import Member
    from exporter.config.models import Discovery
    from exporter.exposition.self_metrics import Runs
    from exporter.metrics.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The instances of one account, and how the walks over them are doing.

    Attributes:
        account: its name.
        store: what is known of its instances.
        stale_after: seconds for which what was found may be shown.
        asked_since: since when addresses are asked for, in monotonic seconds.
        runs: how the walks went.

    """

    account: str
    store: Store
    stale_after: float
    asked_since: float
    runs: Runs

    @property
    def read(self) -> bool:
        """Whether a whole walk has asked for its addresses."""
        snapshot: Snapshot[int, Member] = self.store.snapshot
        return bool(snapshot.parts) and all(
            member.target is not None for part in snapshot.parts for member in part.items.values()
        )

    def awaited(self, now: float) -> bool:
        """Return whether its targets are not known, but may soon be.

        A Prometheus may still have them from before the exporter started. So nothing is answered for as
        long as they would have been shown without that start: until the first whole walk, and at most for
        `stale_after`, or until the first walk of all has ended where that takes longer.
        """
        return not self.read and (not self.runs.ended or now < self.asked_since + self.stale_after)


class Targets:
    """The targets of all accounts, as Prometheus's http_sd and file_sd read them.

    Args:
        fleets: of each account.
        choice: which ports and which instances.
        clock: monotonic seconds.

    """

    def __init__(self, fleets: Sequence[Fleet], choice: Discovery, *, clock: Callable[[], float]) -> None:
        self._fleets = fleets
        self._choice = choice
        self._clock = clock
        self._lock = threading.Lock()
        self._json = b""
        self._made_of: tuple[ref[Snapshot[int, Member]], ...] = ()
        self._until = float("-inf")

    def unread(self) -> list[str]:
        """Return the names of accounts whose targets are not known."""
        return [fleet.account for fleet in self._fleets if not fleet.read]

    def awaited(self) -> list[str]:
        """Return the names of accounts whose targets are not known, but may soon be."""
        now = self._clock()
        return [fleet.account for fleet in self._fleets if fleet.awaited(now)]

    def json(self) -> bytes:
        """Return the groups of all that is known and not stale; who asks together shares one rendering."""
        with self._lock:
            snapshots = [fleet.store.snapshot for fleet in self._fleets]
            if not self._is_current(snapshots):
                self._render(snapshots)
            return self._json

    def _is_current(self, snapshots: Sequence[Snapshot[int, Member]]) -> bool:
        return self._clock() < self._until and all(
            snapshot is it() for snapshot, it in zip(snapshots, self._made_of, strict=True)
        )

    def _render(self, snapshots: Sequence[Snapshot[int, Member]]) -> None:
        now = self._clock()
        self._until = float("inf")
        # A part at a time: the JSON of all would be one step, in which no other thread could answer a scrape.
        texts: list[str] = []
        for fleet, snapshot in zip(self._fleets, snapshots, strict=True):
            for part in snapshot.fresh(now, fleet.stale_after):
                self._until = min(self._until, part.confirmed + snapshot.limit(fleet.stale_after))
                groups = [
                    group
                    for instance, member in part.items.items()
                    for group in target_groups(fleet.account, instance, member, self._choice)
                ]
                if groups:
                    texts.append(json.dumps(groups, separators=(",", ":"), ensure_ascii=False)[1:-1])
        self._json = f"[{','.join(texts)}]".encode()
        self._made_of = tuple(map(ref, snapshots))
