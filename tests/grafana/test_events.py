"""What happened is counted once: the first time too, after a restart too, and by two exporters only once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grafana import history, tsdb
from grafana.lib.promql import events
from tests.grafana.conftest import STEP, Prometheus, Query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peers

CHANGES = "vastai_status_changes_total"
KNOWN = "vastai_collector_success"
MINUTES = 10


def samples(known: list[int | None], changes: list[int | None], exporters: int) -> Iterator[bytes]:
    """Yield in each minute up to the end of histories whether an exporter is there, and its counter."""
    shown = {
        f'{KNOWN}{{account="web",collector="instances"': known,
        f'{CHANGES}{{account="web",from="running",to="offline"': changes,
    }
    for name, values in shown.items():
        for exporter in range(exporters):
            for number, value in enumerate(values, start=1 - MINUTES):
                if value is not None:
                    labels = f'{name},job="vastai-exporter",instance="{exporter}"}}'
                    yield f"{labels} {value} {history.END + number * STEP:.0f}\n".encode()
    yield b"# EOF\n"


ALWAYS: list[int | None] = [1] * MINUTES


@pytest.mark.parametrize("exporters", [1, 2])
@pytest.mark.parametrize(
    ("known", "changes", "happened"),
    [
        (ALWAYS, [3] * MINUTES, 0),
        (ALWAYS, [3] * 4 + [4] + [6] * 5, 3),
        (ALWAYS, [None] * 5 + [2] * 5, 2),
        (ALWAYS, [7] * 5 + [1] * 5, 1),
        ([None] * 5 + [1] * 5, [None] * 5 + [7] * 5, 0),
    ],
    ids=["nothing", "some", "for the first time", "after a restart", "before anybody asked"],
)
def test_what_happened_is_counted_once(
    tmp_path: Path, known: list[int | None], changes: list[int | None], happened: int, exporters: int
) -> None:
    tsdb.write(tmp_path, samples(known, changes, exporters))
    with tsdb.served(tmp_path) as url:
        query = Query("fleet", "Status changes A", f"sum({events(CHANGES, 'from', 'to')})", instant=False)
        found = Prometheus(url).ask(query)

    assert sum(float(value) for series in found for _, value in series["values"]) == happened
