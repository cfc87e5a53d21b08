"""Each account at a glance, for someone without Grafana: credit, price, instances, problems, age."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.collectors import account, instances, notifications, serverless
from exporter.collectors.fleet import UNREADABLE
from exporter.collectors.instance_record import RESERVED
from exporter.exposition.problems import WORKER_SECONDS, Case, problems, told_offline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.exposition.body import Source
    from exporter.exposition.problems import Problem
    from exporter.metrics.snapshot import Part
    from exporter.metrics.values import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One account. None stands for what is not known, or is older than may be shown.

    Attributes:
        account: its name.
        credit: dollars that can be spent.
        fleet: its instances.
        age: seconds since the API confirmed the oldest of this.

    """

    account: str
    credit: Number | None
    fleet: Fleet | None
    age: float | None

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
        problems: problems, worst first, with the number of instances that have each.

    """

    burn: float
    unreserved_burn: float
    statuses: Mapping[str, int]
    problems: Sequence[tuple[Problem, int]]


@dataclass(frozen=True, slots=True)
class Moment:
    """The same time by both clocks: monotonic seconds, and seconds since the epoch."""

    monotonic: float
    epoch: float


def overviews(sources: Iterable[Source], now: Moment) -> Iterator[Overview]:
    """Yield one for each account that is polled, in the sources' order."""
    by_account: dict[str, dict[str, Source]] = {}
    for source in sources:
        if source.collector.scope == "account":
            by_account.setdefault(source.account, {})[source.collector.name] = source
    for name, collectors in by_account.items():
        yield _overview(name, collectors, now)


def _overview(name: str, collectors: Mapping[str, Source], now: Moment) -> Overview:
    money = _parts(collectors.get(account.COLLECTOR.name), now)
    fleet = _parts(collectors.get(instances.COLLECTOR.name), now)
    credits_ = [item.number(account.CREDIT) for part in money for item in part.items.values()]
    confirmed = [part.confirmed for part in (*money, *fleet)]
    return Overview(
        account=name,
        credit=credits_[0] if credits_ else None,
        fleet=_fleet(_cases(fleet, collectors, now)) if fleet else None,
        age=now.monotonic - min(confirmed) if confirmed else None,
    )


def _parts(source: Source | None, now: Moment, longer: float = 0.0) -> tuple[Part[Any, Any], ...]:
    """Return what a collector knows and may be shown, or could be until some seconds ago."""
    if source is None:
        return ()
    return source.store.snapshot.fresh(now.monotonic, source.stale_after + longer)


def _cases(fleet: Iterable[Part[Any, Any]], collectors: Mapping[str, Source], now: Moment) -> Iterator[Case]:
    workers = _workers(collectors.get(serverless.COLLECTOR.name), now)
    offline = _told_offline(collectors.get(notifications.COLLECTOR.name), now)
    for part in fleet:
        for key, member in part.items.items():
            yield Case(member, now.epoch, worker=key in workers, told_offline=key in offline)


def _workers(source: Source | None, now: Moment) -> frozenset[int]:
    """Return the instances that are workers of serverless endpoints, or were lately."""
    return frozenset(
        instance
        for part in _parts(source, now, WORKER_SECONDS)
        for workers in part.items.values()
        if workers is not None
        for instance in workers.ids
    )


def _told_offline(source: Source | None, now: Moment) -> frozenset[int]:
    """Return the instances whose host is offline, as the inbox says."""
    if source is None or not _parts(source, now):
        return frozenset()
    return told_offline(source.store.snapshot.memory.latest, now.epoch)


def _fleet(cases: Iterable[Case]) -> Fleet:
    burn = unreserved = 0.0
    statuses: Counter[str] = Counter()
    known = list(cases)
    for case in known:
        member = case.member
        burn += member.burn
        unreserved += 0.0 if member.rental == RESERVED else member.burn
        statuses[member.status or UNREADABLE] += 1
    return Fleet(burn=burn, unreserved_burn=unreserved, statuses=statuses, problems=problems(known))
