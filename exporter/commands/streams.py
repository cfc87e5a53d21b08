"""Standard streams that may be slow, full, closed or gone: nobody waits for them, nothing fails by them.

What the program says goes to a thread of each stream, which alone writes. What can't be written is dropped,
and of standard error counted. Only `once` writes its metrics by itself: who asks for them wants all of them.
"""

from __future__ import annotations

import atexit
import errno
import io
import os
import select
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes that may wait to be written; what comes on top is dropped.
MOST_WAITING = 256 * 1024
#: Seconds that the program's end waits for what is not written yet.
LAST_WAIT = 1.0
#: Seconds that one call waits at most, where a signal may have come just before it.
LONGEST_CALL = 0.2


class Writer:
    """Writes texts to a file descriptor, each of them whole or not at all, in a thread of its own.

    Args:
        descriptor: of the stream; None for one that is closed.

    Attributes:
        dropped: lines that could not be written.

    """

    def __init__(self, descriptor: int | None) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._news = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._thread: threading.Thread | None = None
        #: The rest of a text of which a part is out; it goes first, so that no line begins within another.
        self._rest = b""

    def write(self, text: bytes) -> None:
        """Let `text` be written, or drop it; returns at once."""
        with self._news:
            if self._descriptor is None or self._size + len(text) > MOST_WAITING or not self._starts():
                self.dropped += text.count(b"\n")
                return
            self._waiting.append(text)
            self._size += len(text)
            self._news.notify_all()

    def drain(self, patience: float = LAST_WAIT) -> None:
        """Wait until all is written, for at most `patience` seconds."""
        with self._news:
            self._news.wait_for(lambda: not self._size, patience)

    def _starts(self) -> bool:
        """Return whether there is a thread; before it is needed there is none."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="stream", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system gives no more threads, or the program is at its end
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting)
                text = self._waiting.popleft()
            dropped = 0 if self._put(text) else text.count(b"\n")
            with self._news:
                self.dropped += dropped
                self._size -= len(text)
                self._news.notify_all()

    def _put(self, text: bytes) -> bool:
        """Write `text`; return whether it is out, or its rest waits for the next one."""
        try:
            self._rest = self._written(self._rest)
            if self._rest:
                return False
            self._rest = self._written(text)
        except OSError:
            return False
        return True

    def _written(self, text: bytes) -> bytes:
        """Write what can be written of `text`, and return the rest.

        Raises:
            OSError: nothing of it can be.

        """
        descriptor, begun = self._descriptor or 0, len(text)
        while text:
            try:
                text = text[os.write(descriptor, text) :]
            except BlockingIOError:  # somebody else, who has the same terminal or pipe, has set it so
                wait_for(descriptor)
            except OSError:
                if len(text) == begun:
                    raise
                return text
        return text


class Stream(io.TextIOBase):
    """A standard stream for what the program says: it takes everything at once and never fails.

    Args:
        descriptor: of the stream.
        usual: as Python has opened it; None where it is closed.

    Attributes:
        closed_from_the_start: whether the program was started without it.

    """

    def __init__(self, descriptor: int, usual: TextIO | None) -> None:
        super().__init__()
        self.closed_from_the_start = usual is None
        self._descriptor = descriptor
        self._encoding = usual.encoding if usual is not None else "utf-8"
        self._writer = Writer(None if usual is None else descriptor)

    @property
    def dropped(self) -> int:
        """Lines that could not be written."""
        return self._writer.dropped

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of what is written; what it does not know is written as an escape."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How that is called."""
        return "backslashreplace"

    def write(self, text: str, /) -> int:
        """Take `text`, which is written whole or not at all."""
        if not isinstance(text, str):
            raise TypeError("text is expected")
        if text:
            self._writer.write(text.encode(self._encoding, self.errors))
        return len(text)

    def drain(self, patience: float = LAST_WAIT) -> None:
        """Wait a little for what is not written yet."""
        self._writer.drain(patience)

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return not self.closed_from_the_start and os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return that it takes text."""
        return True


def guard() -> None:
    """Let standard output and standard error be such streams, until the program ends.

    A descriptor that is closed is opened on nothing: the next file or socket would get its number, and what
    is meant for the stream.
    """
    usual = (sys.stdin, sys.stdout, sys.stderr)
    for number, stream in enumerate(usual):
        if stream is None:
            fill(number)
    streams = [Stream(number, usual[number]) for number in (1, 2)]
    sys.stdout, sys.stderr = (cast("TextIO", stream) for stream in streams)
    for stream in streams:
        atexit.register(stream.drain)


def fill(number: int) -> None:
    """Open a file descriptor that is closed on nothing."""
    with suppress(OSError):
        os.fstat(number)
        return
    with suppress(OSError):  # no /dev at all
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)


def dropped() -> int:
    """Return the lines that could not be written to standard error."""
    return sys.stderr.dropped if isinstance(sys.stderr, Stream) else 0


def put_all(content: bytes, descriptor: int) -> None:
    """Write all of `content`, however long that takes.

    Raises:
        OSError: it can't be written.

    """
    view = memoryview(content)
    while view:
        wait_for(descriptor)
        with suppress(BlockingIOError):  # somebody else has filled it meanwhile
            view = view[os.write(descriptor, view[: select.PIPE_BUF]) :]


def put_on_standard_output(content: bytes) -> None:
    """Write all of `content` to standard output.

    Raises:
        OSError: it can't be written.

    """
    if isinstance(sys.stdout, Stream) and sys.stdout.closed_from_the_start:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    put_all(content, 1)


def open_for_writing(path: Path) -> int:
    """Open what is no regular file, and return its descriptor; a pipe when it has a reader.

    Raises:
        OSError: it can't be opened.

    """
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
        time.sleep(LONGEST_CALL)  # and not in the call, as in `wait_for`


def wait_for(descriptor: int) -> None:
    """Wait until something can be written to a file descriptor: `select.PIPE_BUF` bytes, if it is a pipe.

    A signal that comes just before a call that waits does not end it, and Python's handler has no turn until
    it returns. So no call waits for long.
    """
    waits = select.poll()
    waits.register(descriptor, select.POLLOUT)
    while not waits.poll(LONGEST_CALL * 1000):
        pass
