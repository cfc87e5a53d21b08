"""One user of the simulated Vast.ai."""

from __future__ import annotations

from dataclasses import dataclass
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
