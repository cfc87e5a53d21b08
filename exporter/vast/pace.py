"""Decide when a request may start, by the API's minimum interval for each endpoint and key."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.vast.endpoints import Endpoint

#: Margin above the documented threshold, so that network jitter never brings two requests too close.
MARGIN = 1.1
#: Seconds after the last use of a key before its pace is dropped, since keys are rotated.
FORGOTTEN_AFTER = 86_400.0
#: Maximum seconds of one wait, whatever a 429 asks for.
LONGEST_WAIT = 60.0


class Pace:
    """Pace of one key, shared by all accounts that use it; thread-safe."""

    def __init__(self, *, clock: Callable[[], float], min_interval: float | None = None) -> None:
        self.min_interval = min_interval
        self._clock = clock
        self._lock = threading.Lock()
        self._raised: dict[Endpoint, float] = {}
        self._last: dict[Endpoint, float] = {}
        self._shut_until: dict[Endpoint, float] = {}

    def interval(self, endpoint: Endpoint) -> float:
        """Return the minimum seconds between two requests to `endpoint`."""
        usual = endpoint.threshold * MARGIN if self.min_interval is None else self.min_interval
        return max(usual, self._raised.get(endpoint, 0.0))

    def turn(self, endpoint: Endpoint, wait: Callable[[float], None]) -> None:
        """Wait until a request to `endpoint` may start, and record its start.

        Raises:
            Stopped: the wait was interrupted.

        """
        while True:
            with self._lock:
                now = self._clock()
                delay = self._free_at(endpoint, now) - now
                if delay <= 0:
                    self._last[endpoint] = now
                    return
            wait(delay)

    def leaving(self, endpoint: Endpoint) -> None:
        """Record that a request is sent now: later than its turn if a connection was opened first."""
        with self._lock:
            self._last[endpoint] = self._clock()

    def refused(self, endpoint: Endpoint, *, threshold: float | None, retry_after: float | None) -> None:
        """Slow down after a 429, for all users of the key.

        Args:
            endpoint: the endpoint.
            threshold: minimum seconds between requests according to the reply, kept from now on.
            retry_after: seconds to wait according to the reply.

        """
        with self._lock:
            if threshold is not None:
                raised = min(threshold * MARGIN, LONGEST_WAIT)
                self._raised[endpoint] = max(self._raised.get(endpoint, 0.0), raised)
            if retry_after is not None:
                until = self._clock() + min(retry_after, LONGEST_WAIT)
                self._shut_until[endpoint] = max(self._shut_until.get(endpoint, until), until)

    def _free_at(self, endpoint: Endpoint, now: float) -> float:
        last = self._last.get(endpoint)
        shut_until = self._shut_until.get(endpoint, now)
        return shut_until if last is None else max(shut_until, last + self.interval(endpoint))


class Paces:
    """One `Pace` per key, found by the key's hash; accounts with the same key share it."""

    def __init__(self, *, clock: Callable[[], float], min_interval: float | None = None) -> None:
        self._clock = clock
        self._min_interval = min_interval
        self._lock = threading.Lock()
        #: Pace and time of last use by key hash, least recently used first.
        self._paces: dict[bytes, tuple[Pace, float]] = {}

    def of(self, key: str) -> Pace:
        """Return the pace of `key`."""
        digest = hashlib.sha256(key.encode()).digest()
        with self._lock:
            now = self._clock()
            known = self._paces.pop(digest, None)
            pace = known[0] if known else Pace(clock=self._clock, min_interval=self._min_interval)
            self._paces[digest] = pace, now
            if known is None:
                self._forget(now - FORGOTTEN_AFTER)
            return pace

    def set_min_interval(self, seconds: float | None) -> None:
        """Set the configured minimum interval; limits from past replies stay in force."""
        with self._lock:
            self._min_interval = seconds
            for pace, _ in self._paces.values():
                pace.min_interval = seconds

    def _forget(self, before: float) -> None:
        while self._paces:
            digest, (_, asked) = next(iter(self._paces.items()))
            if asked >= before:
                return
            del self._paces[digest]
