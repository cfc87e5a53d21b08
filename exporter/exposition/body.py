"""Render the metric table and the snapshots as the body of /metrics.

Parts contain the API's data as finished lines (exporter.metrics.snapshot). This module puts them in the
table's order and compresses them. It does so once per change, when a scrape asks for it. Adjacent metrics of
one group form a segment, so the response for any set of groups consists of finished segments. Gauges have the
same text in both formats. Counters have different headers, so they have segments for each format. The
exporter's own metrics follow, rendered anew for each scrape. In the compressed body, each segment is a block
of one gzip stream.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain, groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import ref

from isal import isal_zlib

from exporter.exposition import self_metrics as own
from exporter.exposition.overview import Moment, Overview, overviews
from exporter.metrics import lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from exporter.collectors.base import Collector, Store
    from exporter.exposition.self_metrics import SelfMetrics
    from exporter.metrics.rows import Metric
    from exporter.metrics.snapshot import Snapshot

#: Bytes to compress or to send at a time; a slow client buffers at most one piece.
PIECE = 32 * 1024
#: ISA-L level: takes a seventh of zlib level 1's time, with a smaller result (bench/README.md).
LEVEL = 1
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Source:
    """One collector of one account: its snapshot, and the seconds after which it is stale."""

    account: str
    collector: Collector
    store: Store
    stale_after: float


@dataclass(frozen=True, slots=True)
class Body:
    """A response body: its pieces, to be consumed once, and its length in bytes."""

    pieces: Iterable[bytes]
    length: int


class Segment:
    """A piece of the text, compressed so that another can follow; compression shrinks it to a fifteenth.

    Args:
        chunks: the text.
        group: group of its metrics.

    Attributes:
        group: as given.
        length: length of the text in bytes.
        checksum: CRC-32 of the text.
        deflated: the compressed text; ends at a byte boundary, and later data cannot refer back to it.

    """

    __slots__ = ("checksum", "deflated", "group", "length")

    def __init__(self, chunks: Iterable[bytes], group: str = "") -> None:
        self.group = group
        self.length = 0
        self.checksum = 0
        compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -zlib.MAX_WBITS)
        pieces: list[bytes] = []
        for piece in _joined(chunks):
            self.length += len(piece)
            self.checksum = zlib.crc32(piece, self.checksum)
            pieces.append(compressor.compress(piece))
        pieces.append(compressor.flush(isal_zlib.Z_FULL_FLUSH))
        self.deflated = tuple(_joined(pieces))

    def text(self) -> Iterator[bytes]:
        """Yield the text in pieces of at most `PIECE`."""
        decompressor = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        came = b""
        for piece in self.deflated:
            waiting = piece
            # A full piece may not be the end: ISA-L keeps some output even when no input is left.
            while waiting or len(came) == PIECE:
                yield (came := decompressor.decompress(waiting, PIECE))
                waiting = decompressor.unconsumed_tail


class Rendering:
    """All lines of all sources at one moment.

    Args:
        metrics: the table.
        chunks: lines by metric name.
        snapshots: the snapshots that the lines come from.
        until: monotonic seconds at which some of the data becomes stale.

    Attributes:
        snapshots: weak references, so that a comparison does not keep the text of an old snapshot.
        until: as given.

    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        chunks: Mapping[str, list[bytes]],
        snapshots: tuple[Snapshot[Any, Any], ...],
        until: float,
    ) -> None:
        self.snapshots = tuple(ref(snapshot) for snapshot in snapshots)
        self.until = until
        there = [metric for metric in metrics if chunks.get(metric.name)]
        gauges = [metric for metric in there if metric.type == "gauge"]
        counters = [metric for metric in there if metric.type != "gauge"]
        self._gauges = _segments(gauges, chunks, openmetrics=False)
        self._counters = {form: _segments(counters, chunks, openmetrics=form) for form in (False, True)}

    def plain(self, tail: bytes, *, openmetrics: bool, groups: Collection[str] | None = None) -> Body:
        """Return the lines, followed by `tail`."""
        segments = self._of(groups, openmetrics=openmetrics)
        text = chain(*(segment.text() for segment in segments), [tail])
        return Body(_packed(text), sum(segment.length for segment in segments) + len(tail))

    def gzip(self, tail: bytes, *, openmetrics: bool, groups: Collection[str] | None = None) -> Body:
        """Return the lines, followed by `tail`, as one gzip stream."""
        segments = self._of(groups, openmetrics=openmetrics)
        length = checksum = 0
        for segment in segments:
            length += segment.length
            checksum = isal_zlib.crc32_combine(checksum, segment.checksum, segment.length)
        compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -zlib.MAX_WBITS)
        end = compressor.compress(tail) + compressor.flush()
        end += struct.pack("<LL", zlib.crc32(tail, checksum), (length + len(tail)) & 0xFFFFFFFF)
        body = (_GZIP_HEADER, *chain(*(segment.deflated for segment in segments)), end)
        return Body(_packed(body), sum(map(len, body)))

    def _of(self, groups: Collection[str] | None, *, openmetrics: bool) -> Sequence[Segment]:
        """Return the segments of some groups in order, or all segments."""
        segments = (*self._gauges, *self._counters[openmetrics])
        return segments if groups is None else [each for each in segments if each.group in groups]


class Exposition:
    """Renders /metrics.

    Args:
        sources: returns the sources; called each time.
        self_metrics: the exporter's own metrics.
        clock: returns monotonic seconds.
        most_labels: maximum number of user labels with their own series per account.
        metrics: the table without the exporter's own metrics.
        constant: lines that come from no collector, by metric.
        left_out: disabled groups.

    Attributes:
        groups: groups that a scrape may request, including disabled ones: requesting a disabled group is not
            an error.

    """

    def __init__(
        self,
        sources: Callable[[], Sequence[Source]],
        self_metrics: SelfMetrics,
        *,
        clock: Callable[[], float],
        most_labels: int,
        metrics: Sequence[Metric],
        constant: Mapping[str, bytes] = MappingProxyType({}),
        left_out: Collection[str] = (),
    ) -> None:
        self._sources = sources
        self._self_metrics = self_metrics
        self._clock = clock
        self._most_labels = most_labels
        self._metrics = [metric for metric in metrics if metric.group not in left_out]
        self.groups = tuple(dict.fromkeys([*(metric.group for metric in metrics), own.GROUP]))
        self._constant = constant
        self._lock = threading.Lock()
        self._rendering = Rendering((), {}, (), float("-inf"))

    def body(
        self, *, openmetrics: bool, gzip: bool, process: bool = True, groups: Collection[str] | None = None
    ) -> Body:
        """Return the response to a scrape; concurrent scrapes share one rendering, whatever they request.

        Args:
            openmetrics: whether to use OpenMetrics.
            gzip: whether to compress.
            process: whether to include process_* and python_info.
            groups: groups to include; None for all.

        """
        sources = self._sources()
        with self._lock:
            if not self._is_current(sources):
                self._rendering = self._render(sources)
            rendering = self._rendering
        tail = b""
        if groups is None or own.GROUP in groups:
            tail = self._self_metrics.lines(openmetrics=openmetrics, process=process)
        if openmetrics:
            tail += b"# EOF\n"
        made = rendering.gzip if gzip else rendering.plain
        return made(tail, openmetrics=openmetrics, groups=groups)

    def overviews(self, now: float) -> tuple[Overview, ...]:
        """Return a summary of each account; `now` is in epoch seconds."""
        return tuple(overviews(self._sources(), Moment(self._clock(), now)))

    def _is_current(self, sources: Sequence[Source]) -> bool:
        rendering = self._rendering
        return (
            self._clock() < rendering.until
            and len(sources) == len(rendering.snapshots)
            and all(s.store.snapshot is it() for s, it in zip(sources, rendering.snapshots, strict=True))
        )

    def _render(self, sources: Sequence[Source]) -> Rendering:
        now = self._clock()
        snapshots = tuple(source.store.snapshot for source in sources)
        until = float("inf")
        chunks = defaultdict(list, {name: [chunk] for name, chunk in self._constant.items()})
        for source, snapshot in zip(sources, snapshots, strict=True):
            fresh = snapshot.fresh(now, source.stale_after)
            if not fresh:
                continue
            until = min(until, min(part.confirmed for part in fresh) + snapshot.limit(source.stale_after))
            if source.collector.summarise is not None:
                summary = source.collector.summarise(source.account, fresh, snapshot, self._most_labels)
                for name, chunk in summary.items():
                    chunks[name].append(chunk)
            for part in fresh:
                for name, chunk in part.lines.text.items():
                    chunks[name].append(chunk)
        return Rendering(self._metrics, chunks, snapshots, until)


def _segments(
    metrics: Sequence[Metric], chunks: Mapping[str, list[bytes]], *, openmetrics: bool
) -> tuple[Segment, ...]:
    return tuple(
        Segment(_in_order(together, chunks, openmetrics=openmetrics), group)
        for group, together in groupby(metrics, key=lambda metric: metric.group)
    )


def _in_order(
    metrics: Iterable[Metric], chunks: Mapping[str, list[bytes]], *, openmetrics: bool
) -> Iterator[bytes]:
    for metric in metrics:
        if found := [chunk for chunk in chunks.get(metric.name, ()) if chunk]:
            yield lines.header(metric, openmetrics=openmetrics)
            yield from found


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


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes, joining adjacent small pieces up to `PIECE`."""
    waiting = b""
    for piece in pieces:
        if len(waiting) + len(piece) <= PIECE:
            waiting += piece
            continue
        if waiting:
            yield waiting
        waiting = piece
    yield waiting
