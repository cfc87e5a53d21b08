"""Run every collector once without a server, for node_exporter's textfile collector or interactive use."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from exporter.commands import streams
from exporter.commands.serve import set_up_logs
from exporter.commands.signals import INTERRUPTED, Interrupted
from exporter.config.durations import format_duration
from exporter.logs import Redactor
from exporter.polling.lanes import Lanes
from exporter.polling.poller import Poller
from exporter.vast.errors import Stopped
from exporter.vast.pace import MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.collectors.base import Progress
    from exporter.commands.signals import Signals
    from exporter.config.loading import Loaded
    from exporter.polling.job import Job
    from exporter.polling.loop import Loop

_log = logging.getLogger(__name__)

FAILED = 1
#: Clears the terminal's current line.
CLEAR = "\r\x1b[K"


#: Mode of a new file: readable by everyone.
NEW_FILE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Destinations of the results.

    Attributes:
        metrics: a file, or None.
        targets: a file for file_sd, or None. If both are None, the metrics go to standard output.

    """

    metrics: Path | None = None
    targets: Path | None = None

    def put(self, once: Once) -> None:
        """Write all outputs.

        Raises:
            OSError: an output cannot be written; `strerror` names it.

        """
        if self.metrics is None and self.targets is None:
            _put("standard output", partial(streams.put_on_standard_output, once.text()))
        if self.metrics is not None:
            _put(self.metrics, partial(write, self.metrics, once.text()))
        if self.targets is not None and (found := once.targets()) is not None:
            _put(self.targets, partial(write, self.targets, found))


def _put(name: Path | str, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        raise OSError(error.errno, f"{name}: can't be written: {error.strerror}") from error


def run_once(loaded: Loaded, outputs: Outputs, *, signals: Signals, environ: Mapping[str, str]) -> int:
    """Collect once, write the results to `outputs`, and return the exit code."""
    progress = ProgressLine(sys.stderr, clock=time.monotonic, min_interval=loaded.config.api.min_interval)
    redact = Redactor()
    set_up_logs(loaded, redact, progress)
    revision = environ.get("VASTAI_EXPORTER_REVISION", "")
    once = Once(loaded, redact=redact, ended=signals.end, progress=progress, revision=revision)
    signals.begin()
    once.start()
    signals.wait()
    progress.clear()
    try:
        with signals.raising():
            outputs.put(once)
    except Interrupted:
        once.stop()
        logging.disable()  # a run may still end, but its logs no longer matter
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return FAILED
    return 0 if once.succeeded() else FAILED


class Once:
    """Runs every job of a configuration once, all concurrently.

    Args:
        loaded: the configuration.
        redact: learns each key before its use.
        ended: called when the last run has ended.
        progress: called with a run's progress after each reply.
        revision: source revision, for the build info.

    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        redact: Redactor,
        ended: Callable[[], None],
        progress: Callable[[Job, Progress], None],
        revision: str = "",
    ) -> None:
        self._poller = Poller(loaded, redact=redact, progress=progress, revision=revision)
        self._poller.self_metrics.lines_dropped = streams.dropped
        self._ended = ended
        self._lock = threading.Lock()
        self._left = len(self._poller.loops)

    def start(self) -> None:
        """Start all runs; `ended` is called when the last one has ended."""
        lanes = Lanes()
        for loop in self._poller.loops:
            lanes.of(loop.job).submit(
                partial(self._run, loop), f"{loop.job.collector.name} {loop.job.account}"
            )

    def stop(self) -> None:
        """Abort all runs."""
        self._poller.stop()

    def succeeded(self) -> bool:
        """Return whether every run succeeded."""
        return all(loop.runs.success for loop in self._poller.loops)

    def text(self) -> bytes:
        """Return the metrics in the text format, without process_*, which node_exporter has itself."""
        body = self._poller.exposition.body(openmetrics=False, gzip=False, process=False)
        return b"".join(body.pieces)

    def targets(self) -> bytes | None:
        """Return the targets for file_sd, or None unless the instances of every account were read."""
        found = self._poller.targets
        if found is None:
            return None
        if missing := found.unread():
            fields = {"accounts": ", ".join(missing)}
            _log.warning("targets not written: instances could not be read", extra={"fields": fields})
            return None
        return found.json()

    def _run(self, loop: Loop) -> None:
        try:
            with contextlib.suppress(Stopped):
                loop.run_once()
        finally:
            with self._lock:
                self._left -= 1
                last = self._left == 0
            if last:
                self._ended()


class ProgressLine:
    """A stream with a status line at the bottom of a terminal: the progress of the walk over the instances.

    Args:
        stream: output stream; if it is not a terminal, text is only passed through.
        clock: returns monotonic seconds.
        min_interval: seconds between two requests, or None for the endpoint's default.

    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float], min_interval: float | None) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._clock = clock
        self._min_interval = min_interval
        self._started = clock()
        self._lock = threading.Lock()
        self._line = ""

    def __call__(self, job: Job, progress: Progress) -> None:
        """Show the progress of `job`, or nothing if it is complete."""
        pages = progress.total_pages
        if not self._terminal or pages is None:
            return
        if progress.pages >= pages:
            self.clear()
            return
        left = format_duration(ceil((pages - progress.pages) * self._page_seconds(job, progress)))
        self._show(
            f"{job.account}: page {progress.pages} of {pages}, {progress.objects} of {progress.total}"
            f" {job.collector.objects}, {left} left"
        )

    def clear(self) -> None:
        """Remove the status line."""
        if self._terminal:
            self._show("")

    def write(self, text: str, /) -> None:
        """Write whole lines above the status line."""
        with self._lock:
            self._stream.write(f"{CLEAR}{text}{self._line}" if self._terminal else text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def _show(self, line: str) -> None:
        with self._lock:
            self._line = line
            self._stream.write(CLEAR + line)
            self._stream.flush()

    def _page_seconds(self, job: Job, progress: Progress) -> float:
        interval = self._min_interval
        if interval is None:
            interval = job.collector.endpoints[0].threshold * MARGIN
        return max(interval, (self._clock() - self._started) / progress.pages)


def write(path: Path, content: bytes) -> None:
    """Write `content` to `path`: a file is replaced atomically, anything else is written to.

    Symbolic links are followed. A device or a pipe is kept.

    Raises:
        OSError: it cannot be written; an old file is unchanged.

    """
    try:
        before = path.stat()
    except FileNotFoundError:
        before = None
    target = Path(os.path.realpath(path))  # also resolves a dangling link
    if before is None or (stat.S_ISREG(before.st_mode) and _is(target, before)):
        replace(target, content, before)
        return
    descriptor = streams.open_for_writing(path)
    try:
        streams.put_all(content, descriptor)
    finally:
        os.close(descriptor)


def _is(path: Path, found: os.stat_result) -> bool:
    """Return whether `path` is the file that was found; /dev/fd may refer to a deleted one."""
    try:
        return os.path.samestat(path.stat(), found)
    except OSError:
        return False


def replace(path: Path, content: bytes, before: os.stat_result | None) -> None:
    """Replace `path` with `content`, so that a reader sees either the old or the new file, complete.

    Args:
        path: path of the file, not a link.
        content: new content.
        before: the existing file; its mode is kept, and its owner if this user may change it.

    Raises:
        OSError: it cannot be written; the old file is unchanged.

    """
    beside = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    # The name is fixed before the file is created: a signal may arrive at any moment and must leave no file
    # behind.
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            streams.put_all(content, descriptor)
            if before is not None:
                _give(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, NEW_FILE if before is None else before.st_mode & 0o777)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _give(descriptor: int, user: int, group: int) -> None:
    found = os.fstat(descriptor)
    for owner in ((user, group), (-1, group)):
        if (found.st_uid, found.st_gid) != (user, group):
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, *owner)
                return
