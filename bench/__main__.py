"""`python -m bench`: measure, print a table, and exit with 1 if a target is missed."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from bench import (
    abuse,
    accounts,
    cold,
    compression,
    dashboards,
    groups,
    memory,
    rules,
    scrape,
    soak,
    walk,
    warm,
)
from bench.figures import Figure, table

PARTS = {
    "warm": warm.measure,
    "cold": cold.measure,
    "memory": memory.measure,
    "walk": walk.measure,
    "compression": compression.measure,
    "groups": groups.measure,
    "abuse": abuse.measure,
    "accounts": accounts.measure,
}
#: Run only by name, because they measure Prometheus.
OF_PROMETHEUS = {"scrape": scrape.measure, "rules": rules.measure, "dashboards": dashboards.measure}
#: Run only by name too, because it looks for faults and not for speed.
SOAK = "soak"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice((*PARTS, *OF_PROMETHEUS, SOAK)))
@click.option(
    "--instances", default=10_000, show_default=True, type=click.IntRange(100), help="In the fleet."
)
@click.option("--minutes", default=2.0, show_default=True, help="Of the soak.")
@click.option(
    "--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures too."
)
def main(parts: tuple[str, ...], instances: int, minutes: float, file: Path | None) -> None:
    """Measure PARTS against something real. Default: all but scrape, rules, dashboards and soak."""
    figures: list[Figure] = []
    for name in parts or PARTS:
        click.echo(f"measuring {name} ...", err=True)
        if name == SOAK:
            figures += soak.measure(minutes)
        else:
            figures += (PARTS | OF_PROMETHEUS)[name](instances)
    click.echo(table(figures))
    if file is not None:
        found = [asdict(figure) | {"good": figure.good} for figure in figures]
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if all(figure.good for figure in figures) else 1)


if __name__ == "__main__":
    main(prog_name="python -m bench")
