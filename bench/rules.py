"""The cost of evaluating all rules in a real Prometheus, compared with the minute it may take."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import requests
from prometheus_client.parser import text_string_to_metric_families

from bench.figures import Figure
from bench.history import HISTORIES, MINUTE, page
from bench.processes import cpu, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    #: Durations of evaluations, by group of rules.
    Durations = dict[str, list[float]]

RULES = Path(__file__).resolve().parents[1] / "deploy/prometheus"
FILES = ("recording.rules.yml", "alerts.rules.yml")
#: Instances of the small fleet; --instances sets the large one.
SMALL = 2_000
#: Number of instances among which each problem occurs.
THOUSAND = 1_000
#: Minutes whose durations count, after a first one that does not.
COUNTED = 4
#: Minutes with scrapes only, to measure their cost.
WITHOUT = 2
#: Share of one core for all rules.
TARGET = 0.1
#: Seconds in which Prometheus must load the generated data.
PATIENCE = 120.0
CONFIG = """\
global: {{scrape_interval: 60s, scrape_timeout: 50s, evaluation_interval: 60s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: vastai-exporter
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {{instance: bench}}}}]
"""
NAME = re.compile(r"\bvastai_[a-z0-9_]+")


def measure(instances: int) -> Iterator[Figure]:
    """Compare the rules' durations with their intervals, with a small fleet and with `instances`."""
    for size in sorted({min(SMALL, instances), instances}):
        with tempfile.TemporaryDirectory(prefix="bench-rules-") as folder:
            yield from _of_fleet(size, Path(folder))


def _of_fleet(size: int, folder: Path) -> Iterator[Figure]:
    hourly = _copy_rules(folder)
    now = time.time() // MINUTE * MINUTE
    for number, history in enumerate(HISTORIES):
        _seed(folder, f"{number}.txt", history(size, now))
    with ExitStack() as served:
        port = served.enter_context(_exporter(page(size, now)))
        prometheus = served.enter_context(_prometheus(folder, port))
        durations, with_rules = prometheus.watch()
        without = prometheus.watch_without()
    shares = {
        group: median(each) / (3600.0 if group in hourly else prometheus.intervals[group])
        for group, each in durations.items()
    }
    dearest = max(shares, key=lambda group: shares[group])
    what = f"{size:,} instances"
    yield _figure(f"{what}: all groups", sum(shares.values()), TARGET)
    yield _figure(f"{what}: the dearest, {dearest}", shares[dearest], None)
    yield _figure(f"{what}: CPU of the process, less that without rules", with_rules - without, None)


def _figure(what: str, share: float, target: float | None) -> Figure:
    ours = f"{share * MINUTE:.2f} s a minute"
    return Figure(part="rules", what=what, ours=ours, beside="60 s", ratio=share, target=target)


def _copy_rules(folder: Path) -> set[str]:
    """Copy the shipped files; hourly groups get an interval of a minute, so that they can be measured."""
    asked = set()
    hourly = set()
    for name in FILES:
        text = (RULES / name).read_text(encoding="utf-8")
        hourly |= set(re.findall(r"- name: (\S+)\n    interval: 1h\n", text))
        text = text.replace("    interval: 1h\n", "    interval: 1m\n")
        (folder / name).write_text(text, encoding="utf-8")
        asked |= {each for each in NAME.findall(_expressions(text)) if not each.endswith("_changes_total")}
    shown = set(NAME.findall(page(THOUSAND, 0.0).decode()))
    if asked - shown:
        raise RuntimeError(f"the page of the benchmark lacks what rules ask for: {sorted(asked - shown)}")
    return hourly


def _expressions(text: str) -> str:
    """Return the scraped metrics that rules read."""
    without = re.sub(r"(?m)^ *#.*$|^ +(?:summary|description|\w+_url|- record): .*$", "", text)
    return re.sub(r"\b[a-z_]+:vastai_\w+:\w+", "", without)


def _seed(folder: Path, name: str, lines: Iterable[str]) -> None:
    """Write the past into the database."""
    source = folder / name
    with source.open("w", encoding="utf-8") as file:
        file.writelines(lines)
        file.write("# EOF\n")
    command = [_program("promtool"), "tsdb", "create-blocks-from", "--max-block-duration=162h", "openmetrics"]
    subprocess.run([*command, str(source), str(folder / "data")], check=True, stdout=subprocess.DEVNULL)
    source.unlink()


def _program(name: str) -> str:
    found = os.environ.get(f"VASTAI_{name.upper()}") or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: `make setup` does that")
    return found


@contextmanager
def _exporter(body: bytes) -> Iterator[int]:
    """Serve what an exporter would; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class Prometheus:
    """A real Prometheus, with its own metrics."""

    def __init__(self, process: subprocess.Popen[str], url: str, config: Path) -> None:
        self._process, self._url, self._config = process, url, config
        self.intervals: dict[str, float] = {}

    def watch(self) -> tuple[Durations, float]:
        """Return the durations of each group, minute by minute, and the total share of a core."""
        time.sleep(MINUTE * 1.5)
        durations: Durations = {}
        began, used = time.monotonic(), cpu(self._process)
        for _ in range(COUNTED):
            time.sleep(MINUTE)
            for group, seconds in self._look().items():
                durations.setdefault(group, []).append(seconds)
        return durations, (cpu(self._process) - used) / (time.monotonic() - began)

    def watch_without(self) -> float:
        """Return the share of a core that scrapes alone use."""
        text = self._config.read_text(encoding="utf-8")
        self._config.write_text(re.sub(r"(?m)^rule_files: .*\n", "", text), encoding="utf-8")
        requests.post(f"{self._url}/-/reload", timeout=PATIENCE).raise_for_status()
        time.sleep(MINUTE / 2)
        began, used = time.monotonic(), cpu(self._process)
        time.sleep(WITHOUT * MINUTE)
        return (cpu(self._process) - used) / (time.monotonic() - began)

    def _look(self) -> dict[str, float]:
        """Return the last duration of each group.

        Raises:
            RuntimeError: a rule has failed, or an evaluation was missed.

        """
        found: dict[str, float] = {}
        text = requests.get(f"{self._url}/metrics", timeout=PATIENCE).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                group = sample.labels.get("rule_group", "").rpartition(";")[2]
                wrong = sample.name in {
                    "prometheus_rule_evaluation_failures_total",
                    "prometheus_rule_group_iterations_missed_total",
                }
                if wrong and sample.value:
                    raise RuntimeError(f"{sample.name} is {sample.value:.0f} for {group}")
                if sample.name == "prometheus_rule_group_last_duration_seconds":
                    found[group] = sample.value
                elif sample.name == "prometheus_rule_group_interval_seconds":
                    self.intervals[group] = sample.value
        return found


@contextmanager
def _prometheus(folder: Path, port: int) -> Iterator[Prometheus]:
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=", ".join(FILES), port=port), encoding="utf-8")
    own = free_port()
    url = f"http://127.0.0.1:{own}"
    command = [_program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{own}", "--web.enable-lifecycle", "--log.level=error"]
    with running(*command, "--storage.tsdb.retention.time=60d") as process:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                requests.get(f"{url}/-/ready", timeout=PATIENCE).raise_for_status()
                break
            except requests.RequestException:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield Prometheus(process, url, config)
