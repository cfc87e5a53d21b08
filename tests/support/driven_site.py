"""The web side of loops that run only when a test says so, and of clocks that it sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.simulator import ManualClock
from exporter.vast.keys import Key
from exporter.web.app import create_app
from exporter.web.server import BackgroundServer, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.discovery.targets import Targets
    from exporter.exposition.body import Exposition
    from exporter.polling.loop import Loop
    from exporter.simulator import SimulatedVast

#: The name of an account that looks like HTML.
SCRIPT = "<script>alert(1)</script>"


@dataclass
class DrivenSite:
    """The web side of loops that run only when a test says so."""

    loops: list[Loop]
    exposition: Exposition
    clock: ManualClock
    wall_clock: ManualClock
    targets: Targets | None = None
    url: str = ""
    reloads: int = 0

    def run_all(self) -> None:
        for loop in self.loops:
            loop.run_once()

    def reload(self) -> tuple[str, ...]:
        self.reloads += 1
        return ()

    def get(self, path: str, **headers: str) -> requests.Response:
        plain = {"Accept-Encoding": "identity"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(self.url + path, headers=plain | named, timeout=30)


@pytest.fixture
def driven_site(vast: SimulatedVast) -> Iterator[DrivenSite]:
    """Two accounts: one that works, and one with a key that opens nothing and a name that looks like HTML."""
    clock, wall_clock = ManualClock(1000.0), ManualClock()
    config = CONFIG.model_validate(
        {
            "api": {"url": vast.url, "timeout": "20s", "min_interval": "0s"},
            "collectors": {
                name: {"interval": "90s", "stale_after": "5m"} for name in ("instances", "account")
            },
        }
    )
    accounts = [
        AccountKey(name, Key(value=key), {}) for name, key in (("research", vast.key), (SCRIPT, "wrong"))
    ]
    loaded = Loaded(config, tuple(accounts), ())
    poller = Poller(loaded, redact=Redactor(), clock=clock, wall_clock=wall_clock)
    made = DrivenSite(list(poller.loops), poller.exposition, clock, wall_clock)
    app = create_app(made, telemetry_path="/metrics", wall_clock=wall_clock)
    with BackgroundServer(app, listen("127.0.0.1", 0)) as server:
        made.url = server.url
        yield made
