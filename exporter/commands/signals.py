"""Handle signals from the program's first instruction to its last."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Sent by a supervisor or Ctrl-C to stop the program.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Makes a serving command reload its configuration. For any other command, it means that the terminal has
#: closed.
RELOAD_SIGNAL = signal.SIGHUP
#: Commands that have done their work only if they run to completion.
ONE_SHOT = frozenset({"once", "probe", "check-config", "health"})
INTERRUPTED = 1
#: Written by `end`; no signal has this number.
_END = 0


class Interrupted(BaseException):
    """A stop signal arrived during `Signals.raising`; not an `Exception`, which any code may catch."""


class Signals:
    """Signals and the end of the program, in order of arrival; create only one, in the main thread.

    Until `begin`, a stop signal ends the program at once. After it, the program must call `wait`. A reload
    signal before `begin` is not lost.

    A wait for a lock or a queue would miss a signal that arrives just before the thread sleeps. Python itself
    writes each signal's number to a pipe, so none is lost. If the pipe is full, a stop signal and the end are
    also stored in attributes.

    Args:
        serves: whether the command serves until it is stopped.

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
            # Not sys.exit: raised in the middle of an import, it could be mistaken for a failure of the
            # module.
            signal.signal(number, lambda *_: os._exit(self._early))
        if serves:
            signal.signal(RELOAD_SIGNAL, lambda *_: None)
        elif signal.getsignal(RELOAD_SIGNAL) is not signal.SIG_IGN:  # ignored under nohup
            self._stops = (*STOP_SIGNALS, RELOAD_SIGNAL)
            signal.signal(RELOAD_SIGNAL, lambda *_: os._exit(self._early))

    def begin(self) -> None:
        """Deliver stop signals to `wait` from now on."""
        for number in self._stops:
            signal.signal(number, self._note)

    def end(self) -> None:
        """Make `wait` return None; thread-safe."""
        self._ended = True
        with suppress(BlockingIOError):  # full of signals, which also end a wait
            os.write(self._write, bytes([_END]))

    def wait(self) -> signal.Signals | None:
        """Return the next signal, or None at the end; a stop signal comes first."""
        number = _END if self._stop is not None else os.read(self._read, 1)[0]
        if self._stop is not None or self._ended:
            return self._stop
        return signal.Signals(number)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise `Interrupted` in this context on the first stop signal, even one that arrived before.

        Raises:
            Interrupted: a stop signal arrived.

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
        """Ignore further signals, since the program is already ending."""
        for number in (*self._stops, RELOAD_SIGNAL):
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, _: object) -> None:
        self._stop = signal.Signals(number)


def from_the_start() -> Signals:
    """Handle signals from now on, for the command given in argv."""
    return Signals(serves=not ONE_SHOT.intersection(sys.argv[1:2]))
