"""Log warnings about clients at a limited rate, so that clients cannot fill the disk with logs."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

#: Period in seconds within which each client is named once per kind of failure, and maximum lines in it.
WINDOW = 60.0
MOST_LINES = 10


class RationedLog:
    """Logs each kind of failure of each client once per `WINDOW`, at most `MOST_LINES` in total.

    Args:
        log: the logger.
        message: message of each line.
        clock: returns seconds.

    """

    def __init__(self, log: logging.Logger, message: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._log = log
        self._message = message
        self._clock = clock
        self._since = -WINDOW
        self._logged: set[tuple[str, str]] = set()
        self._unsaid = 0

    def warn(self, client: str, reason: str, **further: str) -> None:
        """Log a line unless the limit is reached; the next line gives the number of suppressed ones."""
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
