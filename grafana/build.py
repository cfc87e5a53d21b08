"""Writes the dashboards' JSON, or with --check reports stale files.

Run as `python -m grafana [--check]`. `--check` writes nothing, names each stale file and exits with 1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.dashboards import cost, exporter, fleet, instance, serverless, work

if TYPE_CHECKING:
    from grafana.lib.board import Board

#: The oldest Grafana that the dashboards support.
GRAFANA = "11.0.0"
#: Grafana's names of the panel types in use.
PANELS = {
    "stat": "Stat",
    "state-timeline": "State timeline",
    "table": "Table",
    "timeseries": "Time series",
}
FOLDER = Path(__file__).resolve().parent
BOARDS = {
    "fleet.json": fleet.build,
    "instance.json": instance.build,
    "cost.json": cost.build,
    "serverless.json": serverless.build,
    "exporter.json": exporter.build,
}
#: Dashboards that need extra data, by their path in the repository.
ELSEWHERE = {"deploy/discovery/work.json": work.build}


def generated(folder: Path) -> dict[Path, str]:
    """Return the content that each generated file in `folder` should have."""
    boards = {folder / name: build for name, build in BOARDS.items()}
    boards |= {folder.parent / name: build for name, build in ELSEWHERE.items()}
    return {path: text(build()) for path, build in boards.items()}


def text(board: Board) -> str:
    """Return a dashboard's JSON with the parts that grafana.com requires: no inputs, and the requirements."""
    found = json.loads(json.dumps(board.build(), cls=JSONEncoder))
    kinds = {panel["type"] for panel in found["panels"]} - {"row"}
    requires = [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": GRAFANA},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": PANELS[kind], "version": ""} for kind in sorted(kinds)),
    ]
    whole = {"__inputs": [], "__requires": requires} | found
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write or check, and return the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = {path: text for path, text in generated(folder).items() if _content(path) != text}
    for path, text in stale.items():
        name = f"grafana/{path.name}" if path.parent == folder else path.relative_to(folder.parent)
        if arguments:
            print(f"{name} is stale: `python -m grafana` makes it anew", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if stale and arguments else 0


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
