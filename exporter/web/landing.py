"""The landing page: the version, links, and the state of each account and collector."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib import metadata
from string import Template
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.config.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.exposition.overview import Overview
    from exporter.exposition.problems import Problem
    from exporter.polling.loop import Loop

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30">
<title>vastai-exporter</title>
<style>
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --wait: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; --wait: #d29922; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .3rem; }
p { margin: .4rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: .6rem 0; padding: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .8rem .4rem 0; }
th, td { text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (min-width: 55rem) { .number + :not(.number) { padding-left: 1rem; } }
td.name { overflow-wrap: anywhere; min-width: 6rem; }
th, td.time { white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .wait { color: var(--wait); }
.good, .bad, .wait { font-weight: 600; white-space: nowrap; }
@media (max-width: 55rem) { /* too narrow for a table: a block for each row */
  table, tbody, tr, td, td.number { display: block; text-align: left; }
  thead, td:empty { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
  td, td.name { border: 0; padding: .1rem 0 .1rem 8rem; }
  td::before { content: attr(data-name); float: left; margin-left: -8rem; opacity: .7; }
}
</style>
</head>
<body>
<h1>vastai-exporter</h1>
<p>Prometheus exporter for people who rent GPUs on Vast.ai. Version $version.</p>
<nav><ul>$links</ul></nav>
<main>
<h2>Accounts</h2>
$accounts
<p>Age is the age of the oldest reading in the row. Problems come from the latest readings. The Prometheus
rules also find those that need history: outbid or stopped, GPU hot, disk full, memory full, GPU idle.</p>
<h2>Collectors</h2>
$collectors
</main>
</body>
</html>
""")

#: Each column's heading and the class of its cells.
_Columns = tuple[tuple[str, str], ...]
_COLLECTORS: _Columns = (
    ("Account", "name"),
    ("Collector", ""),
    ("State", ""),
    ("Last success", "time"),
    ("Duration", "number"),
    ("Interval", "number"),
    ("Pages", "number"),
    ("Objects", "number"),
    ("Last error", "name"),
)
_ACCOUNTS: _Columns = (
    ("Account", "name"),
    ("Current cost", "number"),
    ("Credit", "number"),
    ("Credit lasts", "number"),
    ("Instances", ""),
    ("Problems", ""),
    ("Age", "number"),
)
#: Hours; a shorter credit runway is coloured.
_SHORT = 24.0
UNKNOWN = '<span class="wait">unknown</span>'


@cache
def documentation() -> str:
    """Return the URL of the documentation that the installed package names; "" if it names none.

    The release writes the URL into the metadata of the package (docs/decisions/0030).
    """
    try:
        urls = metadata.metadata("vastai-exporter").get_all("Project-URL") or ()
    except metadata.PackageNotFoundError:
        return ""
    named: dict[str, str] = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "")


def page(accounts: Sequence[Overview], loops: Sequence[Loop], *, links: Mapping[str, str], now: float) -> str:
    """Return the page as HTML.

    Args:
        accounts: what each does.
        loops: the collectors.
        links: URLs by name; those without one are left out.
        now: epoch seconds.

    """
    return _PAGE.substitute(
        version=escape(__version__),
        links=_links(links),
        accounts=_table(_ACCOUNTS, map(_account, accounts)),
        collectors=_table(_COLLECTORS, (_collector(loop, now) for loop in loops)),
    )


def _links(links: Mapping[str, str]) -> str:
    own = {"Health": "/-/healthy", "Readiness": "/-/ready", "Documentation": documentation()}
    named = {**links, **own}
    return "".join(f'<li><a href="{escape(url)}">{name}</a></li>' for name, url in named.items() if url)


def _table(columns: _Columns, rows: Iterable[Sequence[str]]) -> str:
    head = _tag("tr", "".join(_heading(name, kind) for name, kind in columns))
    lines = [
        _tag(
            "tr",
            "".join(_tag("td", cell, kind, name) for cell, (name, kind) in zip(row, columns, strict=True)),
        )
        for row in rows
    ]
    return "\n".join(["<table>", "<thead>", head, "</thead>", "<tbody>", *lines, "</tbody>", "</table>"])


def _account(overview: Overview) -> tuple[str, ...]:
    credit, fleet = overview.credit, overview.fleet
    return (
        escape(overview.account),
        f"${fleet.burn:,.2f}/h" if fleet is not None else UNKNOWN,
        f"${credit:,.2f}".replace("$-", "-$") if credit is not None else UNKNOWN,
        _runway(overview.runway),
        _counts(fleet.statuses) if fleet is not None else UNKNOWN,
        _problems(fleet.problems) if fleet is not None else UNKNOWN,
        _rough(overview.age) if overview.age is not None else "",
    )


def _runway(hours: float | None) -> str:
    if hours is None:
        return ""
    text = f"{hours / 24:,.0f} d" if hours >= 2 * _SHORT else f"{hours:.0f} h"
    return _bad(text) if hours < _SHORT else text


def _counts(counts: Mapping[str, int]) -> str:
    """Return each count with its status, the largest first; no line breaks between the two."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,}&nbsp;{escape(status)}" for status, count in ordered) or "none"


def _problems(found: Iterable[tuple[Problem, int]]) -> str:
    """Return each count with its problem, the worst first."""
    return (
        ", ".join(
            f'<span class="{"bad" if problem.urgent else "wait"}">{count:,} {problem.words}</span>'
            for problem, count in found
        )
        or "none"
    )


def _bad(content: str) -> str:
    return f'<span class="bad">{content}</span>' if content else ""


def _collector(loop: Loop, now: float) -> tuple[str, ...]:
    runs = loop.runs
    found = runs.last_success > 0
    return (
        escape(loop.job.account) or "all",
        escape(loop.job.collector.name),
        _state(loop),
        f"{_rough(now - runs.last_success)} ago" if found else "never",
        _rough(runs.duration) if found else "",
        format_duration(runs.interval),
        str(runs.pages) if found else "",
        str(runs.objects) if found else "",
        escape(runs.error or runs.absence),
    )


def _heading(name: str, kind: str) -> str:
    return _tag("th", name, kind).replace("<th", '<th scope="col"', 1)


def _tag(tag: str, content: str, kind: str = "", name: str = "") -> str:
    attributes = f' class="{kind}"' * bool(kind) + f' data-name="{name}"' * bool(name)
    return f"<{tag}{attributes}>{content}</{tag}>"


def _state(loop: Loop) -> str:
    if loop.trouble():
        return f'<span class="bad">{escape(loop.trouble())}</span>'
    if not loop.runs.ended:
        return '<span class="wait">waiting for first run</span>'
    if loop.runs.absence:
        return '<span class="wait">not available</span>'
    if loop.runs.success:
        return '<span class="good">ok</span>'
    return f'<span class="bad">failing ({loop.runs.failing} in a row)</span>'


def _rough(seconds: float) -> str:
    """Return a rounded duration: tenths of a second below 10 s, whole seconds above."""
    if seconds < 0.05:  # noqa: PLR2004 - what tenths would call 0
        return "&lt;0.1s"
    return f"{seconds:.1f}s" if seconds < 10 else format_duration(round(seconds))  # noqa: PLR2004
