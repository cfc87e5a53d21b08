"""ISA-L at the exporter's level compared with zlib's levels, for the body of a scrape."""

from __future__ import annotations

import time
import zlib
from functools import partial
from typing import TYPE_CHECKING

from isal import isal_zlib

from bench.figures import Figure, milliseconds
from bench.inside import served
from bench.processes import simulator
from exporter.exposition.body import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ZLIB_LEVELS = (1, 4, 6)
ROUNDS = 5


def measure(instances: int) -> Iterator[Figure]:
    """Compress the same bytes with each in turns."""
    with simulator(instances) as simulated:
        body = served(simulated).plain()
    ways: dict[str, Callable[[], bytes]] = {"isal": partial(isal_zlib.compress, body, LEVEL)}
    ways |= {f"zlib {level}": partial(zlib.compress, body, level) for level in ZLIB_LEVELS}
    sizes = {name: len(way()) for name, way in ways.items()}
    turns = [{name: _seconds(way) for name, way in ways.items()} for _ in range(ROUNDS)]
    times = {name: min(turn[name] for turn in turns) for name in ways}
    for level in ZLIB_LEVELS:
        name = f"zlib {level}"
        yield Figure(
            part="compression",
            what=f"{len(body) / 1e6:.1f} MB, isal {LEVEL}: time",
            ours=milliseconds(times["isal"]),
            beside=f"{name} {milliseconds(times[name])}",
            ratio=times["isal"] / times[name],
        )
        yield Figure(
            part="compression",
            what=f"{len(body) / 1e6:.1f} MB, isal {LEVEL}: size",
            ours=f"{sizes['isal'] / 1e6:.2f} MB",
            beside=f"{name} {sizes[name] / 1e6:.2f} MB",
            ratio=sizes["isal"] / sizes[name],
        )


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
