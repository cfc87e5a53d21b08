"""The web side of a simulated fleet, with a clock that tests set forward instead of waiting."""

from __future__ import annotations

import http.client
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from exporter.commands.configuration import load
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.simulator import ManualClock, SimulatedVast
from exporter.web.app import create_app
from exporter.web.cuts import Cuts
from exporter.web.protocol import Limits
from exporter.web.server import BackgroundServer, listen
from tests.support.driven_site import driven_site

__all__ = [
    "PATIENCE",
    "Fleet",
    "Site",
    "driven_site",
    "fleet",
    "fleet_of",
    "serve",
    "site",
    "wait_until",
]

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.discovery.targets import Targets
    from exporter.exposition.body import Exposition
    from exporter.exposition.self_metrics import ConnectionCut
    from exporter.polling.loop import Loop

#: Seconds in which anything that is waited for has happened, on however busy a machine.
PATIENCE = 60.0


class Fleet:
    """What is served: all that was found in one run of each loop."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller

    @property
    def exposition(self) -> Exposition:
        return self._poller.exposition

    @property
    def targets(self) -> Targets | None:
        return self._poller.targets

    @property
    def loops(self) -> tuple[Loop, ...]:
        return tuple(self._poller.loops)

    def reload(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Site:
    """A server, and what there is to know of it from outside and inside."""

    server: BackgroundServer
    clock: ManualClock = field(default_factory=ManualClock)
    #: Why connections were cut.
    cuts: list[ConnectionCut] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.port

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(self.address, timeout=PATIENCE)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Ask as a well-behaved client does."""
        client = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            client.request("GET", path, headers=headers)
            reply = client.getresponse()
            return reply.status, reply.read()
        finally:
            client.close()

    @property
    def connections(self) -> int:
        """How many connections the server has."""
        return self.server.connections


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def fleet_of(size: int, folder: Path) -> Fleet:
    """Find so many instances in one run, after which time stands still: nothing gets stale or overdue."""
    config = folder / "config.yaml"
    config.write_text("api: {min_interval: 0s}\n")
    with SimulatedVast(size=size, clock=ManualClock(), thresholds=False) as vast:
        loaded = load(config, {"VAST_API_KEY": vast.key, "VAST_URL": vast.url}, {})
        poller = Poller(loaded, redact=Redactor(), clock=ManualClock())
        for loop in poller.loops:
            loop.run_once()
    return Fleet(poller)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """As many instances as make an answer that takes a reader some time."""
    return fleet_of(1000, tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def serve(fleet: Fleet) -> Iterator[Callable[..., Site]]:
    """Serve the fleet with some limits, for whose clock time stands still."""
    servers: list[BackgroundServer] = []

    def begin(tls: ssl.SSLContext | None = None, **limits: Any) -> Site:  # noqa: ANN401 - of any limit
        app = create_app(fleet, telemetry_path="/metrics", wall_clock=time.time)
        clock = ManualClock(1000.0)
        listening = listen("127.0.0.1", 0)
        reasons: list[ConnectionCut] = []
        cuts = Cuts(reasons.append)
        servers.append(
            BackgroundServer(app, listening, tls=tls, limits=Limits(**limits), clock=clock, cuts=cuts)
        )
        servers[-1].start()
        return Site(servers[-1], clock, reasons)

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture
def site(serve: Callable[..., Site]) -> Site:
    """Served with the limits that users have."""
    return serve()
