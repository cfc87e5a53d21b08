"""Each account at a glance, for someone without Grafana: credit, price, instances, what is down."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.collectors import account, instances
from exporter.collectors.fleet import UNREADABLE
from exporter.collectors.instance_record import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.collectors.fleet import Member
    from exporter.exposition.body import Source
    from exporter.metrics.values import Number

RUNNING = "running"
#: An instance with one of these is on its way.
ON_ITS_WAY = {"provisioning", "created", "loading", "rebooting", RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One account. None stands for what is not known, or is older than may be shown.

    Attributes:
        account: its name.
        credit: dollars that can be spent.
        fleet: its instances.

    """

    account: str
    credit: Number | None
    fleet: Fleet | None

    @property
    def runway(self) -> float | None:
        """Hours until the credit is spent; None also where nothing spends it."""
        if self.credit is None or self.fleet is None or self.fleet.unreserved_burn <= 0:
            return None
        return max(0.0, self.credit / self.fleet.unreserved_burn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The instances of an account.

    Attributes:
        burn: dollars an hour that they cost now, without traffic.
        unreserved_burn: the same without reserved instances, which spend credit of their own.
        statuses: how many have each status.
        down: how many should run and neither do nor are on their way, by status.

    """

    burn: float
    unreserved_burn: float
    statuses: Mapping[str, int]
    down: Mapping[str, int]


def overviews(sources: Iterable[Source], now: float) -> Iterator[Overview]:
    """Yield one for each account that is polled, in the sources' order; `now` is monotonic."""
    by_account: dict[str, dict[str, Source]] = {}
    for source in sources:
        if source.collector.scope == "account":
            by_account.setdefault(source.account, {})[source.collector.name] = source
    for name, collectors in by_account.items():
        found = _items(collectors.get(account.COLLECTOR.name), now)
        members = _items(collectors.get(instances.COLLECTOR.name), now)
        yield Overview(
            account=name,
            credit=found[0].number(account.CREDIT) if found else None,
            fleet=_fleet(members) if members is not None else None,
        )


def _items(source: Source | None, now: float) -> list[Any] | None:
    """Return what a collector keeps of each object, or None where nothing may be shown."""
    parts = source.store.snapshot.fresh(now, source.stale_after) if source is not None else ()
    return [item for part in parts for item in part.items.values()] if parts else None


def _fleet(members: Iterable[Member]) -> Fleet:
    burn = unreserved = 0.0
    statuses: Counter[str] = Counter()
    down: Counter[str] = Counter()
    for member in members:
        status = member.status or UNREADABLE
        burn += member.burn
        unreserved += 0.0 if member.rental == RESERVED else member.burn
        statuses[status] += 1
        down[status] += member.intended_status == RUNNING and status not in ON_ITS_WAY
    return Fleet(burn=burn, unreserved_burn=unreserved, statuses=statuses, down=+down)
