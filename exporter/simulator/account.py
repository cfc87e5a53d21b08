"""Define an account of the simulated Vast.ai."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.simulator.fleet.fleet import Fleet

#: The account that exists from the start.
DEFAULT_ACCOUNT = "default"


@dataclass(slots=True)
class Account:
    """An account with its name, its fleet and its key (None if all keys were revoked)."""

    name: str
    fleet: Fleet
    key: str | None
    #: Daily quota of offer searches (UTC), and the number of searches by day.
    search_quota: int = 2_000
    searches: Counter[int] = field(default_factory=Counter)
