"""`python -m bench.against TREE`: compares this code with other code, each measured by its own benchmark.

Results of single runs differ by more than the cost of a change. The measurements therefore take turns, and
the medians are compared.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

import click

from bench.figures import Figure, table

HERE = Path(__file__).parents[1]
PARTS = ("warm", "cold", "walk", "memory")
_NUMBER = re.compile(r"-?[0-9][0-9,.]*")

#: Values of a figure by tree, one for each turn.
Values = dict[Path, list[float]]


@click.command()
@click.argument("other", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--instances", default=10_000, show_default=True, type=click.IntRange(100))
@click.option("--turns", default=3, show_default=True, type=click.IntRange(1))
def main(other: Path, parts: tuple[str, ...], instances: int, turns: int) -> None:
    """Measure PARTS of this code and of the code in the folder OTHER in turns, and compare the medians."""
    found: defaultdict[tuple[str, int], Values] = defaultdict(lambda: {other: [], HERE: []})
    names: dict[tuple[str, int], dict[str, str]] = {}
    for turn in range(turns):
        for part in parts or PARTS:
            for tree in (other, HERE) if turn % 2 == 0 else (HERE, other):
                click.echo(f"turn {turn + 1}: {part} in {tree} ...", err=True)
                for number, figure in enumerate(_figures(tree, part, instances)):
                    found[part, number][tree].append(_value(figure["ours"]))
                    names[part, number] = figure
    click.echo(table([_compared(names[key], values[HERE], values[other]) for key, values in found.items()]))


def _figures(tree: Path, part: str, instances: int) -> list[dict[str, str]]:
    """Measure a part of the benchmark in a tree, with this Python."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        command = [sys.executable, "-m", "bench", part, "--instances", str(instances), "--json", str(file)]
        subprocess.run(command, cwd=tree, check=False, stdout=subprocess.DEVNULL)  # 1 means a missed target
        figures: list[dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
        return figures


def _value(text: str) -> float:
    """Return the number in a text; the same figure always has the same unit."""
    number = _NUMBER.match(text)
    if number is None:
        raise ValueError(f"no number: {text}")
    return float(number[0].replace(",", ""))


def _compared(figure: dict[str, str], ours: list[float], theirs: list[float]) -> Figure:
    return Figure(
        part=figure["part"],
        what=figure["what"],
        ours=f"{median(ours):g} ({min(ours):g} to {max(ours):g}) {figure['ours'].split()[-1]}",
        beside=f"{median(theirs):g} ({min(theirs):g} to {max(theirs):g})",
        ratio=median(ours) / median(theirs),
    )


if __name__ == "__main__":
    main(prog_name="python -m bench.against")
