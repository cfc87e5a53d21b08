"""Many accounts with ten collectors each in one exporter: threads, memory, CPU, and isolation."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import certifi
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bench.client import Connection
from bench.cold import Ready
from bench.crowd import COLLECTORS, MADE_UP, key_of, name_of
from bench.figures import Figure, compared, p99
from bench.memory import MEGABYTE
from bench.processes import PATIENCE, Exporter, line_of, running
from exporter.collectors import COLLECTORS as REAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ACCOUNTS = 200
#: Limits of the exporter: threads, and megabytes.
MOST_THREADS = 1_000
LIMIT = 250.0
#: Seconds between the runs of each collector, a shorter interval than most of them need.
INTERVAL = 60.0
#: Accounts whose endpoints all hang; in one more account only the list of instances hangs.
DEAD = [name_of(number) for number in range(20)]
HALF_DEAD = name_of(20)
#: Seconds for which they hang: a run with three attempts of 30 s, and the next run.
OUTAGE = 3.5 * INTERVAL
#: Seconds between two readings of the process, and between two requests.
LOOK = 0.1
SCRAPES = 20
#: How late a run may start while others hang, in intervals.
LATE = 0.1

DECLARED = (*REAL, *MADE_UP)
INSTANCES = REAL[0]
Loop = tuple[str, str]


class Log:
    """Start times of runs by account and collector from the exporter's log, in seconds since the epoch."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.starts: defaultdict[Loop, list[float]] = defaultdict(list)
        self.failed: set[Loop] = set()
        self.port = 0
        self.serving = threading.Event()
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def latest(self, since: float, loops: Iterable[Loop]) -> float:
        """Return the maximum delay in seconds of the runs that started since then."""
        pauses = [
            after - before
            for loop in loops
            for before, after in zip(self.starts[loop], self.starts[loop][1:], strict=False)
            if after > since
        ]
        return max(pauses) - INTERVAL

    def _read(self) -> None:
        for line in self._process.stderr or ():
            event: dict[str, Any] = json.loads(line)
            if event["msg"] == "serving":
                self.port = urlsplit(event["url"]).port or 0
                self.serving.set()
            elif event["msg"] in {"run finished", "run failed"}:
                loop = event["account"], event["collector"]
                self.starts[loop].append(datetime.fromisoformat(event["ts"]).timestamp() - event["seconds"])
                if event["msg"] == "run failed":
                    self.failed.add(loop)


@dataclass(frozen=True, slots=True)
class Seen:
    """Maximum threads and descriptors, seconds of each reply of `/-/healthy`, and the number of bad ones."""

    threads: int
    descriptors: int
    seconds: list[float]
    sick: int


class Watcher:
    """Samples the exporter: threads, descriptors, and the response time of `/-/healthy`."""

    def __init__(self, ours: Exporter) -> None:
        self._ours = ours
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = 0
        self._descriptors = 0
        self._seconds: list[float] = []
        self._sick = 0
        self._workers = [threading.Thread(target=work) for work in (self._look, self._ask)]

    def taken(self) -> Seen:
        """Return the samples since the last call."""
        with self._lock:
            found = Seen(self._threads, self._descriptors, self._seconds, self._sick)
            self._threads, self._descriptors, self._seconds, self._sick = 0, 0, [], 0
        return found

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for worker in self._workers:
            worker.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK / 4):
            threads, descriptors = self._ours.threads(), self._ours.descriptors()
            with self._lock:
                self._threads = max(self._threads, threads)
                self._descriptors = max(self._descriptors, descriptors)

    def _ask(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._ours.port, timeout=PATIENCE)
        while not self._ended.wait(LOOK):
            started = time.perf_counter()
            connection.request("GET", "/-/healthy")
            response = connection.getresponse()
            response.read()
            with self._lock:
                self._seconds.append(time.perf_counter() - started)
                self._sick += response.status != 200


def measure(_instances: int) -> Iterator[Figure]:
    """Start with all accounts, leave them alone for two intervals, then let some hang."""
    with (
        tempfile.TemporaryDirectory() as name,
        _vast(Path(name)) as (vast, url),
        _exporter(Path(name), url) as (ours, log, began),
        Watcher(ours) as watcher,
    ):
        yield from _start(ours, log, watcher, began)
        yield from _steady(ours, log, watcher)
        yield from _scrapes(ours)
        watcher.taken()
        yield from _outage(ours, log, watcher, vast)


def _start(ours: Exporter, log: Log, watcher: Watcher, began: float) -> Iterator[Figure]:
    """Wait for the first runs, which are all due at once."""
    while len(log.starts) < ACCOUNTS * COLLECTORS:
        time.sleep(LOOK)
    yield compared(
        "accounts",
        "from the start until all first runs have ended",
        time.monotonic() - began,
        INTERVAL,
        "interval",
        None,
    )
    yield Figure(
        part="accounts",
        what="the start: CPU",
        ours=f"{ours.cpu():.1f} s",
        beside=f"{ACCOUNTS * COLLECTORS:,} runs",
        ratio=ours.cpu() / (ACCOUNTS * COLLECTORS),
    )
    yield from _state("the start", ours, watcher)
    if log.failed:
        raise RuntimeError(f"runs failed that should not: {sorted(log.failed)[:5]}")


def _steady(ours: Exporter, log: Log, watcher: Watcher) -> Iterator[Figure]:
    since, before = time.time(), ours.cpu()
    time.sleep(2 * INTERVAL)
    share = (ours.cpu() - before) / (2 * INTERVAL)
    yield Figure(
        part="accounts",
        what=f"steady, {ACCOUNTS * COLLECTORS / INTERVAL:.0f} runs a second: CPU",
        ours=f"{share:.1%}",
        beside="one core",
        ratio=share,
    )
    yield _late("steady", log.latest(since, log.starts))
    yield from _state("steady", ours, watcher)


def _scrapes(ours: Exporter) -> Iterator[Figure]:
    """Scrape when only the exporter's own numbers are new, compared with prometheus_client."""
    time.sleep(INTERVAL / 2)  # all runs start within seconds of the interval's end
    with Connection(ours.port) as connection:
        body = connection.body()
        seconds = [connection.scrape() for _ in range(SCRAPES)]
    text = gzip.decompress(body).decode()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Ready(text_string_to_metric_families(text)))
    started = time.perf_counter()
    gzip.compress(generate_latest(registry))
    theirs = time.perf_counter() - started
    lines = sum(not line.startswith("#") for line in text.splitlines())
    what = f"a scrape, gzip: {lines:,} samples, {len(text) / 1e6:.1f} MB, {len(body) / 1e6:.2f} MB compressed"
    yield compared("accounts", what, median(seconds), theirs, "prometheus_client", None)


def _outage(ours: Exporter, log: Log, watcher: Watcher, vast: subprocess.Popen[str]) -> Iterator[Figure]:
    since = time.time()
    hanging = {endpoint.path: [*DEAD] for each in DECLARED for endpoint in each.endpoints}
    hanging[INSTANCES.endpoints[0].path].append(HALF_DEAD)
    print(json.dumps(hanging), file=vast.stdin, flush=True)
    time.sleep(OUTAGE)
    outage = f"{len(DEAD)} accounts hang"
    healthy = [loop for loop in log.starts if loop[0] not in {*DEAD, HALF_DEAD}]
    yield _late(f"{outage}: the other accounts", log.latest(since, healthy))
    own = [(HALF_DEAD, each.name) for each in DECLARED if each is not INSTANCES]
    yield _late("instances hang: the other collectors of their account", log.latest(since, own))
    yield from _state(outage, ours, watcher)
    ill = {(name, each.name) for name in DEAD for each in DECLARED} | {(HALF_DEAD, INSTANCES.name)}
    if strangers := log.failed - ill:
        raise RuntimeError(f"runs failed that should not: {sorted(strangers)[:5]}")


def _state(when: str, ours: Exporter, watcher: Watcher) -> Iterator[Figure]:
    seen = watcher.taken()
    yield Figure(
        part="accounts",
        what=f"{when}: threads at most",
        ours=str(seen.threads),
        beside=f"limit {MOST_THREADS:,}",
        ratio=seen.threads / MOST_THREADS,
        target=1.0,
    )
    yield Figure(
        part="accounts",
        what=f"{when}: file descriptors at most",
        ours=str(seen.descriptors),
        beside=f"loops {ACCOUNTS * COLLECTORS:,}",
        ratio=seen.descriptors / (ACCOUNTS * COLLECTORS),
    )
    most, now = (ours.memory(name) / MEGABYTE for name in ("VmHWM", "VmRSS"))
    yield Figure(
        part="accounts",
        what=f"{when}: RSS at most so far, and {now:.1f} MB at its end",
        ours=f"{most:.1f} MB",
        beside=f"limit {LIMIT:g} MB",
        ratio=most / LIMIT,
        target=1.0,
    )
    what = f"{when}: /-/healthy, p99 beside the median"
    yield compared("accounts", what, p99(seen.seconds), median(seen.seconds), "median", None)
    yield Figure(
        part="accounts",
        what=f"{when}: /-/healthy other than 200, of {len(seen.seconds):,}",
        ours=str(seen.sick),
        beside="none",
        ratio=float(seen.sick),
        target=0.0,
    )


def _late(what: str, seconds: float) -> Figure:
    return Figure(
        part="accounts",
        what=f"{what}: the latest run",
        ours=f"{seconds:.2f} s late",
        beside=f"interval {INTERVAL:g} s",
        ratio=seconds / INTERVAL,
        target=LATE,
    )


@contextmanager
def _vast(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve the simulated Vast.ai with TLS, like the real one; yields the process and its URL."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", "/CN=vast.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    command = [sys.executable, "-m", "bench.crowd", "vast", str(certificate), str(key), str(ACCOUNTS)]
    with running(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process, line_of(process.stdout).strip()


@contextmanager
def _exporter(folder: Path, url: str) -> Iterator[tuple[Exporter, Log, float]]:
    """Run the exporter; also yields its log and its start time."""
    # The usual number of certificates plus the simulator's.
    bundle = folder / "bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + (folder / "certificate.pem").read_bytes())
    times = {"enabled": True, "interval": f"{INTERVAL:g}s", "stale_after": "1h"}
    config = {
        "api": {"url": url},
        "accounts": [{"name": name, "api_key": key_of(name)} for name in map(name_of, range(ACCOUNTS))],
        "collectors": {each.name: times for each in DECLARED},
        "web": {"listen_address": "127.0.0.1:0"},
        "log": {"format": "json"},
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is valid YAML
    began = time.monotonic()
    environ = os.environ | {"REQUESTS_CA_BUNDLE": str(bundle)}
    command = [sys.executable, "-m", "bench.crowd", "exporter", str(file)]
    with running(*command, stderr=subprocess.PIPE, env=environ) as process:
        log = Log(process)
        if not log.serving.wait(6 * PATIENCE):
            raise RuntimeError("the exporter does not serve")
        yield Exporter(log.port, process), log, began
