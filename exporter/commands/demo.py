"""Run a simulated Vast.ai and an exporter that polls it, in one process."""

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

#: Short intervals, so that a visitor sees changes; the market is slower, since its many searches are 6.6 s
#: apart.
INTERVALS = {collector.name: 15.0 for collector in COLLECTORS} | {market.COLLECTOR.name: 180.0}
#: Daily search quota, sufficient for these intervals.
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
    """Serve the metrics of a simulated fleet until a signal arrives, and return the exit code.

    Args:
        signals: signals that stop it.
        size: approximate number of instances.
        seed: seed of the random fleet; equal seeds give equal fleets.
        speed: simulated seconds per real second.
        flags: values by path of a configuration key.
        environ: the environment; its Vast.ai variables are ignored.

    Raises:
        ConfigError: a flag has an invalid value.

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
