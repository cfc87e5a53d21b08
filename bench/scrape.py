"""The size of a scrape, and what it costs a real Prometheus compared with the exporter."""

from __future__ import annotations

import gzip
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from bench.client import Connection
from bench.figures import Figure
from bench.processes import PATIENCE, cpu, exporter, free_port, memory, running, simulator
from grafana import tsdb

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from bench.processes import Exporter

MEGABYTE = 1e6
#: Fractions of the largest fleet that are measured too.
FRACTIONS = (10, 1)
#: Scrapes that are counted, after some that create the series.
SCRAPES, FIRST = 10, 3
#: Seconds between two scrapes, for each started number of instances: Prometheus needs a second for 10,000.
INTERVAL, INSTANCES = 5.0, 10_000
#: Timeout of a query in seconds: Prometheus may be busy with a scrape.
TIMEOUT = 60.0
CONFIG = """\
global: {{scrape_interval: {interval:.0f}s, scrape_timeout: {interval:.0f}s}}
scrape_configs:
- job_name: vastai-exporter
  honor_labels: true
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Memory in bytes, and CPU seconds from one scrape to the next."""

    memory: int
    cpu: float


def measure(instances: int) -> Iterator[Figure]:
    """Measure fleets up to `instances`, each with new processes."""
    for fraction in FRACTIONS:
        yield from _of_fleet(instances // fraction)


def _of_fleet(size: int) -> Iterator[Figure]:
    with (
        tempfile.TemporaryDirectory() as name,
        simulator(size) as simulated,
        exporter(simulated, Path(name), interval="1h") as ours,
    ):
        ours.wait_for_walk()
        with Connection(ours.port) as connection:
            packed = connection.body()
        plain = gzip.decompress(packed)
        samples = sum(not line.startswith(b"#") for line in plain.splitlines())
        interval = INTERVAL * -(-size // INSTANCES)
        theirs, own = _scraped(Path(name), ours, interval)
    what = f"{size:,} instances, {samples:,} samples"
    yield Figure(
        part="scrape",
        what=f"{what}: gzip",
        ours=f"{len(packed) / MEGABYTE:.3f} MB",
        beside=f"plain {len(plain) / MEGABYTE:.2f} MB",
        ratio=len(packed) / len(plain),
    )
    yield Figure(
        part="scrape",
        what=f"{what}: RSS, exporter to Prometheus",
        ours=f"{own.memory / MEGABYTE:.0f} MB",
        beside=f"{theirs.memory / MEGABYTE:.0f} MB",
        ratio=own.memory / theirs.memory,
    )
    yield Figure(
        part="scrape",
        what=f"{what}: CPU in {interval:.0f} s with a scrape, exporter to Prometheus",
        ours=f"{own.cpu * 1e3:.2f} ms",
        beside=f"{theirs.cpu * 1e3:.0f} ms",
        ratio=own.cpu / theirs.cpu,
    )


def _scraped(folder: Path, ours: Exporter, interval: float) -> tuple[Cost, Cost]:
    """Let Prometheus scrape the exporter, and return what that costs Prometheus and the exporter."""
    with _prometheus(folder, ours.port, interval) as (process, url):
        _wait_for_scrapes(url, FIRST, interval)
        began = _scrapes(url)
        theirs, own = cpu(process), ours.cpu()
        _wait_for_scrapes(url, began + SCRAPES, interval)
        count = _scrapes(url) - began
        return (
            Cost(memory(process, "VmRSS"), (cpu(process) - theirs) / count),
            Cost(ours.memory("VmHWM"), (ours.cpu() - own) / count),
        )


@contextmanager
def _prometheus(folder: Path, port: int, interval: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(interval=interval, port=port), encoding="utf-8")
    own = free_port()
    command = [
        tsdb.program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        "--log.level=error",
    ]
    with running(*command) as process:
        yield process, f"http://127.0.0.1:{own}"


def _wait_for_scrapes(url: str, count: int, interval: float) -> None:
    until = time.monotonic() + (count + 4) * interval + PATIENCE
    while _scrapes(url) < count:
        if time.monotonic() > until:
            raise RuntimeError("Prometheus does not scrape the exporter")
        time.sleep(interval / 10)


def _scrapes(url: str) -> int:
    """Return how often Prometheus has scraped; 0 also while it starts."""
    query = {"query": "count_over_time(up{job='vastai-exporter'}[1h]) and up == 1"}
    try:
        result = requests.get(f"{url}/api/v1/query", params=query, timeout=TIMEOUT).json()["data"]["result"]
    except (requests.ConnectionError, ValueError, KeyError):
        return 0
    return int(result[0]["value"][1]) if result else 0
