"""One run of every collector without a server, for node_exporter's textfile collector or a quick look."""

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
#: Begins a terminal's line anew.
CLEAR = "\r\x1b[K"


#: Of a file that was not there before: everybody may read it.
NEW_FILE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where what was found is written.

    Attributes:
        metrics: a file, or None.
        targets: a file for file_sd, or None. With neither, the metrics go to standard output.

    """

    metrics: Path | None = None
    targets: Path | None = None

    def put(self, once: Once) -> None:
        """Write all that is wanted.

        Raises:
            OSError: something can't be written; `strerror` names it.

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
    """Collect once, write what was found to `outputs`, and return the exit code."""
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
        logging.disable()  # a run may end meanwhile, and what it says is of no use any more
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return FAILED
    return 0 if once.succeeded() else FAILED


class Once:
    """Runs every job of a configuration once, all at the same time.

    Args:
        loaded: the configuration.
        redact: told of every key before it is used.
        ended: called when the last run has ended.
        progress: told after each reply how far a run is.
        revision: of the source, for the build info.

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
        """Begin; `ended` is called at the end."""
        lanes = Lanes()
        for loop in self._poller.loops:
            lanes.of(loop.job).submit(
                partial(self._run, loop), f"{loop.job.collector.name} {loop.job.account}"
            )

    def stop(self) -> None:
        """Give up."""
        self._poller.stop()

    def succeeded(self) -> bool:
        """Return whether every run did."""
        return all(loop.runs.success for loop in self._poller.loops)

    def text(self) -> bytes:
        """Return what was found, in the text format; without process_*: node_exporter has its own."""
        body = self._poller.exposition.body(openmetrics=False, gzip=False, process=False)
        return b"".join(body.pieces)

    def targets(self) -> bytes | None:
        """Return the targets for file_sd; None unless the instances of every account were read."""
        found = self._poller.targets
        if found is None:
            return None
        if missing := found.unread():
            fields = {"accounts": ", ".join(missing)}
            _log.warning("the targets are not written: instances could not be read", extra={"fields": fields})
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
    """A stream that keeps a last line on a terminal: how far the walk of the instances is.

    Args:
        stream: where it writes; where that is no terminal it only passes text on.
        clock: monotonic seconds.
        min_interval: seconds between two requests, or None for the endpoint's usual ones.

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
        """Show `progress` of `job`, or nothing where it is at its end."""
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
        """Take the line away."""
        if self._terminal:
            self._show("")

    def write(self, text: str, /) -> None:
        """Write whole lines above the line."""
        with self._lock:
            self._stream.write(f"{CLEAR}{text}{self._line}" if self._terminal else text)

    def flush(self) -> None:
        """Pass on what was written."""
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
    """Put `content` into `path`: a file is replaced in one step, anything else is written into.

    Where `path` is a link, what it leads to is meant. A device or a pipe stays what it is.

    Raises:
        OSError: it can't be written; an old file stands.

    """
    try:
        before = path.stat()
    except FileNotFoundError:
        before = None
    target = Path(os.path.realpath(path))  # also of a link that leads to nothing yet
    if before is None or (stat.S_ISREG(before.st_mode) and _is(target, before)):
        replace(target, content, before)
        return
    descriptor = streams.open_for_writing(path)
    try:
        streams.put_all(content, descriptor)
    finally:
        os.close(descriptor)


def _is(path: Path, found: os.stat_result) -> bool:
    """Return whether `path` is the file that was found; a deleted one may still be open under /dev/fd."""
    try:
        return os.path.samestat(path.stat(), found)
    except OSError:
        return False


def replace(path: Path, content: bytes, before: os.stat_result | None) -> None:
    """Put `content` into `path` so that a reader sees the old file or the new one, whole.

    Args:
        path: of the file, not a link.
        content: for it.
        before: the file that is there; its mode is kept, and its owner where this user may give files away.

    Raises:
        OSError: it can't be written; the old file stands.

    """
    beside = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    # Named before it is made: a signal may come at any moment, and must leave nothing behind.
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
