"""The processes of the benchmarks, simulator, exporter and nginx, and their readings from the kernel."""

from __future__ import annotations

import ctypes
import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds in which a process must be ready, or gone after SIGTERM.
PATIENCE = 10.0
NGINX = "/usr/sbin/nginx"
NGINX_CONFIG = """\
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
events {{ }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    default_type "text/plain; version=0.0.4; charset=utf-8";
    add_header Content-Encoding gzip;
    server {{
        listen 127.0.0.1:{port};
        root {directory};
    }}
}}
"""

_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulated Vast.ai: its URL and a key."""

    url: str
    key: str


def cpu(process: subprocess.Popen[str]) -> float:
    """Return the CPU seconds of all threads of a process, to the nanosecond."""
    clock = ctypes.c_int()
    if _libc.clock_getcpuclockid(process.pid, ctypes.byref(clock)):
        raise ProcessLookupError("a process that is measured is gone")
    return time.clock_gettime(clock.value)


def memory(process: subprocess.Popen[str], name: str) -> int:
    """Return `VmRSS` (now) or `VmHWM` (maximum) of a process in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields[name].split()[0]) * 1024


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def simulator(instances: int) -> Iterator[Simulator]:
    """Run a simulated Vast.ai, frozen and without thresholds."""
    command = ["-m", "exporter.simulator", "--no-thresholds", "--frozen", "--instances", str(instances)]
    with running(sys.executable, *command, stdout=subprocess.PIPE) as process:
        url, key = (line_of(process.stdout).split()[-1] for _ in range(2))
        yield Simulator(url, key)


@dataclass(frozen=True, slots=True)
class Exporter:
    """The process of `python -m exporter run`, and its port."""

    port: int
    process: subprocess.Popen[str]

    def cpu(self) -> float:
        """Return the CPU seconds of all its threads, to the nanosecond."""
        return cpu(self.process)

    def memory(self, name: str) -> int:
        """Return `VmRSS` (now) or `VmHWM` (maximum) in bytes."""
        return memory(self.process, name)

    def threads(self) -> int:
        """Return the number of threads."""
        return self._entries("task")

    def descriptors(self) -> int:
        """Return the number of open files and sockets."""
        return self._entries("fd")

    def _entries(self, folder: str) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/{folder}").iterdir())

    def wait_for_walk(self) -> dict[str, Any]:
        """Wait until a walk over all instances ends, and return its log line."""
        return _event(self.process, "run finished")


@contextmanager
def exporter(
    simulated: Simulator, directory: Path, *, interval: str, groups: tuple[str, ...] = ()
) -> Iterator[Exporter]:
    """Run the exporter on a simulated Vast.ai, without pauses between pages, with some `groups` or all."""
    config = {
        "api": {"url": simulated.url, "min_interval": "0s"},
        "accounts": [{"name": "bench", "api_key": simulated.key}],
        "collectors": {
            "instances": {
                "interval": interval,
                "stale_after": "2h",
                **({"groups": groups} if groups else {}),
            },
            "account": {"enabled": False},
        },
        "web": {"listen_address": "127.0.0.1:0"},
        "log": {"format": "json"},
    }
    file = directory / "config.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is valid YAML
    command = ["-m", "exporter", "run", "--config.file", str(file)]
    with running(sys.executable, *command, stderr=subprocess.PIPE) as process:
        port = urlsplit(_event(process, "serving")["url"]).port
        yield Exporter(port or 0, process)


@contextmanager
def nginx(body: bytes, directory: Path) -> Iterator[int]:
    """Serve the compressed `body` as /metrics from a file with nginx; yields the port."""
    port = free_port()
    (directory / "metrics").write_bytes(body)
    config = directory / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(port=port, directory=directory), encoding="utf-8")
    with running(NGINX, "-p", str(directory), "-c", str(config), "-e", "stderr"):
        _wait_for(port)
        yield port


@contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:  # noqa: ANN401
    """Run a process, and stop it with SIGTERM; options are those of `subprocess.Popen`."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                print(f"did not stop on SIGTERM: {' '.join(command)}", file=sys.stderr)
                process.kill()


def _event(process: subprocess.Popen[str], message: str) -> dict[str, Any]:
    """Return the next log line of the exporter with `message`; a failed run ends the benchmark."""
    while True:
        event: dict[str, Any] = json.loads(line_of(process.stderr))
        if event["msg"] == message:
            return event
        if event["msg"] == "run failed":
            raise RuntimeError(f"the exporter can't read the simulator: {event['error']}")


def line_of(stream: IO[str] | None) -> str:
    """Return the next line that a process writes.

    Raises:
        RuntimeError: the process has ended.

    """
    line = stream.readline() if stream is not None else ""
    if not line:
        raise RuntimeError("a process that is measured has ended")
    return line


def _wait_for(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
