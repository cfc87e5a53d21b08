"""One user of the simulated Vast.ai."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.simulator.fleet.fleet import Fleet

#: The account that is there from the start.
DEFAULT_ACCOUNT = "default"


@dataclass(slots=True)
class Account:
    """A name, a fleet, and the key that opens it (None: every key was revoked)."""

    name: str
    fleet: Fleet
    key: str | None
    #: Searches of offers that are allowed on one day (UTC), and how many there were, by day.
    search_quota: int = 2_000
    searches: Counter[int] = field(default_factory=Counter)
