"""Writes the dashboards' JSON; with --check says what is stale instead.

Run as `python -m grafana [--check]`. `--check` writes nothing, names each stale file and exits with 1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.dashboards import cost, exporter, fleet, instance, serverless

FOLDER = Path(__file__).resolve().parent
BOARDS = {
    "fleet.json": fleet.build,
    "instance.json": instance.build,
    "cost.json": cost.build,
    "serverless.json": serverless.build,
    "exporter.json": exporter.build,
}


def generated(folder: Path) -> dict[Path, str]:
    """Return what each generated file in `folder` should hold."""
    return {
        folder / name: json.dumps(build().build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"
        for name, build in BOARDS.items()
    }


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write or check, and return the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = {path: text for path, text in generated(folder).items() if _content(path) != text}
    for path, text in stale.items():
        if arguments:
            print(f"grafana/{path.name} is stale: `python -m grafana` makes it anew", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote grafana/{path.name}")
    return 1 if stale and arguments else 0


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
