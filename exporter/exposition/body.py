"""Table and snapshots become the bytes of /metrics.

What the API said stands in parts as lines that are ready (exporter.metrics.snapshot). Here they are put in
the table's order and compressed, once for each change, when a scrape asks for it. The exporter's own metrics
follow, new for each scrape; in the compressed body they are a second block of the same gzip stream.
"""

from __future__ import annotations

import struct
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

from isal import isal_zlib

from exporter.metrics import lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from exporter.collectors.base import Collector, Known
    from exporter.exposition.self_metrics import Telemetry
    from exporter.metrics.snapshot import Snapshot

#: Bytes that are compressed, or handed to the network, at a time; a slow reader holds one in its buffer.
PIECE = 32 * 1024
#: ISA-L's: a seventh of zlib level 1's time, and a smaller result (bench/README.md).
LEVEL = 1
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Source:
    """One collector of one account: where its snapshot is, and the seconds for which it may be shown."""

    account: str
    collector: Collector
    known: Known
    stale_after: float


@dataclass(frozen=True, slots=True)
class Body:
    """A response body: its pieces, to be taken once, and its length in bytes."""

    pieces: Iterable[bytes]
    length: int


class Fleet:
    """All lines of all sources at one moment, compressed: that takes a fifteenth of the text.

    Attributes:
        snapshots: what it was made of; weak, so that the text of an old one is not kept for a comparison.
        until: monotonic seconds at which a part of it becomes too old to be shown.

    """

    def __init__(self, chunks: Iterable[bytes], snapshots: tuple[Snapshot[Any], ...], until: float) -> None:
        self.snapshots = tuple(ref(snapshot) for snapshot in snapshots)
        self.until = until
        self._length = 0
        self._checksum = 0
        compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -zlib.MAX_WBITS)
        pieces: list[bytes] = []
        for piece in _joined(chunks):
            self._length += len(piece)
            self._checksum = zlib.crc32(piece, self._checksum)
            pieces.append(compressor.compress(piece))
        # Ends on a byte, and nothing behind it refers back: another compressor can go on.
        pieces.append(compressor.flush(isal_zlib.Z_FULL_FLUSH))
        self._deflated = tuple(_joined(pieces))

    def plain(self, tail: bytes) -> Body:
        """Return the lines, and `tail` after them."""
        return Body(self._plain(tail), self._length + len(tail))

    def gzip(self, tail: bytes) -> Body:
        """Return the lines, and `tail` after them, as one gzip stream."""
        compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        end = compressor.compress(tail) + compressor.flush()
        checksum = zlib.crc32(tail, self._checksum)
        end += struct.pack("<LL", checksum, (self._length + len(tail)) & 0xFFFFFFFF)
        body = (_GZIP_HEADER, *self._deflated, end)
        return Body(body, sum(map(len, body)))

    def _plain(self, tail: bytes) -> Iterator[bytes]:
        decompressor = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        came = b""
        for piece in self._deflated:
            waiting = piece
            # A piece that came full may not have been all: ISA-L keeps some when nothing is left to go in.
            while waiting or len(came) == PIECE:
                yield (came := decompressor.decompress(waiting, PIECE))
                waiting = decompressor.unconsumed_tail
        yield tail


class Exposition:
    """The bytes of /metrics.

    Args:
        sources: what is served, asked anew each time.
        telemetry: the exporter's own metrics.
        clock: monotonic seconds.
        most_labels: user labels that have a series of their own, for each account.

    """

    def __init__(
        self,
        sources: Callable[[], Sequence[Source]],
        telemetry: Telemetry,
        *,
        clock: Callable[[], float],
        most_labels: int,
    ) -> None:
        self._sources = sources
        self._telemetry = telemetry
        self._clock = clock
        self._most_labels = most_labels
        self._lock = threading.Lock()
        self._fleet = Fleet([], (), float("-inf"))

    def is_ready(self) -> bool:
        """Tell whether a body can be had without rendering."""
        return self._is_current(self._fleet, self._sources())

    def body(self, *, openmetrics: bool, gzip: bool, process: bool = True) -> Body:
        """Return what a scrape gets; scrapes that come together share one rendering."""
        sources = self._sources()
        with self._lock:
            if not self._is_current(self._fleet, sources):
                self._fleet = self._render(sources)
            fleet = self._fleet
        tail = self._telemetry.lines(openmetrics=openmetrics, process=process)
        if openmetrics:
            tail += b"# EOF\n"
        return fleet.gzip(tail) if gzip else fleet.plain(tail)

    def _is_current(self, fleet: Fleet, sources: Sequence[Source]) -> bool:
        return (
            self._clock() < fleet.until
            and len(sources) == len(fleet.snapshots)
            and all(s.known.snapshot is it() for s, it in zip(sources, fleet.snapshots, strict=True))
        )

    def _render(self, sources: Sequence[Source]) -> Fleet:
        now = self._clock()
        snapshots = tuple(source.known.snapshot for source in sources)
        until = float("inf")
        found: dict[str, list[bytes]] = {}
        collectors: dict[str, Collector] = {}
        for source, snapshot in zip(sources, snapshots, strict=True):
            collectors[source.collector.name] = source.collector
            fresh = snapshot.fresh(now, source.stale_after)
            if not fresh:
                continue
            until = min(until, min(part.confirmed for part in fresh) + snapshot.limit(source.stale_after))
            if source.collector.summarise is not None:
                summary = source.collector.summarise(source.account, fresh, snapshot, self._most_labels)
                for name, chunk in summary.items():
                    found.setdefault(name, []).append(chunk)
            for part in fresh:
                for name, chunk in part.lines.items():
                    found.setdefault(name, []).append(chunk)
        return Fleet(_in_order(collectors, found), snapshots, until)


def _in_order(collectors: dict[str, Collector], found: dict[str, list[bytes]]) -> Iterator[bytes]:
    for collector in collectors.values():
        for metric in (*collector.summaries, *collector.gauges):
            if chunks := [chunk for chunk in found.get(metric.name, ()) if chunk]:
                yield lines.header(metric)
                yield from chunks


def _joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces of about `PIECE`."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
