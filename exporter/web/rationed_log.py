"""Rate-limited warnings about clients, so that clients cannot fill the disk with logs."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

#: Seconds in which a client is named once for each kind of failure, and lines at most in them.
WINDOW = 60.0
MOST_LINES = 10


class RationedLog:
    """Logs each kind of failure of each client once in `WINDOW`, and `MOST_LINES` in all.

    Args:
        log: where to.
        message: of each line.
        clock: seconds.

    """

    def __init__(self, log: logging.Logger, message: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._log = log
        self._message = message
        self._clock = clock
        self._since = -WINDOW
        self._logged: set[tuple[str, str]] = set()
        self._unsaid = 0

    def warn(self, client: str, reason: str, **further: str) -> None:
        """Write a line, unless there were enough; the next one says how many were not written."""
        now = self._clock()
        if now - self._since >= WINDOW:
            self._since = now
            self._logged.clear()
        if (reason, client) in self._logged or len(self._logged) >= MOST_LINES:
            self._unsaid += 1
            return
        self._logged.add((reason, client))
        fields = {"client": client, "reason": reason, **further, "more": self._unsaid}
        self._unsaid = 0
        self._log.warning(self._message, extra={"fields": fields})
