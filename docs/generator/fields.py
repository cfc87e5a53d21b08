"""Part of docs/metrics.md: every field of the API, and where the vendor's documentation is wrong or silent.

docs/api_fields.yaml describes the fields of some collectors. For the others, the declaration lists the fields
that are read, and why the rest is not exported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from exporter.collectors import COLLECTORS
from generator.collectors import request
from generator.markdown import code, codes, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from exporter.collectors import Collector
    from exporter.metrics.rows import Metric

#: The API fields in a help text.
NAMED = re.compile(r"\s*\(API fields? ([^)]*)\)")

_ABOUT = """\
## Every field of the API

For instances, the exporter requests only the fields that a metric reads (`select_cols`), and never receives
the others. Other replies cannot be narrowed; the exporter drops unread fields at once.
"""
_ABOUT_DOUBTS = """\
## Where the vendor's documentation is wrong or silent

The exporter reads these fields as the second column shows. This is based on the vendor's own client and on
documented examples; the vendor has not confirmed it. Compare the values with your own instances before you
build alerts on them.
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the API, as docs/api_fields.yaml describes it; "" if it has no entry."""

    name: str
    collector: str
    what: str
    vendor: str
    used_as: str
    not_exported: str


def named(metric: Metric) -> list[str]:
    """Return the API fields in the help of a metric."""
    found = NAMED.search(metric.help)
    return found[1].split(", ") if found else []


def sections(api_fields: Path) -> Iterator[str]:
    """Yield the last sections of docs/metrics.md; `api_fields` is docs/api_fields.yaml."""
    told = _told(api_fields)
    everything = [field for _, fields in told for field in fields]
    yield _doubts(everything)
    yield _ABOUT
    for title, fields in told:
        rows = [(code(field.name), field.what, _destiny(field)) for field in fields]
        yield f"### {title}\n\n{table(('field', 'what it is', 'exported as, or why not'), rows)}"
    known = {field.collector for field in everything}
    yield from (_declared(collector) for collector in COLLECTORS if collector.name not in known)


def _told(path: Path) -> list[tuple[str, list[Field]]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        (
            section["title"],
            [
                Field(
                    name,
                    section["collector"],
                    *(says.get(key, "") for key in ("is", "vendor", "used_as", "not_exported")),
                )
                for name, says in section["fields"].items()
            ],
        )
        for section in loaded
    ]


def _doubts(fields: Sequence[Field]) -> str:
    rows = [(code(field.name), field.what, field.vendor) for field in fields if field.vendor]
    return f"{_ABOUT_DOUBTS}\n{table(('API field', 'read as', 'why'), rows)}"


def _destiny(field: Field) -> str:
    if field.not_exported:
        return f"not exported: {field.not_exported}"
    if field.used_as:
        return field.used_as
    return _read(field.name, next(each for each in COLLECTORS if each.name == field.collector))


def _declared(collector: Collector) -> str:
    """Return the section of a collector that docs/api_fields.yaml does not cover."""
    rows = [(code(name), _read(name, collector)) for name in collector.fields]
    rows += [(code(name), f"not exported: {why}") for name, why in collector.not_exported.items()]
    title = ", ".join(map(request, collector.endpoints))
    return f"### {title}\n\n{table(('field', 'exported as, or why not'), rows)}"


def _read(name: str, collector: Collector) -> str:
    """Return what a field that is read is used for."""
    exported = [metric.name for metric in collector.metrics if name in named(metric)]
    if exported:
        return codes(exported)
    reading = [row.name for row in collector.rows if name in {each.name for each in row.fields}]
    return f"condition of {codes(reading)}" if reading else "read, but not exported on its own"
