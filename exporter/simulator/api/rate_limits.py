"""Refuse requests that follow each other too closely."""

from __future__ import annotations

from collections import deque
from math import ceil

from exporter.simulator.api.replies import Reply

TEXT_TYPE = "text/plain"


MINUTE = 60.0


class RateLimits:
    """Enforces the rate limits of each endpoint for each key.

    Attributes:
        thresholds: minimum seconds between two requests, by path of the endpoint.
        per_minute: maximum number of requests per minute, by path.
        retry_after: whether refusals have a Retry-After header, as in the API since October 2026.

    """

    def __init__(
        self,
        thresholds: dict[str, float],
        per_minute: dict[str, int] | None = None,
        *,
        retry_after: bool = False,
    ) -> None:
        self.thresholds = thresholds
        self.per_minute = per_minute or {}
        self.retry_after = retry_after
        self._last: dict[tuple[str, str], float] = {}
        self._recent: dict[tuple[str, str], deque[float]] = {}

    def refuse(self, endpoint: str, key: str, now: float) -> Reply | None:
        """Return the refusal of a request that is one too many or too soon after another, refused or not."""
        last = self._last.get((endpoint, key))
        self._last[endpoint, key] = now
        threshold = self.thresholds.get(endpoint)
        if threshold is not None and last is not None and now - last < threshold:
            return too_frequent(threshold, self._wait(threshold))
        if endpoint in self.per_minute and self._is_full(endpoint, key, now):
            return too_frequent(None, self._wait(MINUTE))
        return None

    def _wait(self, seconds: float) -> int | None:
        return ceil(seconds) if self.retry_after else None

    def _is_full(self, endpoint: str, key: str, now: float) -> bool:
        recent = self._recent.setdefault((endpoint, key), deque())
        while recent and now - recent[0] >= MINUTE:
            recent.popleft()
        if len(recent) >= self.per_minute[endpoint]:
            return True
        recent.append(now)
        return False


def too_frequent(threshold: float | None = None, retry_after: int | None = None) -> Reply:
    """Return a refusal like the API's: plain text, which often names the threshold."""
    said = "API requests too frequent" + ("" if threshold is None else f": endpoint threshold={threshold}")
    headers = {"content-type": TEXT_TYPE}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Reply(429, said.encode(), headers)
