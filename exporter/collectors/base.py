"""What a collector is: one declaration, from which the rest of the program is derived."""

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

#: `account`: it runs for each account. `market`: it runs once, with the first account's key.
Scope = Literal["account", "market"]


@dataclass(slots=True)
class Store:
    """Holds the present snapshot of one collector of one account; readers just take it."""

    snapshot: Snapshot[Any, Any] = field(default_factory=Snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        pages: so far.
        objects: so far.
        total: how many objects there will be, or None where that is not known.
        total_pages: how many pages there will be, or None.

    """

    pages: int
    objects: int
    total: int | None
    total_pages: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that one run of a collector may use.

    Attributes:
        account: the account's name, as in the label; "" for the market.
        client: the API with this account's key.
        filters: `select_filters` of the account.
        settings: of the collector, as configured.
        limits: of the number of series, as configured.
        store: what is known from runs before; replaced as this one goes on.
        clock: monotonic seconds.
        wall_clock: seconds since the epoch.
        report: told of values that were no use.
        set_by: seconds by which the wall clock was set since the start.
        fleet: returns the instances of all accounts that may be shown; it waits for those that were not asked
            for yet.

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
    """Asks the API, puts what it says into `run.store`, and tells after each reply how far it is."""

    def __call__(self, run: Run, /) -> Iterator[Progress]:
        """Run once.

        Raises:
            ApiError: what is known stays as it is, but for the pages that were read.
            Stopped: the exporter goes down.

        """


class Summarise(Protocol):
    """Makes the lines that tell of all objects of an account together."""

    def __call__(
        self,
        account: str,
        parts: tuple[Part[Any, Any], ...],
        snapshot: Snapshot[Any, Any],
        most_labels: int,
        /,
    ) -> Mapping[str, bytes]:
        """Return lines by metric, of `parts`: those of `snapshot` that may be shown, one at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A resource of the API, and all that there is to say of it.

    Attributes:
        name: the value of the label `collector`, and its key in the configuration.
        title: heads its part of the documentation.
        about: what it collects, in a few words that may follow a colon.
        permission: what a key needs for it, in the vendor's words; "" where that is not documented.
        endpoints: what is asked, and nothing else.
        objects: what it collects, in the plural.
        interval: seconds from the start of one run to that of the next, unless configured otherwise.
        stale_after: seconds for which what was found is shown, unless configured otherwise.
        collect: a run of it.
        enabled: whether it is on unless configured otherwise; if so, `/-/ready` waits for its first run.
        undocumented: whether the vendor does not say who gets it: that the API does not have it, or not for
            this key, is then no failure; it is just not available.
        filtered: whether `select_filters` of the account say what it asks for.
        scope: for whom it runs.
        settings: what can be configured of it.
        rows: metrics with a sample for each object.
        summaries: metrics that `summarise` makes.
        summarise: counts and adds up.
        groups: what its metrics are about, by group, where they are more than one; see `Metric.group`.
        further_fields: fields that it reads for no row of its own.
        further_ranged_fields: those of them of which not all that can be read can be true.
        not_exported: why no metric is made of the other fields of its replies, by field.
        requests: how many a run makes, where nothing fails.
        requests_for: what has each so many, in words; "" for the run as a whole.
        opens: what the permission opens beside what is asked, to whoever has the key.
        assumptions: what it takes for true of the API, and how sure that is.
        addressed: the same, but that it asks for addresses too; runs instead while discovery is on.

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
        """All its metrics, in the order in which they are served, each with its group."""
        metrics = (*self.summaries, *self.rows)
        return tuple(each if each.group else replace(each, group=self.name) for each in metrics)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field whose useless values are counted."""
        return (*self.further_fields, *fields_of(self.rows).names)

    @property
    def ranged_fields(self) -> tuple[str, ...]:
        """Every field of which not all that can be read can be true."""
        return (*self.further_ranged_fields, *fields_of(self.rows).ranged)


def fields_of(rows: tuple[Row[Any], ...]) -> Fields:
    """Return the fields that rows read, in the rows' order."""
    return Fields(each for row in rows for each in row.fields)
