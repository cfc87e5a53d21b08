"""Durations of each dashboard's queries in a real Prometheus, with a large fleet and a long time range."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import requests

from bench import past
from bench.figures import Figure
from bench.history import DAY, HOUR, MINUTE
from grafana import tsdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER = Path(tsdb.__file__).parent
RULES = FOLDER.parent / "deploy/prometheus/recording.rules.yml"
BOARDS = ("fleet", "cost", "instance", "serverless", "exporter")
#: The maximum length of a database block; blocks are written one at a time.
BLOCK = 6 * DAY
#: Pixels of a panel that fills a row, which is Grafana's maximum number of points.
WIDTH = 1600
COLUMNS = 24
#: Repetitions of each query; the shortest time counts.
TIMES = 2
#: The timeout of a query.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """A fleet, a time range, and the target in seconds for all queries of a dashboard."""

    instances: int
    span: float
    target: float


def cases(instances: int) -> list[Case]:
    """Return the fleets to measure; `instances` is the size of the largest."""
    return [Case(instances, DAY, 10.0), Case(min(2_000, instances), 30 * DAY, 5.0)]


@dataclass(frozen=True, slots=True)
class Query:
    """One query as Grafana sends it."""

    place: str
    expression: str
    instant: bool
    span: float
    step: float


def measure(instances: int) -> Iterator[Figure]:
    """Write a history for each case, and send it all queries of each dashboard."""
    for case in cases(instances):
        with tempfile.TemporaryDirectory(prefix="bench-dashboards-") as folder:
            yield from _of_case(case, Path(folder))


def _of_case(case: Case, folder: Path) -> Iterator[Figure]:
    now = time.time() // HOUR * HOUR
    _write(folder, case, now)
    with tsdb.served(folder, step=5 * MINUTE) as url:
        for name in BOARDS:
            yield from _of_board(url, name, case, now)


def _of_board(url: str, name: str, case: Case, now: float) -> Iterator[Figure]:
    board = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    used = _cpu(url)
    taken = {query.place: _ask(url, query, now) for query in _queries(board, case.span)}
    used = (_cpu(url) - used) / TIMES
    total, slowest = sum(taken.values()), max(taken, key=lambda place: taken[place])
    days = f"{case.span / DAY:.0f} days" if case.span > DAY else "24 h"
    what = f"{case.instances:,} instances, {days}: {name}"
    yield Figure(
        part="dashboards",
        what=f"{what}, {len(taken)} queries",
        ours=f"{total:.2f} s; {slowest} {taken[slowest]:.2f} s",
        beside=f"{case.target:.0f} s",
        ratio=total / case.target,
        target=1.0,
    )
    # This figure is reliable even if other work slows the machine down.
    yield Figure(
        part="dashboards",
        what=f"{what}, CPU of Prometheus",
        ours=f"{used:.2f} s",
        beside=f"{case.target:.0f} s",
        ratio=used / case.target,
    )


def _cpu(url: str) -> float:
    """Return the seconds of CPU that Prometheus has used."""
    found = re.search(
        r"(?m)^process_cpu_seconds_total (\S+)$", requests.get(f"{url}/metrics", timeout=PATIENCE).text
    )
    if found is None:
        raise RuntimeError("Prometheus does not tell of its CPU")
    return float(found[1])


def _write(folder: Path, case: Case, now: float) -> None:
    """Write the past block by block, then the present with the results of rules."""
    first = now - 30 * DAY
    while first < now - past.PRESENT:
        last = min(first + BLOCK, now)
        click.echo(
            f"writing {case.instances:,} instances, up to {(now - last) / DAY:.0f} days ago ...", err=True
        )
        _block(folder, past.past(case.instances, now, case.span, first, last))
        first = last
    _block(folder, past.present(case.instances, now))
    tsdb.evaluate(folder, RULES, now - past.PRESENT + 2 * MINUTE, now, 2 * MINUTE)


def _block(folder: Path, lines: Iterable[str]) -> None:
    source = folder / "block.txt"
    with source.open("w", encoding="utf-8") as file:
        file.writelines(lines)
        file.write("# EOF\n")
    command = ["tsdb", "create-blocks-from", "--max-block-duration=162h", "openmetrics"]
    program = tsdb.program("promtool")
    subprocess.run(
        [program, *command, str(source), str(folder / "data")], check=True, stdout=subprocess.DEVNULL
    )
    source.unlink()


def _queries(board: dict[str, Any], span: float) -> Iterator[Query]:
    """Yield every query of panels and variables, as sent by a dashboard with All selected."""
    for variable in board["templating"]["list"]:
        asked = variable["query"]["query"] if variable["type"] == "query" else ""
        if found := re.fullmatch(r"query_result\((.*)\)", asked):
            yield Query(
                place=f"variable {variable['name']}",
                expression=_filled(found[1], span, MINUTE),
                instant=True,
                span=span,
                step=MINUTE,
            )
    for panel in board["panels"]:
        length = 30 * DAY if panel.get("timeFrom") == "30d" else span
        points = panel.get("maxDataPoints") or WIDTH * panel["gridPos"]["w"] / COLUMNS
        least = {"1m": MINUTE, "1d": DAY}[panel.get("interval", "1m")]
        step = max(length / points, least)
        for target in panel.get("targets", []):
            yield Query(
                f"{panel['title']} {target['refId']}",
                _filled(target["expr"], length, step),
                bool(target.get("instant")),
                length,
                step,
            )


def _filled(expression: str, span: float, step: float) -> str:
    values = {
        "${account:regex}": "(?s:.*)",
        "${label:regex}": "(?s:.*)",
        "${gpu_name:regex}": "(?s:.*)",
        "$instance": "40000000",
        "$__rate_interval": f"{max(step, 4 * MINUTE):.0f}s",
        "$__range": f"{span:.0f}s",
        "$__interval_ms": f"{1000 * step:.0f}",
        "$__interval": f"{step:.0f}s",
    }
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def _ask(url: str, query: Query, now: float) -> float:
    """Return the time of a query, the shorter of two."""
    if query.instant:
        path, times = "query", {"time": now}
    else:
        path, times = "query_range", {"start": now - query.span, "end": now, "step": query.step}
    taken = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        reply = requests.post(
            f"{url}/api/v1/{path}", data={"query": query.expression, **times}, timeout=PATIENCE
        ).json()
        taken.append(time.perf_counter() - begin)
        if reply["status"] != "success":
            raise RuntimeError(f"{query.place}: {reply.get('error')}")
    return min(taken)
