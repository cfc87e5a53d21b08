"""Compares scrapes while clients abuse the server with undisturbed scrapes, and measures memory."""

from __future__ import annotations

import multiprocessing
import socket
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.client import Connection
from bench.figures import Figure, compared, p99
from bench.memory import LIMIT, MEGABYTE
from bench.processes import exporter, simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from bench.processes import Exporter

    Abuse = Callable[[int], AbstractContextManager[None]]

TARGET = 2.0
#: Undisturbed and disturbed scrapes take turns, this many at a time.
TURNS = 5
SCRAPES = 100
CROWD = 200
SCRAPERS = 50
BUSY_THREADS = 4
#: Seconds in which a crowd of clients must be complete, and in which it must be gone.
SETTLE = 0.5
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
GARBAGE = bytes(range(256)) * 8


def measure(instances: int) -> Iterator[Figure]:
    """Measure each kind of abuse in one process, one after another."""
    with tempfile.TemporaryDirectory() as name, simulator(instances) as simulated:  # noqa: SIM117
        with exporter(simulated, Path(name), interval="1h") as ours:
            ours.wait_for_walk()
            for kind, abuse in KINDS.items():
                yield from _compare(ours, kind, abuse)


def _compare(ours: Exporter, kind: str, abuse: Abuse) -> Iterator[Figure]:
    quiet: list[float] = []
    abused: list[float] = []
    most = 0
    for _ in range(TURNS):
        quiet += _scrapes(ours.port)
        with abuse(ours.port):
            time.sleep(SETTLE)
            abused += _scrapes(ours.port)
            most = max(most, ours.memory("VmRSS"))
        time.sleep(SETTLE)
    yield compared("abuse", f"{kind}: median", median(abused), median(quiet), "quiet", TARGET)
    yield compared("abuse", f"{kind}: p99", p99(abused), p99(quiet), "quiet", None)
    yield Figure(
        part="abuse",
        what=f"{kind}: RSS at most, and {ours.memory('VmRSS') / MEGABYTE:.1f} MB after",
        ours=f"{most / MEGABYTE:.1f} MB",
        beside=f"limit {LIMIT:g} MB",
        ratio=most / MEGABYTE / LIMIT,
        target=1.0,
    )


def _scrapes(port: int) -> list[float]:
    with Connection(port) as scraper:
        return [scraper.scrape() for _ in range(SCRAPES)]


@contextmanager
def _crowd(port: int, sent: bytes) -> Iterator[None]:
    """Hold connections on which bytes were sent but nothing is read."""
    with ExitStack() as held:
        for _ in range(CROWD):
            client = held.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(sent)
        yield


@contextmanager
def _busy(port: int, act: Callable[[int], None], threads: int) -> Iterator[None]:
    """Let threads of another process repeat something."""
    process = multiprocessing.Process(target=_repeat, args=(port, act, threads))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()
        process.close()


def _repeat(port: int, act: Callable[[int], None], threads: int) -> None:
    def always() -> None:
        while True:
            act(port)

    for _ in range(threads - 1):
        threading.Thread(target=always, daemon=True).start()
    always()


def _send_garbage(port: int) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(GARBAGE)
        while client.recv(4096):
            pass


def _scrape_each_second(port: int) -> None:
    with Connection(port) as scraper:
        while True:
            time.sleep(max(0.0, 1.0 - scraper.scrape()))


KINDS: dict[str, Abuse] = {
    f"{CROWD} slow readers": lambda port: _crowd(port, SCRAPE),
    f"{CROWD} half-open connections": lambda port: _crowd(port, SCRAPE[:8]),
    f"garbage from {BUSY_THREADS} clients": lambda port: _busy(port, _send_garbage, BUSY_THREADS),
    f"{SCRAPERS} scrapers, each once a second": lambda port: _busy(port, _scrape_each_second, SCRAPERS),
}
