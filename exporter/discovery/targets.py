"""Return the targets of all accounts as JSON, or the accounts not yet collected."""

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
    """The instances of one account, and the state of its walks.

    Attributes:
        account: account name.
        store: data of its instances.
        stale_after: seconds after which the data is stale.
        asked_since: since when addresses have been requested, in monotonic seconds.
        runs: state of its walks.

    """

    account: str
    store: Store
    stale_after: float
    asked_since: float
    runs: Runs

    @property
    def read(self) -> bool:
        """Whether a complete walk has requested its addresses."""
        snapshot: Snapshot[int, Member] = self.store.snapshot
        return bool(snapshot.parts) and all(
            member.target is not None for part in snapshot.parts for member in part.items.values()
        )

    def awaited(self, now: float) -> bool:
        """Return whether its targets are unknown but may soon be known.

        A Prometheus server may still have targets from before the exporter's start. Discovery therefore does
        not respond for as long as these would have stayed valid without the start. That is until the first
        complete walk, but at most for `stale_after`, or until the very first walk has ended if that takes
        longer.
        """
        return not self.read and (not self.runs.ended or now < self.asked_since + self.stale_after)


class Targets:
    """The targets of all accounts, in the format of Prometheus's http_sd and file_sd.

    Args:
        fleets: the fleet of each account.
        choice: selected ports and labels.
        clock: returns monotonic seconds.

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
        """Return the accounts whose targets are unknown."""
        return [fleet.account for fleet in self._fleets if not fleet.read]

    def awaited(self) -> list[str]:
        """Return the accounts whose targets are unknown but may soon be known."""
        now = self._clock()
        return [fleet.account for fleet in self._fleets if fleet.awaited(now)]

    def json(self) -> bytes:
        """Return the target groups of all fresh data; concurrent requests share one rendering."""
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
        # Part by part: encoding everything in one step would block other threads from answering scrapes.
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
