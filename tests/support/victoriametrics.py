"""VictoriaMetrics and vmalert as programs, where they are and how they are started."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
#: Seconds in which a program serves, and ends, on however busy a machine.
PATIENCE = 60.0


def program(name: str) -> str:
    """Return where a program is: in the folder VASTAI_VICTORIAMETRICS, else in what .ci/newest unpacks."""
    folder = os.environ.get("VASTAI_VICTORIAMETRICS")
    if folder is None:
        found = subprocess.run(
            [ROOT / ".ci/newest", "victoria-metrics"], capture_output=True, text=True, check=False
        )
        if found.returncode:
            pytest.fail(
                "VictoriaMetrics is missing: .ci/newest victoria-metrics could not unpack Debian sid's"
            )
        folder = found.stdout.strip()
    return str(Path(folder, name))


@contextmanager
def serving(url: str, command: list[str], log: Path) -> Iterator[None]:
    """Run a program that answers `url`/health while entered; what it says goes to `log`."""
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            until = time.monotonic() + PATIENCE
            while not _answers(f"{url}/health"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _answers(url: str) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(url, timeout=PATIENCE).ok
    return False
