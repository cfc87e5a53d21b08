"""Part of docs/metrics.md: the groups of metrics, and what reads them."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from exporter.exposition.table import GROUPS, METRICS
from generator.markdown import code, codes, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_ABOUT = """\
## Groups

Every metric belongs to a group. `/metrics?group=status&group=money` returns only these two groups, in
every format. Without a parameter, `/metrics` returns all groups. An unknown name is rejected with 400. A
known group without data, for example because its collector is off, is an empty page.
[Scaling](scaling.md#scrape-a-part) has scrape jobs for parts of the page, and the size of each group.

`collectors.instances.groups` leaves out groups that you do not read. It names the groups to keep, out of
@instances@. An alert without its data does not fire, or fires although missing data would have suppressed
it. A panel without its data is empty. The status page, discovery, the log and the collector `market` do
not depend on groups.

The table counts a group as read if an alert or a dashboard uses one of its metrics, directly or in a
recording rule.
"""
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:]*")
#: Suffixes of a family's name in queries.
_SUFFIX = re.compile(r"_(?:bucket|count|sum)$")


def section(rules: Sequence[Path], dashboards: Sequence[Path], configurable: Sequence[str]) -> str:
    """Return the section; `configurable` are the groups that can be left out."""
    found = [rule for file in rules for rule in _rules(file)]
    recorded: dict[str, str] = {}
    for rule in found:
        if "record" in rule:
            recorded[rule["record"]] = f"{recorded.get(rule['record'], '')} {rule['expr']}"
    alerts = {rule["alert"]: _groups_in(rule["expr"], recorded) for rule in found if "alert" in rule}
    pages = [json.loads(file.read_text(encoding="utf-8")) for file in dashboards]
    titles = {
        page["title"].removeprefix("Vast.ai / "): _groups_in(" ".join(_texts(page)), recorded)
        for page in pages
    }
    sizes = Counter(metric.group for metric in METRICS)
    rows = [
        (code(group), str(sizes[group]), about, _named(group, alerts, quoted=True), _named(group, titles))
        for group, about in GROUPS.items()
    ]
    head = ("group", "metrics", "about", "alerts that read it", "dashboards that read it")
    return f"{_ABOUT.replace('@instances@', codes(configurable))}\n{table(head, rows)}"


def _named(group: str, readers: Mapping[str, frozenset[str]], *, quoted: bool = False) -> str:
    """Return who reads a group, or, if nearly all do, who does not."""
    does = [name for name, groups in readers.items() if group in groups]
    does_not = [name for name in readers if name not in does]
    words = codes if quoted else ", ".join
    if does and len(does_not) < len(does):
        return f"all but {words(does_not)}" if does_not else "all"
    return words(does)


def _groups_in(text: str, recorded: Mapping[str, str]) -> frozenset[str]:
    """Return the groups of the metrics in a text, including those behind recorded series."""
    of = {metric.name: metric.group for metric in METRICS}
    seen: set[str] = set()
    waiting = [text]
    while waiting:
        names = {_known(name, of) for name in _NAME.findall(waiting.pop())} - seen
        seen |= names
        waiting += [recorded[name] for name in names if name in recorded]
    return frozenset(of[name] for name in seen if name in of)


def _known(name: str, metrics: Mapping[str, str]) -> str:
    return name if name in metrics else _SUFFIX.sub("", name)


def _rules(file: Path) -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def _texts(node: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield the queries of a dashboard."""
    if isinstance(node, dict):
        yield from (
            value for key, value in node.items() if key in {"expr", "query"} and isinstance(value, str)
        )
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
