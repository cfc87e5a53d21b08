"""Reloads whose outcome can be waited for: `systemctl reload` fails when the configuration was refused.

A signal has no answer. So the exporter leaves one in the folder that systemd gives the service
(RuntimeDirectory=), and the command that sends the signal reads it there.
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
#: Seconds between two looks at the answer.
PERIOD = 0.1
_NAME = "reload"

_log = logging.getLogger(__name__)


class ReloadReport:
    """Leaves the outcome of each reload in a file; does nothing where systemd gave no folder."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = _answer_in(environ)
        self._number = 0

    def write(self, mistakes: Sequence[str]) -> None:
        """Say what was wrong with the configuration that was read last, nothing if it is in force."""
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
    """Have a running exporter read its configuration again, and return what is wrong with it.

    Args:
        pid: of the exporter.
        environ: says in which folder the answer will be.
        wait: waits for some seconds.
        patience: seconds in which an answer has to come.

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
    folder = environ.get(VARIABLE, "").partition(":")[0]  # systemd may name several
    return Path(folder, _NAME) if folder else None


def _read(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").split("\n"))
    except FileNotFoundError:  # before the first reload
        return ()
