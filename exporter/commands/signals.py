"""Signals, from the program's first instruction to its last."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a supervisor or Ctrl-C sends to end the program.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: What lets a command that serves read its configuration again. Any other command has lost its terminal.
RELOAD_SIGNAL = signal.SIGHUP
#: Commands that have done what they were asked for only when they have come to their end.
ONE_SHOT = frozenset({"once", "probe", "check-config", "health"})
INTERRUPTED = 1
#: Written by `end`; no signal has this number.
_END = 0


class Interrupted(BaseException):
    """A stop signal came while `Signals.raising`; not an `Exception`, which anybody may catch."""


class Signals:
    """Signals and the end, in the order in which they come. Only one may exist, and in the main thread.

    Until `begin` a stop signal ends the program at once. From then on somebody has to `wait`, and what came
    before to reload is not lost.

    A wait for a lock or a queue would miss a signal that comes just before the thread sleeps. Python itself
    writes each signal's number into a pipe, where none is lost; should that be full, a stop signal and the
    end are noted beside it.

    Args:
        serves: whether the command serves: then it was asked to run until it is stopped.

    """

    def __init__(self, *, serves: bool) -> None:
        self._early = 0 if serves else INTERRUPTED
        self._stop: signal.Signals | None = None
        self._ended = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._stops: tuple[signal.Signals, ...] = STOP_SIGNALS
        for number in STOP_SIGNALS:
            # Not sys.exit: raised in the middle of an import, it may be taken for the module's own failure.
            signal.signal(number, lambda *_: os._exit(self._early))
        if serves:
            signal.signal(RELOAD_SIGNAL, lambda *_: None)
        elif signal.getsignal(RELOAD_SIGNAL) is not signal.SIG_IGN:  # which is how nohup starts it
            self._stops = (*STOP_SIGNALS, RELOAD_SIGNAL)
            signal.signal(RELOAD_SIGNAL, lambda *_: os._exit(self._early))

    def begin(self) -> None:
        """Let stop signals be told by `wait` from now on."""
        for number in self._stops:
            signal.signal(number, self._note)

    def end(self) -> None:
        """Let `wait` return None; safe to call from every thread."""
        self._ended = True
        with suppress(BlockingIOError):  # full of signals, which end a wait as well
            os.write(self._write, bytes([_END]))

    def wait(self) -> signal.Signals | None:
        """Return the next signal, or None at the end; a stop signal goes before all else."""
        number = _END if self._stop is not None else os.read(self._read, 1)[0]
        if self._stop is not None or self._ended:
            return self._stop
        return signal.Signals(number)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let the first stop signal, also one that was not waited for, raise `Interrupted` in here.

        Raises:
            Interrupted: there was one.

        """

        def interrupt(*_: object) -> None:
            self.ignore()
            raise Interrupted

        for number in self._stops:
            signal.signal(number, interrupt)
        if self._stop is not None:
            interrupt()
        yield
        self.ignore()

    def ignore(self) -> None:
        """Let further signals change nothing: the program is ending already."""
        for number in (*self._stops, RELOAD_SIGNAL):
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, _: object) -> None:
        self._stop = signal.Signals(number)


def from_the_start() -> Signals:
    """Obey signals from now on, for the command that the program was started with."""
    return Signals(serves=not ONE_SHOT.intersection(sys.argv[1:2]))
