"""What .ci/audit says of licences and of known vulnerabilities; index and osv.dev are here, not elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]


def audit(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/audit, with some variables in its environment."""
    return subprocess.run(
        [ROOT / ".ci/audit", *map(str, arguments)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with two packages: `free` is under the MIT licence, `viral` under the GPL."""
    for name, licence in (("free", "MIT"), ("viral", "GPL-3.0-only")):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        about = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n"
        (folder / "METADATA").write_text(about)
    return tmp_path


def test_everything_that_ships_has_a_licence_that_allows_it() -> None:
    done = audit("licences")

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("locked", "code", "said"),
    [
        ("free==1.0 \\\n    --hash=sha256:00\n", 0, "all 1 in"),
        ("free==1.0\nviral==1.0\n", 1, "GPL-3.0-only not in allow-only licenses was found for package viral"),
        ("free==1.0\nelsewhere==1.0\n", 1, "NOT RUN: of the 2 packages"),
        ("", 1, "NOT RUN"),
    ],
    ids=["allowed", "not allowed", "not installed", "empty"],
)
def test_a_licence_passes_only_where_it_was_seen_and_is_allowed(
    packages: Path, locked: str, code: int, said: str
) -> None:
    lock = packages / "some.lock"
    lock.write_text(locked)

    done = audit("licences", lock, PYTHONPATH=str(packages))  # beside what is installed

    assert done.returncode == code, done.stderr
    assert said in done.stderr


class VulnerabilityData(BaseHTTPRequestHandler):
    """Knows of one vulnerability, as osv.dev would tell of it: that of the package `leaky`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        names = [query["package"]["name"] for query in asked]
        known = {"vulns": [{"id": "PYSEC-0-1", "modified": "2026-01-01T00:00:00Z"}]}
        self.answer({"results": [known if name == "leaky" else {} for name in names]})

    def do_GET(self) -> None:
        self.answer({"id": "PYSEC-0-1", "modified": "2026-01-01T00:00:00Z", "summary": "it leaks"})

    def answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def vulnerability_data() -> Iterator[str]:
    """Serve it, and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), VulnerabilityData)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    """Settings by which uv finds two packages in a folder, and nothing elsewhere."""
    for name in ("sound", "leaky"):
        with ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", about)
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return {
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(tmp_path),
        "UV_HTTP_RETRIES": "0",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.mark.parametrize(("name", "code"), [("sound", 0), ("leaky", 1)])
def test_a_package_passes_only_where_no_vulnerability_is_known(
    tmp_path: Path, index: dict[str, str], name: str, code: int
) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(f"{name}==1.0 \\\n    --hash=sha256:00\n")
    with vulnerability_data() as address:
        done = audit("vulnerabilities", lock, OSV_URL=address, **index)

    assert done.returncode == code, done.stderr
    assert "NOT RUN" not in done.stderr
    assert ("PYSEC-0-1" in done.stdout) == bool(code)


def test_what_nobody_can_be_asked_about_does_not_pass(tmp_path: Path, index: dict[str, str]) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("sound==1.0\n")

    done = audit("vulnerabilities", lock, OSV_URL="http://127.0.0.1:1/", **index)

    assert done.returncode == 1
    assert "NOT RUN: known vulnerabilities" in done.stderr
