"""Processes that `accounts` measures: a Vast.ai with many accounts, and the exporter with ten collectors.

    python -m bench.crowd vast CERTIFICATE KEY ACCOUNTS
    python -m bench.crowd exporter FILE

The exporter has fewer than ten collectors. The others are made up: they work like volumes, each with its own
endpoint and metrics.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import collectors
from exporter.collectors import paged, volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.collectors import Collector
    from exporter.collectors.base import Progress, Run

COLLECTORS = 10
#: Approximate number of instances of each account.
SIZE = 5
#: Seconds for which an unanswered request waits.
HANG = 3600.0


def collector(number: int) -> Collector:
    """Return a collector that works like volumes with another endpoint."""
    endpoint = replace(volumes.ENDPOINT, path=f"{volumes.ENDPOINT.path}_{number}")
    rows = tuple(replace(row, name=row.name.replace("volume", f"volume_{number}", 1)) for row in volumes.ROWS)
    listing = replace(volumes.LISTING, endpoint=endpoint)
    objects = replace(volumes.OBJECTS, rows=rows)

    def collect(run: Run) -> Iterator[Progress]:
        return paged.collect(run, listing, objects)

    return replace(
        volumes.COLLECTOR, name=f"volumes_{number}", endpoints=(endpoint,), rows=rows, collect=collect
    )


MADE_UP = tuple(map(collector, range(COLLECTORS - len(collectors.COLLECTORS))))


def name_of(number: int) -> str:
    """Return the name of an account."""
    return f"account-{number:03}"


def key_of(name: str) -> str:
    """Return the key of an account."""
    return f"key-of-{name}"


def serve_vast(certificate: str, key: str, accounts: str) -> None:
    """Serve; each line of standard input lists accounts that get no answer, by path."""
    from exporter.simulator import Reply, SimulatedClock, SimulatedVast  # noqa: PLC0415
    from exporter.simulator.api.app import build_app  # noqa: PLC0415
    from exporter.simulator.endpoints import find_endpoints  # noqa: PLC0415
    from exporter.simulator.endpoints.volumes import VOLUMES  # noqa: PLC0415
    from exporter.web.protocol import LIMITS  # noqa: PLC0415
    from exporter.web.server import BackgroundServer, listen  # noqa: PLC0415

    vast = SimulatedVast(size=SIZE, clock=SimulatedClock(time.time(), speed=0.0), thresholds=False)
    for number in range(int(accounts)):
        vast.add_account(name_of(number), key_of(name_of(number)), size=SIZE, seed=number)
    endpoints = {endpoint.path: endpoint for endpoint in find_endpoints()}
    for made_up in MADE_UP:
        path = made_up.endpoints[0].path
        endpoints[path] = replace(endpoints[VOLUMES], path=path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    limits = replace(LIMITS, connections=2 * COLLECTORS * int(accounts))
    app = build_app(vast, endpoints.values())
    with BackgroundServer(app, listen("127.0.0.1", 0), tls=tls, limits=limits) as server:
        print(server.url, flush=True)
        for line in sys.stdin:
            vast.faults.clear()
            for path, names in json.loads(line).items():
                for name in names:
                    vast.faults.always(path, Reply(delay=HANG), name)


def serve_metrics(file: str) -> None:
    """Run the exporter with the collectors of this module as if they were its own."""
    collectors.COLLECTORS = (*collectors.COLLECTORS, *MADE_UP)
    # Imported after the list changed, because everything else derives from it, including the configuration.
    from exporter.cli import cli  # noqa: PLC0415

    cli(["run", "--config.file", str(Path(file))])


if __name__ == "__main__":
    if sys.argv[1] == "vast":
        serve_vast(*sys.argv[2:])
    else:
        serve_metrics(*sys.argv[2:])
