"""Handle standard streams that may be slow, full, closed or gone, without waiting or failing.

Each stream has a thread that alone writes the program's messages. What cannot be written is dropped, and
counted for standard error. Only `once` writes its metrics directly, since its caller wants all of them.
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

#: Maximum bytes in the queue; more is dropped.
MOST_WAITING = 256 * 1024
#: Seconds to wait at exit for pending output.
LAST_WAIT = 1.0
#: Maximum seconds of one call, in case a signal arrived just before it.
LONGEST_CALL = 0.2


class Writer:
    """Writes texts to a file descriptor in its own thread, each one completely or not at all.

    Args:
        descriptor: file descriptor, or None if closed.

    Attributes:
        dropped: number of lines that could not be written.

    """

    def __init__(self, descriptor: int | None) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._news = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._thread: threading.Thread | None = None
        #: Rest of a partly written text; it comes first, so that no line starts within another.
        self._rest = b""

    def write(self, text: bytes) -> None:
        """Queue `text`, or drop it; returns at once."""
        with self._news:
            if self._descriptor is None or self._size + len(text) > MOST_WAITING or not self._starts():
                self.dropped += text.count(b"\n")
                return
            self._waiting.append(text)
            self._size += len(text)
            self._news.notify_all()

    def drain(self, patience: float = LAST_WAIT) -> None:
        """Wait until everything is written, for at most `patience` seconds."""
        with self._news:
            self._news.wait_for(lambda: not self._size, patience)

    def _starts(self) -> bool:
        """Return whether the thread runs; it is started on first use."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="stream", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system cannot start another thread, or the program is exiting
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
        """Write `text`; return whether it is written, or its rest will come before the next text."""
        try:
            self._rest = self._written(self._rest)
            if self._rest:
                return False
            self._rest = self._written(text)
        except OSError:
            return False
        return True

    def _written(self, text: bytes) -> bytes:
        """Write as much of `text` as possible, and return the rest.

        Raises:
            OSError: nothing can be written.

        """
        descriptor, begun = self._descriptor or 0, len(text)
        while text:
            try:
                text = text[os.write(descriptor, text) :]
            except BlockingIOError:  # another user of the same terminal or pipe has made it non-blocking
                wait_for(descriptor)
            except OSError:
                if len(text) == begun:
                    raise
                return text
        return text


class Stream(io.TextIOBase):
    """A standard stream for the program's messages that accepts everything at once and never fails.

    Args:
        descriptor: file descriptor.
        usual: the stream as Python opened it; None if it is closed.

    Attributes:
        closed_from_the_start: whether the stream was closed when the program started.

    """

    def __init__(self, descriptor: int, usual: TextIO | None) -> None:
        super().__init__()
        self.closed_from_the_start = usual is None
        self._descriptor = descriptor
        self._encoding = usual.encoding if usual is not None else "utf-8"
        self._writer = Writer(None if usual is None else descriptor)

    @property
    def dropped(self) -> int:
        """Number of lines that could not be written."""
        return self._writer.dropped

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the output; unsupported characters are written as escapes."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """Name of that error handling."""
        return "backslashreplace"

    def write(self, text: str, /) -> int:
        """Queue `text`, which is written completely or not at all."""
        if not isinstance(text, str):
            raise TypeError("text is expected")
        if text:
            self._writer.write(text.encode(self._encoding, self.errors))
        return len(text)

    def drain(self, patience: float = LAST_WAIT) -> None:
        """Wait briefly for pending output."""
        self._writer.drain(patience)

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return not self.closed_from_the_start and os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return that it is writable."""
        return True


def guard() -> None:
    """Replace standard output and standard error with such streams until the program ends.

    A closed descriptor is opened on /dev/null. Otherwise the next file or socket would get its number, and
    with it the stream's output.
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
    """Open a closed file descriptor on /dev/null."""
    with suppress(OSError):
        os.fstat(number)
        return
    with suppress(OSError):  # /dev is missing
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)


def dropped() -> int:
    """Return the number of lines that could not be written to standard error."""
    return sys.stderr.dropped if isinstance(sys.stderr, Stream) else 0


def put_all(content: bytes, descriptor: int) -> None:
    """Write all of `content`, however long it takes.

    Raises:
        OSError: it cannot be written.

    """
    view = memoryview(content)
    while view:
        wait_for(descriptor)
        with suppress(BlockingIOError):  # another process has filled it in the meantime
            view = view[os.write(descriptor, view[: select.PIPE_BUF]) :]


def put_on_standard_output(content: bytes) -> None:
    """Write all of `content` to standard output.

    Raises:
        OSError: it cannot be written.

    """
    if isinstance(sys.stdout, Stream) and sys.stdout.closed_from_the_start:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    put_all(content, 1)


def open_for_writing(path: Path) -> int:
    """Open a non-regular file and return its descriptor; for a pipe, wait for a reader.

    Raises:
        OSError: it cannot be opened.

    """
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
        time.sleep(LONGEST_CALL)  # not in the call itself, for the same reason as in `wait_for`


def wait_for(descriptor: int) -> None:
    """Wait until a file descriptor is writable: for a pipe, by `select.PIPE_BUF` bytes.

    A signal that arrives just before a blocking call does not interrupt it, and Python's handler only runs
    when the call returns. So no call blocks for long.
    """
    waits = select.poll()
    waits.register(descriptor, select.POLLOUT)
    while not waits.poll(LONGEST_CALL * 1000):
        pass
