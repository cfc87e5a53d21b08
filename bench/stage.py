"""An exporter with a simulated Vast.ai of several accounts, observed from outside."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from bench.client import Connection
from bench.processes import PATIENCE, Exporter
from exporter.collectors import COLLECTORS
from exporter.polling.loop import LONGEST_PAUSE
from exporter.simulator import ManualClock, SimulatedVast
from exporter.web.server import listen

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds between runs by collector: those off by default share threads and send several requests a run.
INTERVALS = {each.name: 1.0 if each.enabled else 5.0 for each in COLLECTORS}
#: Timeout of a request in seconds.
TIMEOUT = 1.0
#: Seconds of warm-up, in which caches and pools fill.
WARM_UP = 20.0
#: Real seconds between two readings of the process, and between two scrapes.
LOOK = 0.5
#: Tolerance of pauses: on a busy machine, log lines arrive late.
SLACK = 2.0
#: Accounts: one without faults, some with all faults, and one that the configuration adds and removes.
STEADY, GUEST = "default", "guest"
TROUBLED = tuple(f"troubled-{number}" for number in range(4))
LASTING = (STEADY, *TROUBLED)
#: Initial instances of each account.
SIZE = 60


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of the process from the kernel."""

    memory: int
    threads: int
    descriptors: int


class Log:
    """The exporter's log about runs, read as it is written.

    Attributes:
        ends: ended runs by account and collector.
        failures: failed runs by account and reason.
        unexpected: runs that failed as internal, or of the account that had only outages.
        late: runs that ended too long after the run before.

    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.ends: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.unexpected = 0
        self.late = 0
        self.url = ""
        self.serving = threading.Event()
        self._last: dict[tuple[str, str], float] = {}
        self._process = process
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def join(self) -> None:
        """Read until the process ends."""
        self._reader.join()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            event = json.loads(line)
            if event["msg"] == "serving":
                self.url = event["url"]
                self.serving.set()
            elif event["msg"] in {"run finished", "run failed"}:
                self._ended(event)

    def _ended(self, event: dict[str, Any]) -> None:
        account, collector, now = event["account"], event["collector"], time.monotonic()
        loop = account, collector
        self.ends[loop] += 1
        pause = now - event["seconds"] - self._last.get(loop, now)
        if pause > LONGEST_PAUSE * INTERVALS[collector] + SLACK and account != GUEST:
            self.late += 1
            print(f"{pause:.1f} s without a run of {loop}", file=sys.stderr)
        self._last[loop] = now
        reason = event.get("reason")
        if reason is None or account == GUEST:  # its counters are removed with it
            return
        self.failures[account, reason] += 1
        if reason == "internal" or (account == STEADY and reason != "network"):
            self.unexpected += 1
            print(line_of(event), file=sys.stderr)


def line_of(event: dict[str, Any]) -> str:
    """Return a failure as text."""
    return " ".join(str(event[name]) for name in ("account", "collector", "reason", "error"))


@dataclass(slots=True)
class Stage:
    """The simulated Vast.ai, the exporter, and the observations of it.

    Attributes:
        vast: the simulated Vast.ai, in this process.
        clock: the simulator's clock.
        folder: the folder of the configuration and the keys.
        log: the exporter's log about runs.
        ours: the exporter's process.
        looks: readings of the process after the warm-up.
        scrapes: number of answered scrapes.
        unanswered: number of failed scrapes.
        sick: number of unhealthy answers.

    """

    vast: SimulatedVast
    clock: ManualClock
    folder: Path
    log: Log
    ours: Exporter
    looks: list[Look] = field(default_factory=list)
    scrapes: int = 0
    unanswered: int = 0
    sick: int = 0

    def url(self, path: str) -> str:
        """Return the exporter's URL for `path`."""
        return f"http://127.0.0.1:{self.ours.port}{path}"


@contextmanager
def set_up() -> Iterator[Stage]:
    """Start everything, and stop it at the end."""
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # the simulator's outages log errors
    with tempfile.TemporaryDirectory() as directory, listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
        free.close()
        folder, clock = Path(directory), ManualClock()
        vast = SimulatedVast(size=SIZE, clock=clock, thresholds=False, port=port)
        for number, name in enumerate((*TROUBLED, GUEST), start=2):
            vast.add_account(name, f"key-of-{name}", size=SIZE, seed=number)
        for account in vast.accounts.values():
            (folder / account.name).write_text(str(account.key), encoding="ascii")
        with vast, _exporter(folder, vast) as (process, log):
            if not log.serving.wait(PATIENCE):
                raise RuntimeError("the exporter does not serve")
            made = Stage(vast, clock, folder, log, Exporter(urlsplit(log.url).port or 0, process))
            ended = threading.Event()
            watcher = threading.Thread(target=_watch, args=(made, ended))
            watcher.start()
            try:
                yield made
            finally:
                ended.set()
                watcher.join()


@contextmanager
def _exporter(folder: Path, vast: SimulatedVast) -> Iterator[tuple[subprocess.Popen[str], Log]]:
    configure(folder, vast, *LASTING)
    command = [sys.executable, "-m", "exporter", "run", "--config.file", str(folder / "config.yaml")]
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE) as process:
        log = Log(process)
        try:
            yield process, log
        finally:
            process.terminate()
            log.join()


def configure(folder: Path, vast: SimulatedVast, *accounts: str) -> None:
    """Write the exporter's configuration; the keys of accounts are in files with their names."""
    config = {
        "api": {
            "url": vast.url,
            "run_url": vast.run_url,
            "min_interval": "0s",
            "timeout": f"{TIMEOUT:g}s",
        },
        "accounts": [{"name": name, "api_key_file": str(folder / name)} for name in accounts],
        "collectors": {
            name: {"enabled": True, "interval": f"{seconds:g}s", "stale_after": "1m"}
            for name, seconds in INTERVALS.items()
        },
        "web": {"listen_address": "127.0.0.1:0"},
        "log": {"format": "json"},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is valid YAML


def _watch(stage: Stage, ended: threading.Event) -> None:
    """Read the process, scrape it and check its health, repeatedly."""
    began = time.monotonic()
    with Connection(stage.ours.port) as connection:
        while not ended.wait(LOOK):
            if time.monotonic() - began > WARM_UP:
                stage.looks.append(_look(stage.ours))
            try:
                connection.scrape()
                stage.scrapes += 1
                stage.sick += requests.get(stage.url("/-/healthy"), timeout=PATIENCE).status_code != 200
            except OSError as error:
                print(f"no answer: {error}", file=sys.stderr)
                stage.unanswered += 1


def _look(ours: Exporter) -> Look:
    return Look(ours.memory("VmRSS"), ours.threads(), ours.descriptors())
