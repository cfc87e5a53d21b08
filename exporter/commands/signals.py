"""What the main thread waits for: a signal, or the end of what the other threads do."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a supervisor or Ctrl-C sends to end the program.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Written by `end`; no signal has this number.
_END = 0


class Signals:
    """Signals and the end, in the order in which they come. Only one may exist, and in the main thread.

    A wait for a lock or a queue would miss a signal that comes just before the thread sleeps. Python itself
    writes each signal's number into a pipe, where none is lost.
    """

    def __init__(self, signals: Sequence[signal.Signals]) -> None:
        self._signals = signals
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write)
        for number in signals:
            signal.signal(number, lambda *_: None)

    def end(self) -> None:
        """Let `wait` return None; safe to call from every thread."""
        os.write(self._write, bytes([_END]))

    def wait(self) -> signal.Signals | None:
        """Return the next signal, or None at the end."""
        number = os.read(self._read, 1)[0]
        return None if number == _END else signal.Signals(number)

    def ignore(self) -> None:
        """Let further signals change nothing: the program is ending already."""
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)
