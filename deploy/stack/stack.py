#!/usr/bin/env python3
"""The whole chain on this machine: demo exporter, Prometheus with the rules, Alertmanager and a webhook.

    python deploy/stack/stack.py --instances 60 --hurry 10

Uses the files of deploy/prometheus and deploy/alertmanager and changes only addresses and waiting times.
Prints all addresses and then each notification. Ctrl-C stops everything.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import ModuleType

DEPLOY = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
#: Seconds in which a program must be ready, and in which it must stop.
READY_SECONDS = 30.0
END_SECONDS = 10.0
#: Names of the programs; Debian calls Alertmanager differently.
PROGRAMS = {"prometheus": ("prometheus",), "alertmanager": ("prometheus-alertmanager", "alertmanager")}
DURATION = re.compile(r"(\d+)([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def find(name: str) -> str:
    """Return the path of a program: VASTAI_PROMETHEUS, VASTAI_ALERTMANAGER, or else from PATH.

    Raises:
        FileNotFoundError: nowhere.

    """
    found = os.environ.get(f"VASTAI_{name.upper()}") or next(
        filter(None, map(shutil.which, PROGRAMS[name])), None
    )
    if found is None:
        raise FileNotFoundError(
            f"{name} is not installed (`make setup`, or Debian's package {PROGRAMS[name][0]})"
        )
    return found


def free_port(preferred: int = 0) -> int:
    """Return a free port, the preferred one if possible."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free")


def load_generator() -> ModuleType:
    """Return deploy/prometheus/generate.py, which is a script."""
    spec = importlib.util.spec_from_file_location("generate", DEPLOY / "prometheus/generate.py")
    assert spec is not None  # noqa: S101 - the file is part of the repository
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hurried(values: Mapping[str, str], factor: float, least: int) -> dict[str, str]:
    """Return the values that are durations, divided by `factor`, but at least `least` seconds."""
    return {
        name: f"{max(least, round(int(match[1]) * SECONDS[match[2]] / factor))}s"
        for name, value in values.items()
        if (match := DURATION.fullmatch(value))
    }


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while entered, with its output in `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until `url` answers.

    Raises:
        RuntimeError: the program has ended, or takes too long.

    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()[-2000:]}")


class Receiver:
    """A webhook that Alertmanager notifies, served while entered.

    Args:
        notified: called with each notification.

    """

    def __init__(self, notified: Callable[[dict[str, Any]], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()
                notified(json.loads(body))

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Stack:
    """Prometheus and Alertmanager with the files of deploy/, while entered.

    Args:
        folder: where configurations, data and logs go.
        exporter: host and port of the exporter.
        notify: the webhook's URL.
        values: thresholds that replace those of thresholds.yml.
        interval: seconds between scrapes, and between evaluations of the rules.
        waits: Alertmanager's group_wait and group_interval in seconds.
        ports: preferred ports of Prometheus and Alertmanager.

    """

    def __init__(
        self,
        folder: Path,
        *,
        exporter: str,
        notify: str,
        values: Mapping[str, str],
        interval: int,
        waits: tuple[int, int],
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        self._folder = folder
        self._exit = ExitStack()
        self._prometheus_port, self._alertmanager_port = map(free_port, ports)
        self.prometheus = f"http://{HOST}:{self._prometheus_port}"
        self.alertmanager = f"http://{HOST}:{self._alertmanager_port}"
        for name, text in load_generator().generate(values).items():
            (folder / name).write_text(text)
        self._write("prometheus", lambda config: self._adapt_prometheus(config, exporter, interval))
        self._write("alertmanager", lambda config: self._adapt_alertmanager(config, notify, waits))

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self._start(
                started,
                "alertmanager",
                self.alertmanager,
                f"--storage.path={self._folder / 'alertmanager'}",
                f"--web.listen-address={HOST}:{self._alertmanager_port}",
                "--cluster.listen-address=",
            )
            self._start(
                started,
                "prometheus",
                self.prometheus,
                f"--storage.tsdb.path={self._folder / 'prometheus'}",
                f"--web.listen-address={HOST}:{self._prometheus_port}",
            )
            self._exit = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self, started: ExitStack, name: str, url: str, *flags: str) -> None:
        log = self._folder / f"{name}.log"
        command = [find(name), f"--config.file={self._folder / name}.yml", *flags]
        wait_until_ready(f"{url}/-/ready", started.enter_context(running(command, log)), log)

    def _write(self, name: str, adapt: Callable[[dict[str, Any]], None]) -> None:
        config = yaml.safe_load((DEPLOY / name / f"{name}.yml").read_text())
        adapt(config)
        (self._folder / f"{name}.yml").write_text(yaml.safe_dump(config, sort_keys=False))

    def _adapt_prometheus(self, config: dict[str, Any], exporter: str, interval: int) -> None:
        config["global"] = {"scrape_interval": f"{interval}s", "evaluation_interval": f"{interval}s"}
        config["scrape_configs"][0]["static_configs"] = [{"targets": [exporter]}]
        targets = [f"{HOST}:{self._alertmanager_port}"]
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": targets}]}]

    def _adapt_alertmanager(self, config: dict[str, Any], notify: str, waits: tuple[int, int]) -> None:
        def shorten(route: dict[str, Any]) -> None:
            route["group_wait"], route["group_interval"] = (f"{seconds}s" for seconds in waits)
            for child in route.get("routes", ()):
                shorten(child)

        shorten(config["route"])
        for receiver in config["receivers"]:
            receiver["webhook_configs"] = [{"url": notify}]


def show(notification: dict[str, Any]) -> None:
    """Print a notification: one line for the group, one line for each alert."""
    group = " ".join(notification["groupLabels"].values())
    sys.stdout.write(f"\n{time.strftime('%H:%M:%S')} {notification['receiver'].upper()}: {group}\n")
    for alert in notification["alerts"]:
        sys.stdout.write(f"  {alert['status']:8} {alert['annotations']['summary']}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line, start everything, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--instances", type=int, default=60, metavar="N", help="about how many are simulated")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same fleet")
    parser.add_argument(
        "--hurry", type=float, default=10.0, metavar="N", help="how many times sooner rules fire"
    )
    parser.add_argument("--interval", type=int, default=5, metavar="S", help="seconds between scrapes")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        serve(arguments)
    except KeyboardInterrupt:
        sys.stdout.write("\nAll of it has ended.\n")
    except (FileNotFoundError, RuntimeError) as error:
        sys.exit(str(error))


def serve(arguments: argparse.Namespace) -> None:
    """Start everything and wait forever."""
    values = hurried(load_generator().defaults(), arguments.hurry, 3 * arguments.interval)
    address = f"{HOST}:{free_port(10622)}"
    demo = [sys.executable, "-m", "exporter", "demo", "--web.listen-address", address]
    demo += ["--instances", str(arguments.instances), "--seed", str(arguments.seed)]
    with (
        tempfile.TemporaryDirectory(prefix="vastai-stack-") as name,
        Receiver(show) as receiver,
        ExitStack() as all_,
    ):
        folder = Path(name)
        process = all_.enter_context(running(demo, folder / "exporter.log"))
        wait_until_ready(f"http://{address}/-/healthy", process, folder / "exporter.log")
        stack = all_.enter_context(
            Stack(
                folder,
                exporter=address,
                notify=receiver.url,
                values=values,
                interval=arguments.interval,
                waits=(5, 15),
                ports=(9090, 9093),
            )
        )
        sys.stdout.write(
            f"exporter      http://{address}/  (a simulated fleet of about {arguments.instances} instances)\n"
            f"Prometheus    {stack.prometheus}/alerts\n"
            f"Alertmanager  {stack.alertmanager}/#/alerts\n"
            f"logs          {folder}\n\n"
            f"Alerts fire {arguments.hurry:g} times as soon as in earnest, the first in a minute or two."
            " Ctrl-C ends it all.\n"
        )
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
