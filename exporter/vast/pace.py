"""When a request may start: the API's minimum interval for each endpoint and key."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is kept above a documented threshold, so that jitter on the way never brings two requests too close.
MARGIN = 1.1
#: Seconds; neither Retry-After nor a threshold named in a 429 makes us wait longer at a time.
LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the API and its documented threshold: the least seconds between two requests with one key."""

    path: str
    threshold: float


class Pace:
    """The pace of one key; shared by every account that uses it, and safe to share between threads."""

    def __init__(self, *, clock: Callable[[], float], min_interval: float | None = None) -> None:
        self._clock = clock
        self._min_interval = min_interval
        self._lock = threading.Lock()
        self._raised: dict[str, float] = {}
        self._free_at: dict[str, float] = {}

    def interval(self, endpoint: Endpoint) -> float:
        """Return the seconds between two requests to `endpoint`."""
        usual = endpoint.threshold * MARGIN if self._min_interval is None else self._min_interval
        return max(usual, self._raised.get(endpoint.path, 0.0))

    def turn(self, endpoint: Endpoint, wait: Callable[[float], None]) -> None:
        """Return when a request to `endpoint` may start, and count it as started.

        Raises:
            Stopped: from `wait`.

        """
        while True:
            with self._lock:
                now = self._clock()
                delay = self._free_at.get(endpoint.path, now) - now
                if delay <= 0:
                    self._free_at[endpoint.path] = now + self.interval(endpoint)
                    return
            wait(delay)

    def sent(self, endpoint: Endpoint, at: float) -> None:
        """Note that a request left at `at`: later than its turn, where a connection had to be made first."""
        with self._lock:
            free_at = at + self.interval(endpoint)
            self._free_at[endpoint.path] = max(self._free_at.get(endpoint.path, free_at), free_at)

    def slow_down(self, endpoint: Endpoint, threshold: float) -> None:
        """Keep `endpoint` to the threshold (seconds) that a 429 named, from now on."""
        with self._lock:
            raised = min(threshold * MARGIN, LONGEST_WAIT)
            self._raised[endpoint.path] = max(self._raised.get(endpoint.path, 0.0), raised)


class Paces:
    """One `Pace` a key, found by the key's hash: two accounts with the same key share it."""

    def __init__(self, *, clock: Callable[[], float], min_interval: float | None = None) -> None:
        self._clock = clock
        self._min_interval = min_interval
        self._lock = threading.Lock()
        self._paces: dict[bytes, Pace] = {}

    def of(self, key: str) -> Pace:
        """Return the pace of `key`."""
        digest = hashlib.sha256(key.encode()).digest()
        with self._lock:
            if digest not in self._paces:
                self._paces[digest] = Pace(clock=self._clock, min_interval=self._min_interval)
            return self._paces[digest]
