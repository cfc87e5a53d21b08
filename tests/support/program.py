"""The program as its users meet it: configured by files, started, asked over sockets, ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import pytest
import trustme
import yaml

import exporter
from exporter.simulator import ManualClock, SimulatedVast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Environment = dict[str, str]
    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., "Program"]
    Write = Callable[..., Path]

#: Seconds in which anything that is waited for has happened, on however busy a machine.
PATIENCE = 60
#: The promise is 2 s. This is what a busy machine may make of them, and less than the 20 s of a request,
#: which a program could wait out instead of being ended.
ENDS_WITHIN = 15
COMMAND = (sys.executable, "-m", "exporter")


class Program:
    """A program that runs; its standard error is read as it comes."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def errors(self) -> str:
        """What it has written on standard error."""
        return "".join(self._lines)

    def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line on standard error in which `pattern` is found."""

        def found() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self._lines)), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._ended, PATIENCE)
        match = found()
        assert match, f"no line with {pattern!r} in:\n{self.errors}"
        return match

    def url(self) -> str:
        """Wait until it serves, and return where."""
        return self.line(r"msg=serving url=(https?://\S+)/metrics")[1]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code; it is an error not to end in time."""
        self.process.send_signal(number)
        code = self.process.wait(ENDS_WITHIN)
        self._reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        """End it, whatever state it is in."""
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """The environment of programs that are started: nothing of Vast.ai, an empty home."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TZ"}}
    package = Path(exporter.__file__).parent.parent
    return {**kept, "HOME": str(tmp_path), "PYTHONPATH": str(package)}


@pytest.fixture
def run(environment: Environment) -> Run:
    """Run the program to its end."""

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return call


@pytest.fixture
def start(environment: Environment) -> Iterator[Start]:
    """Start the program, or another one; it is ended after the test."""
    started: list[Program] = []

    def begin(*arguments: str, command: tuple[str, ...] = COMMAND, **variables: str) -> Program:
        started.append(Program((*command, *arguments), environment | variables))
        return started[-1]

    yield begin
    for program in started:
        program.kill()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file, text as it is and anything else as YAML; config.yaml if no other name is given."""

    def put(content: object, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return path

    return put


@pytest.fixture
def vast() -> Iterator[SimulatedVast]:
    """Sixty instances that stand still, behind an API without thresholds."""
    with SimulatedVast(size=60, clock=ManualClock(), thresholds=False) as served:
        yield served


@pytest.fixture
def settings(vast: SimulatedVast, write: Write) -> dict[str, object]:
    """A configuration of one account, whose walk takes no longer than it has to."""
    key = write(vast.key, "key")
    return {
        "api": {"url": vast.url, "min_interval": "0s", "timeout": "20s"},
        "accounts": [{"name": "research", "api_key_file": str(key)}],
        "web": {"listen_address": "127.0.0.1:0"},
    }


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until something outside of this process is so."""

    def wait(condition: Callable[[], object]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.05)

    return wait


@dataclass(frozen=True)
class Certificates:
    """An authority, and files that it has signed."""

    folder: Path
    authority: trustme.CA

    @property
    def ca_file(self) -> str:
        """The authority's own certificate."""
        return self._put("ca.pem", self.authority.cert_pem)

    def server(self, name: str = "server") -> dict[str, str]:
        """Write a new certificate for this machine, and return what a web configuration says of it."""
        made = self.authority.issue_cert("localhost", "127.0.0.1", common_name=name)
        return {
            "cert_file": self._put(f"{name}.pem", made.cert_chain_pems[0]),
            "key_file": self._put(f"{name}.key", made.private_key_pem),
        }

    def client(self, authority: trustme.CA | None = None) -> str:
        """Write a client's certificate and key into a file, and return its path."""
        made = (authority or self.authority).issue_cert("client@prometheus.example")
        return self._put("client.pem", made.private_key_and_cert_chain_pem)

    def _put(self, name: str, pem: trustme.Blob) -> str:
        path = self.folder / name
        path.write_bytes(pem.bytes())
        return str(path)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """An authority of its own."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Certificates(folder, trustme.CA())


@pytest.fixture(scope="session")
def hashed() -> Callable[[str], str]:
    """Return the hash of a password, as cheap as there are."""

    def make(password: str) -> str:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()

    return make


@pytest.fixture
def begin_prometheus(tmp_path: Path, start: Start) -> Callable[[Mapping[str, object]], str]:
    """Start a Prometheus with a configuration, and return where it is asked."""

    def begin(config: Mapping[str, object]) -> str:
        program = shutil.which(os.environ.get("VASTAI_PROMETHEUS", "prometheus"))
        if program is None:
            pytest.fail("prometheus is missing: `make setup` installs it")
        path = tmp_path / "prometheus.yml"
        path.write_text(yaml.safe_dump(dict(config)))
        started = start(
            f"--config.file={path}",
            f"--storage.tsdb.path={tmp_path / 'prometheus'}",
            "--web.listen-address=127.0.0.1:0",
            command=(program,),
        )
        # What stands between the two, and in which order, differs from release to release.
        address = started.line(r"Listening on\b.*\baddress=(127\.0\.0\.1:[1-9]\d*)")[1]
        started.line("Server is ready to receive web requests")
        return f"http://{address}"

    return begin


@pytest.fixture
def prometheus(begin_prometheus: Callable[[Mapping[str, object]], str]) -> Callable[..., str]:
    """Start a Prometheus that scrapes an address each second, and return where it is asked."""

    def begin(target: str, **how: object) -> str:
        job = {"job_name": "vastai-exporter", "static_configs": [{"targets": [target]}], **how}
        return begin_prometheus(
            {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
        )

    return begin
