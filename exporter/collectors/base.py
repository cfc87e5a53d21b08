"""What a collector is: what is asked of the API, its rows, and how replies become parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from exporter.metrics.snapshot import Part, Snapshot

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping

    from exporter.metrics.rows import Gauge, Metric, Reader
    from exporter.vast.client import Client
    from exporter.vast.pace import Endpoint


@dataclass(slots=True)
class Known:
    """The cell that holds the present snapshot of one collector of one account; readers just take it."""

    snapshot: Snapshot[Any] = field(default_factory=Snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: pages and objects so far, and how many objects there will be (None: not known)."""

    pages: int
    objects: int
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that one run of a collector may use.

    Attributes:
        account: the account's name, as in the label.
        client: the API with this account's key.
        filters: `select_filters` of the account.
        known: what is known from runs before; replaced as this one goes on.
        clock: monotonic seconds.
        wall_clock: seconds since the epoch.
        unreadable: counts the values that can't be read, by field.

    """

    account: str
    client: Client
    filters: Mapping[str, Any]
    known: Known
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    unreadable: Callable[[Counter[str]], None]


class Collect(Protocol):
    """Asks the API, puts what it says into `run.known`, and tells after each reply how far it is."""

    def __call__(self, run: Run, /) -> Iterator[Progress]:
        """Run once.

        Raises:
            ApiError: what is known stays as it is, but for the pages that were read.
            Stopped: the daemon goes down.

        """


class Summarise(Protocol):
    """Makes the lines that tell of all objects of an account together."""

    def __call__(
        self, account: str, parts: tuple[Part[Any], ...], snapshot: Snapshot[Any], most_labels: int, /
    ) -> Mapping[str, bytes]:
        """Return lines by metric, of `parts`: those of `snapshot` that may be shown, one at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A resource of the API.

    Attributes:
        name: the value of the label `collector`, and its key in the configuration.
        endpoint: what is asked.
        objects: what it collects, in the plural, for people.
        gauges: rows with a sample for each object.
        summaries: rows that `summarise` makes.
        extra_fields: readers of fields that no row has, but the collector needs.

    """

    name: str
    endpoint: Endpoint
    objects: str
    gauges: tuple[Gauge, ...]
    collect: Collect
    summaries: tuple[Metric, ...] = ()
    summarise: Summarise | None = None
    extra_fields: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field whose unreadable values are counted."""
        return (*self.extra_fields, *reads(self.gauges))


def reads(gauges: tuple[Gauge, ...]) -> dict[str, Reader]:
    """Return each field that rows read, and how, in the rows' order."""
    return {name: reader for gauge in gauges for name, reader in gauge.reads.items()}
