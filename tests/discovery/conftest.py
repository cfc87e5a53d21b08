"""Discovery over a simulated fleet, with clocks that tests move."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.simulator import ManualClock, SimulatedVast
from exporter.vast.keys import Key

__all__ = [
    "Discovering",
    "discovering",
    "vast",
]

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"research": "the-key-of-research", "batch": "the-key-of-batch"}


@pytest.fixture
def vast() -> Iterator[SimulatedVast]:
    """Two accounts whose fleets stand still."""
    with SimulatedVast(size=30, key=KEYS["research"], clock=ManualClock(), thresholds=False) as served:
        served.add_account("batch", KEYS["batch"], size=10, seed=2)
        yield served


@dataclass
class Discovering:
    """A poller whose walks go on when a test says so.

    Attributes:
        poller: of all accounts.
        loaded: its configuration.
        clock: by which what it knows ages.

    """

    poller: Poller
    loaded: Loaded
    clock: ManualClock

    def walk(self, *accounts: str) -> None:
        """Walk over the instances of some accounts, or of all."""
        for loop in self.poller.loops:
            if loop.job.collector.name == "instances" and loop.job.account in (accounts or KEYS):
                loop.run_once()

    def awaited(self) -> list[str]:
        """Return the accounts for which discovery waits."""
        assert self.poller.targets is not None
        return self.poller.targets.awaited()

    def groups(self) -> list[dict[str, Any]]:
        """Return what Prometheus would get."""
        assert self.poller.targets is not None
        found: list[dict[str, Any]] = json.loads(self.poller.targets.json())
        return found

    def accounts(self) -> set[str]:
        """Return the accounts that have a target."""
        return {group["labels"]["__meta_vastai_account"] for group in self.groups()}

    def metrics(self) -> str:
        """Return what a scrape gets."""
        return b"".join(self.poller.exposition.body(openmetrics=False, gzip=False).pieces).decode()

    def reload(self, **discovery: object) -> None:
        """Go on with other settings of discovery."""
        changed = self.loaded.config.model_copy(
            update={"discovery": type(self.loaded.config.discovery)(**discovery)}  # type: ignore[arg-type]
        )
        self.loaded = replace(self.loaded, config=changed)
        self.poller.apply(self.loaded)


@pytest.fixture
def discovering(vast: SimulatedVast) -> Discovering:
    """Discovery is on; nothing has been read."""
    config = CONFIG.model_validate(
        {"api": {"url": vast.url, "min_interval": "0s", "timeout": "20s"}, "discovery": {"enabled": True}}
    )
    loaded = Loaded(config, tuple(AccountKey(name, Key(value=key), {}) for name, key in KEYS.items()), ())
    clock = ManualClock(1000.0)
    return Discovering(Poller(loaded, redact=Redactor(), clock=clock), loaded, clock)
