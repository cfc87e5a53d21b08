"""A Prometheus database written from text, with the results of recording rules, and its server."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

#: The interval of groups whose samples are summed.
HOURLY = "1h"
_NAMES = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def write(folder: Path, text: Iterable[bytes]) -> None:
    """Write the samples of an OpenMetrics text into the database of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "history.txt"
    with source.open("wb") as file:
        file.writelines(text)
    _promtool("tsdb", "create-blocks-from", "openmetrics", str(source), str(folder / "data"))
    source.unlink()


def evaluate(folder: Path, rules: Path, start: float, end: float, step: float) -> None:
    """Add the results of recording rules to the database of `folder`."""
    for content in levels(yaml.safe_load(rules.read_text(encoding="utf-8"))):
        (folder / "level.yml").write_text(json.dumps(content), encoding="utf-8")
        with served(folder, step) as url:
            _promtool(
                "tsdb",
                "create-blocks-from",
                "rules",
                f"--start={start:.0f}",
                f"--end={end:.0f}",
                f"--eval-interval={step:.0f}s",
                "--output-dir=data",
                f"--url={url}",
                # A hash of this path, as given, sets the time within a step at which a group is evaluated.
                "level.yml",
                folder=folder,
            )


def levels(rules: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield files of rules; each needs only series that the files before it have recorded.

    promtool evaluates the rules of a file separately, so none sees the results of another.
    """
    waiting = [(group.get("interval"), rule) for group in rules["groups"] for rule in group["rules"]]
    while waiting:
        names = {rule["record"] for _, rule in waiting}
        ready = [
            (interval, rule) for interval, rule in waiting if not names & set(_NAMES.findall(rule["expr"]))
        ]
        if not ready:
            raise ValueError(f"rules that need each other: {sorted(names)}")
        # Hourly samples are summed and need their interval; all other rules can use the step.
        hourly = [rule for interval, rule in ready if interval == HOURLY]
        others = [rule for interval, rule in ready if interval != HOURLY]
        groups = [
            {"name": "hours", "interval": HOURLY, "rules": hourly},
            {"name": "history", "rules": others},
        ]
        yield {"groups": [group for group in groups if group["rules"]]}
        waiting = [each for each in waiting if each not in ready]


@contextmanager
def served(folder: Path, step: float = 60.0, port: int = 0) -> Iterator[str]:
    """Serve the history of `folder` while the context lasts; yields the address of Prometheus."""
    config = folder / "prometheus.yml"
    config.write_text("{}\n")
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
            # Written data has no staleness markers, so a series without a sample for a whole step has ended.
            f"--query.lookback-delta={1000 * step - 1:.0f}ms",
            "--log.level=error",
        ],
    )
    try:
        _wait_for(f"{url}/-/ready", process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with suppress(OSError), urlopen(address, timeout=5):  # noqa: S310 - http, on this machine
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("Prometheus does not start")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def program(name: str) -> str:
    """Return the path of a program, from VASTAI_PROMETHEUS or VASTAI_PROMTOOL, or else from PATH."""
    found = os.environ.get(f"VASTAI_{name.upper()}") or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: it comes with Debian's package prometheus")
    return found


def _promtool(*arguments: str, folder: Path | None = None) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"promtool {' '.join(arguments)}: {done.stdout}{done.stderr}")
