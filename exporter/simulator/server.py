"""Serve a simulated Vast.ai: accounts with fleets, the API, and a port on this machine."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Self

from exporter.simulator.account import DEFAULT_ACCOUNT, Account
from exporter.simulator.api.app import RUN_HOST, build_app
from exporter.simulator.api.faults import Faults
from exporter.simulator.api.rate_limits import RateLimits
from exporter.simulator.clock import SimulatedClock
from exporter.simulator.endpoints import find_endpoints
from exporter.simulator.fleet.fleet import Fleet
from exporter.web.server import BackgroundServer, listen

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from exporter.simulator.api.request_log import LoggedRequest
    from exporter.simulator.fleet.incident_types import Incident, IncidentType

#: Key of the default account, recognisable as fake.
DEMO_KEY = "demo-key-of-the-simulator-which-opens-nothing"
HOST = "127.0.0.1"
#: Maximum number of requests in the log.
LOG_SIZE = 50_000


class SimulatedVast:
    """Serves as a context manager (`with SimulatedVast() as vast: vast.url`); others may serve `app`.

    Args:
        size: approximate number of instances of the default account.
        seed: seed of its fleet.
        key: key of the default account.
        clock: returns simulated seconds since the epoch; by default, real time.
        monotonic: clock for the rate limits.
        thresholds: whether to enforce the rate limits.
        incidents: whether incidents also happen spontaneously.
        port: port to serve on; 0 for a free one.

    """

    def __init__(
        self,
        *,
        size: int = 60,
        seed: int = 1,
        key: str = DEMO_KEY,
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        thresholds: bool = True,
        incidents: bool = True,
        port: int = 0,
    ) -> None:
        self.key = key
        self.clock = clock or SimulatedClock(time.time())
        self.monotonic = monotonic
        endpoints = find_endpoints()
        documented = {one.path: one.threshold for one in endpoints if one.threshold is not None}
        per_minute = {one.path: one.per_minute for one in endpoints if one.per_minute is not None}
        self.rate_limits = RateLimits(documented, per_minute) if thresholds else RateLimits({})
        self.faults = Faults()
        self.requests: deque[LoggedRequest] = deque(maxlen=LOG_SIZE)
        self.accounts: dict[str, Account] = {}
        self._by_key: dict[str, Account] = {}
        self._incidents = incidents
        self._port = port
        self._server: BackgroundServer | None = None
        self.app = build_app(self, endpoints)
        self.add_account(DEFAULT_ACCOUNT, key, size=size, seed=seed)

    @property
    def fleet(self) -> Fleet:
        """The default account's fleet at the current time."""
        return self.fleet_of(DEFAULT_ACCOUNT)

    @property
    def url(self) -> str:
        """Base URL; raises RuntimeError while it is not served."""
        if self._server is None:
            raise RuntimeError("the simulator is not being served")
        return self._server.url

    @property
    def run_url(self) -> str:
        """Base URL of the host for serverless workers."""
        return self.url.replace(HOST, RUN_HOST, 1)

    def fleet_of(self, name: str) -> Fleet:
        """Return an account's fleet at the current time."""
        fleet = self.accounts[name].fleet
        fleet.advance(self.clock())
        return fleet

    def inject(
        self, incident_type: IncidentType, instance_id: int | None = None, duration: float = 900.0
    ) -> Incident:
        """Start an incident in the default account's fleet now; see `Fleet.inject`."""
        return self.fleet.inject(incident_type, instance_id, duration)

    def add_account(self, name: str, key: str, *, size: int = 60, seed: int = 1) -> Account:
        """Add an account with its own fleet."""
        if name in self.accounts or key in self._by_key:
            raise ValueError(f"account {name}: its name or its key is taken")
        fleet = Fleet(seed, size, self.clock(), incidents=self._incidents)
        account = Account(name, fleet, key)
        self.accounts[name] = account
        self._by_key[key] = account
        return account

    def account_of(self, key: str | None) -> Account | None:
        """Return the account of a key."""
        return None if key is None else self._by_key.get(key)

    def revoke(self, name: str = DEFAULT_ACCOUNT) -> None:
        """Revoke all keys of the account."""
        account = self.accounts[name]
        if account.key is not None:
            del self._by_key[account.key]
            account.key = None

    def rotate(self, key: str, name: str = DEFAULT_ACCOUNT) -> None:
        """Replace the account's key."""
        self.revoke(name)
        self.accounts[name].key = key
        self._by_key[key] = self.accounts[name]
        if name == DEFAULT_ACCOUNT:
            self.key = key

    def __enter__(self) -> Self:
        self._server = BackgroundServer(self.app, listen(HOST, self._port))
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
