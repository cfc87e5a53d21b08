"""A simulated Vast.ai and an exporter that polls it, in one process."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from exporter.collectors import COLLECTORS, market
from exporter.commands.configuration import (
    load,
    with_all_collectors,
    with_discovery,
    with_run_url,
)
from exporter.commands.serve import serve
from exporter.simulator import SimulatedClock, SimulatedVast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.commands.signals import Signals
    from exporter.config.loading import Loaded

#: Every collector runs so often that something happens while one looks; searches are 6.6 s apart, and many.
INTERVALS = {collector.name: 15.0 for collector in COLLECTORS} | {market.COLLECTOR.name: 180.0}
#: Searches of offers in a day: enough for these intervals.
SEARCH_QUOTA = 20_000


def serve_demo(
    *,
    signals: Signals,
    size: int,
    seed: int,
    speed: float,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
) -> int:
    """Serve the metrics of a simulated fleet until a signal comes, and return the exit code.

    Args:
        signals: that end it.
        size: of the fleet, in instances, about.
        seed: the same one gives the same fleet.
        speed: simulated seconds in a real one.
        flags: values by path of a key of the configuration.
        environ: the environment; nothing of Vast.ai in it counts.

    Raises:
        ConfigError: a flag says what can't be.

    """
    clock = SimulatedClock(time.time(), speed)
    with SimulatedVast(size=size, seed=seed, clock=clock) as vast:
        for account in vast.accounts.values():
            account.search_quota = SEARCH_QUOTA

        def read() -> Loaded:
            loaded = load(None, {"VAST_API_KEY": vast.key, "VAST_URL": vast.url}, flags)
            return with_discovery(with_all_collectors(with_run_url(loaded, vast.run_url)))

        loaded = read()
        sys.stderr.write(f"simulated Vast.ai with about {size} instances listening on {vast.url}\n")
        return serve(loaded, read, config_file=None, signals=signals, environ=environ, intervals=INTERVALS)
