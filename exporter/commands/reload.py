"""Report the result of a reload: `systemctl reload` fails if the configuration was rejected.

A signal has no reply. The exporter therefore writes the result to the directory that systemd gives the
service (RuntimeDirectory=). The command that sends the signal reads it there.
"""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

VARIABLE = "RUNTIME_DIRECTORY"
#: Seconds between checks for the result.
PERIOD = 0.1
_NAME = "reload"

_log = logging.getLogger(__name__)


class ReloadReport:
    """Writes the result of each reload to a file; does nothing if systemd gave no directory."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = _answer_in(environ)
        self._number = 0

    def write(self, mistakes: Sequence[str]) -> None:
        """Write the mistakes in the last configuration read; none means that it is in force."""
        if self._path is None:
            return
        self._number += 1
        new = self._path.with_suffix(".new")
        try:
            new.write_text("\n".join((str(self._number), *mistakes)), encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            _log.warning("can't write the result of a reload", extra={"fields": {"error": str(error)}})


def reload(
    pid: int, environ: Mapping[str, str], *, wait: Callable[[float], object], patience: float
) -> tuple[str, ...]:
    """Make a running exporter reload its configuration, and return the mistakes in it.

    Args:
        pid: process ID of the exporter.
        environ: the environment, which names the directory of the result.
        wait: sleeps for the given seconds.
        patience: seconds to wait for the result.

    """
    path = _answer_in(environ)
    if path is None:
        return (f"{VARIABLE}: not set; set RuntimeDirectory= in the exporter's systemd unit",)
    before = _read(path)
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        return (f"process {pid}: {error.strerror}",)
    for _ in range(round(patience / PERIOD)):
        answer = _read(path)
        if answer != before:
            return answer[1:]
        wait(PERIOD)
    return (f"process {pid}: no answer in {patience:.0f} s",)


def _answer_in(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get(VARIABLE, "").partition(":")[0]  # systemd may list several
    return Path(folder, _NAME) if folder else None


def _read(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").split("\n"))
    except FileNotFoundError:  # before the first reload
        return ()
