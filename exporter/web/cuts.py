"""Record connections closed because the client exceeded a limit: all are counted, some are logged."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from exporter.web.rationed_log import RationedLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.exposition.self_metrics import ConnectionCut

_log = logging.getLogger(__name__)


class Cuts:
    """Counts closed connections, and logs them at a limited rate, so that they cannot fill a disk.

    Args:
        count: called for each connection.
        clock: returns seconds.

    """

    def __init__(
        self,
        count: Callable[[ConnectionCut], None] = lambda _: None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._count = count
        self._rationed = RationedLog(_log, "client connection closed", clock=clock)

    def cut(self, reason: ConnectionCut, client: str) -> None:
        """Record one closed connection."""
        self._count(reason)
        self._rationed.warn(client, reason)
