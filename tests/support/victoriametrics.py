"""VictoriaMetrics and vmalert as programs: where they are, and how they are started."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.stack.stack import running, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


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
    with running(command, log) as process:
        wait_until_ready(f"{url}/health", process, log)
        yield
