"""Declare a collector, from which the rest of the program is derived."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from exporter.config.models import CollectorSettings, Limits
from exporter.metrics.fields import Fields
from exporter.metrics.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.collectors.assumptions.declaration import Assumption
    from exporter.collectors.fleet import Rented
    from exporter.metrics.fields import Problems
    from exporter.metrics.rows import Metric, Row
    from exporter.metrics.snapshot import Part
    from exporter.vast.client import Client
    from exporter.vast.endpoints import Endpoint

#: `account`: runs for each account. `market`: runs once, with the first account's key.
Scope = Literal["account", "market"]


@dataclass(slots=True)
class Store:
    """Holds the current snapshot of one collector of one account; readers take it without a lock."""

    snapshot: Snapshot[Any, Any] = field(default_factory=Snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a run.

    Attributes:
        pages: pages so far.
        objects: objects so far.
        total: expected number of objects, or None if unknown.
        total_pages: expected number of pages, or None if unknown.

    """

    pages: int
    objects: int
    total: int | None
    total_pages: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that one run of a collector may use.

    Attributes:
        account: account name, as in the label; "" for the market.
        client: API client with this account's key.
        filters: the account's `select_filters`.
        settings: the collector's configuration.
        limits: configured limits on the number of series.
        store: state from earlier runs; updated during this one.
        clock: returns monotonic seconds.
        wall_clock: returns seconds since the epoch.
        report: called with unusable values.
        set_by: returns the seconds by which the wall clock has been set since the start.
        fleet: returns the instances of all accounts that are not stale; it first waits for accounts not yet
            collected.

    """

    account: str
    client: Client
    filters: Mapping[str, Any]
    settings: CollectorSettings
    limits: Limits
    store: Store
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    report: Callable[[Problems], None]
    set_by: Callable[[], float] = lambda: 0.0
    fleet: Callable[[], Iterable[Rented]] = tuple


class Collect(Protocol):
    """Requests data from the API, stores it in `run.store`, and yields its progress after each reply."""

    def __call__(self, run: Run, /) -> Iterator[Progress]:
        """Run once.

        Raises:
            ApiError: a request failed; the state remains, apart from the pages already read.
            Stopped: the exporter is shutting down.

        """


class Summarise(Protocol):
    """Makes the lines that summarise all objects of an account."""

    def __call__(
        self,
        account: str,
        parts: tuple[Part[Any, Any], ...],
        snapshot: Snapshot[Any, Any],
        most_labels: int,
        /,
    ) -> Mapping[str, bytes]:
        """Return lines by metric from `parts`: the fresh parts of `snapshot`, at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A resource of the API and everything known about it.

    Attributes:
        name: value of the label `collector`, and its key in the configuration.
        title: heading in the documentation.
        about: what it collects, as a short phrase that can follow a colon.
        permission: permission that its key needs, as the vendor names it; "" if undocumented.
        endpoints: all endpoints that it requests.
        objects: what it collects, in the plural.
        interval: default seconds from the start of one run to the start of the next.
        stale_after: default seconds after which data is stale.
        collect: makes one run.
        enabled: whether it is on by default; if so, `/-/ready` waits for its first run.
        undocumented: whether the vendor does not document who has access. A missing resource or permission is
            then not a failure but "not available".
        filtered: whether the account's `select_filters` apply to it.
        scope: for whom it runs.
        settings: model of its configuration.
        rows: metrics with a sample per object.
        summaries: metrics from `summarise`.
        summarise: counts and sums the objects.
        groups: subject of each group, if its metrics have more than one; see `Metric.group`.
        further_fields: fields that it reads for no row of its own.
        further_ranged_fields: those among `further_fields` that have a plausible range.
        not_exported: why the other fields of its replies have no metric, by field.
        requests: number of requests per run without failures.
        requests_for: what `requests` is counted per, in words; "" for the whole run.
        opens: what else the permission gives to anyone with the key.
        assumptions: its assumptions about the API.
        addressed: the variant that also requests addresses; replaces it while discovery is on.

    """

    name: str
    title: str
    about: str
    permission: str
    endpoints: tuple[Endpoint, ...]
    objects: str
    interval: float
    stale_after: float
    collect: Collect
    enabled: bool = False
    undocumented: bool = False
    filtered: bool = False
    scope: Scope = "account"
    settings: type[CollectorSettings] = CollectorSettings
    rows: tuple[Row[Any], ...] = ()
    summaries: tuple[Metric, ...] = ()
    summarise: Summarise | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    further_fields: tuple[str, ...] = ()
    further_ranged_fields: tuple[str, ...] = ()
    not_exported: Mapping[str, str] = field(default_factory=dict)
    requests: int = 1
    requests_for: str = ""
    opens: str = ""
    assumptions: tuple[Assumption, ...] = ()
    addressed: Collector | None = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All its metrics with their groups, in the order of the exposition."""
        metrics = (*self.summaries, *self.rows)
        return tuple(each if each.group else replace(each, group=self.name) for each in metrics)

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields whose unusable values are counted."""
        return (*self.further_fields, *fields_of(self.rows).names)

    @property
    def ranged_fields(self) -> tuple[str, ...]:
        """All fields with a plausible range."""
        return (*self.further_ranged_fields, *fields_of(self.rows).ranged)


def fields_of(rows: tuple[Row[Any], ...]) -> Fields:
    """Return the fields that rows read, in the order of the rows."""
    return Fields(each for row in rows for each in row.fields)
