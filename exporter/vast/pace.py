"""When a request may start: the API's minimum interval for each endpoint and key."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.vast.endpoints import Endpoint

#: What is kept above a documented threshold, so that jitter on the way never brings two requests too close.
MARGIN = 1.1
#: Seconds for which nobody asked with a key, after which nothing is known of it any more: keys are rotated.
FORGOTTEN_AFTER = 86_400.0
#: Seconds; neither Retry-After nor a threshold named in a 429 makes us wait longer at a time.
LONGEST_WAIT = 60.0


class Pace:
    """The pace of one key; shared by every account that uses it, and safe to share between threads."""

    def __init__(self, *, clock: Callable[[], float], min_interval: float | None = None) -> None:
        self.min_interval = min_interval
        self._clock = clock
        self._lock = threading.Lock()
        self._raised: dict[Endpoint, float] = {}
        self._last: dict[Endpoint, float] = {}
        self._shut_until: dict[Endpoint, float] = {}

    def interval(self, endpoint: Endpoint) -> float:
        """Return the seconds between two requests to `endpoint`."""
        usual = endpoint.threshold * MARGIN if self.min_interval is None else self.min_interval
        return max(usual, self._raised.get(endpoint, 0.0))

    def turn(self, endpoint: Endpoint, wait: Callable[[float], None]) -> None:
        """Return when a request to `endpoint` may start, and count it as started.

        Raises:
            Stopped: from `wait`.

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
        """Note that a request leaves now: later than its turn, where a connection had to be made first."""
        with self._lock:
            self._last[endpoint] = self._clock()

    def refused(self, endpoint: Endpoint, *, threshold: float | None, retry_after: float | None) -> None:
        """Heed a 429, for all that use the key.

        Args:
            endpoint: what was asked.
            threshold: seconds between requests that the reply names, kept from now on.
            retry_after: seconds that it asks to wait for.

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
    """One `Pace` a key, found by the key's hash: two accounts with the same key share it."""

    def __init__(self, *, clock: Callable[[], float], min_interval: float | None = None) -> None:
        self._clock = clock
        self._min_interval = min_interval
        self._lock = threading.Lock()
        #: By hash, with when they were asked for; the latest last.
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
        """Replace what is configured as the least interval; what the past asks for stays in force."""
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
