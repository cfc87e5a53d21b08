"""Requests that come too soon after one another are refused."""

from __future__ import annotations

from math import ceil

from exporter.simulator.api.replies import Reply

TEXT_TYPE = "text/plain"


class RateLimits:
    """Holds requests with one key to one endpoint apart.

    Attributes:
        thresholds: the least seconds between two requests, by the endpoint's path.
        retry_after: whether refusals say when to come again, which the API began to do in October 2026.

    """

    def __init__(self, thresholds: dict[str, float], *, retry_after: bool = False) -> None:
        self.thresholds = thresholds
        self.retry_after = retry_after
        self._last: dict[tuple[str, str], float] = {}

    def refuse(self, endpoint: str, key: str, now: float) -> Reply | None:
        """The refusal of a request that comes too soon after the one before, refused or not."""
        last = self._last.get((endpoint, key))
        self._last[endpoint, key] = now
        threshold = self.thresholds.get(endpoint)
        if threshold is None or last is None or now - last >= threshold:
            return None
        return too_frequent(threshold, ceil(threshold) if self.retry_after else None)


def too_frequent(threshold: float | None = None, retry_after: int | None = None) -> Reply:
    """Refuse as the API does: in plain text, which often names the threshold."""
    said = "API requests too frequent" + ("" if threshold is None else f": endpoint threshold={threshold}")
    headers = {"content-type": TEXT_TYPE}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Reply(429, said.encode(), headers)
