"""Writes the documentation that is generated from the code, or with --check reports stale files.

Run as `python docs/generate.py [--check]`. `--check` writes nothing, names each stale file and exits with 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from generator import chart, chart_readme, cli, collectors, configuration, markdown, metrics, web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/vastai-exporter"
VALUES_SCHEMA = CHART / "values.schema.json"
THRESHOLDS = ROOT / "deploy/prometheus/thresholds.yml"
RULES = sorted((ROOT / "deploy/prometheus").glob("*.rules.yml"))
DASHBOARDS = sorted((ROOT / "grafana").glob("*.json"))
#: Generated blocks of pages that are written by hand.
BLOCKS = {
    ROOT / "docs/permissions.md": {"permissions": collectors.permissions},
    ROOT / "SECURITY.md": {"requests": collectors.requests},
    ROOT / "docs/api.md": {
        "endpoints": collectors.endpoints,
        "costs": collectors.costs,
        "assumptions": collectors.assumptions,
    },
}


def generated() -> dict[Path, str]:
    """Return the content that each generated file should have."""
    return {
        ROOT / "docs/metrics.md": metrics.page(ROOT / "docs/api_fields.yaml", RULES, DASHBOARDS),
        ROOT / "docs/configuration.md": configuration.page(),
        ROOT / "docs/web-configuration.md": web.page(),
        ROOT / "docs/cli.md": cli.page(),
        ROOT / "config.example.yaml": configuration.example(),
        VALUES_SCHEMA: chart.values_schema(VALUES_SCHEMA.read_text(encoding="utf-8"), THRESHOLDS),
        CHART / "files/groups.yml": chart.groups(),
        CHART / "README.md": chart_readme.page((CHART / "values.yaml").read_text(encoding="utf-8")),
        **{
            CHART / "files/rules" / name: text
            for name, text in chart.rules(ROOT / "deploy/prometheus/generate.py", THRESHOLDS).items()
        },
        **{page: _with_blocks(page, blocks) for page, blocks in BLOCKS.items()},
    }


def main(arguments: list[str]) -> int:
    """Write or check, and return the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = {path: text for path, text in generated().items() if _content(path) != text}
    for path, text in stale.items():
        name = path.relative_to(ROOT)
        if arguments:
            print(f"{name} is stale: run `{markdown.COMMAND}`", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if stale and arguments else 0


def _with_blocks(page: Path, blocks: Mapping[str, Callable[[], str]]) -> str:
    text = page.read_text(encoding="utf-8")
    for name, content in blocks.items():
        text = markdown.replace_block(text, name, content())
    return text


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
