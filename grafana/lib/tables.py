"""Tables as all dashboards draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model

from grafana.lib.palette import FILLS, PLAIN
from grafana.lib.panels import (
    LEAST,
    NOTHING_KNOWN,
    TEXT,
    Query,
    by_threshold,
    common_parts,
    fixed,
    thresholds,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana.lib.panels import Steps

#: Minimum pixels of a column without its own width. Grafana's 150 do not fit a third of a small screen.
NARROWEST = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        field: the name of a label, or `Value #A` for the value of the first query.
        title: its heading.
        unit: the unit of its values.
        decimals: number of decimals.
        width: fixed width in pixels; None shares the remaining width with the others.
        least: minimum width in pixels of a column without a fixed width.
        mappings: texts and colours that replace values.
        steps: colours by value.
        link: title and address of a link.
        bar: colour of a bar in the cell, or None.

    """

    field: str
    title: str
    unit: str = TEXT
    decimals: float | None = None
    width: int | None = None
    least: int = NARROWEST
    mappings: Mapping[str, tuple[str, str]] | None = None
    steps: Steps | None = None
    link: tuple[str, str] | None = None
    bar: str | None = None


def rows(
    title: str,
    why: str,
    *queries: Query,
    columns: Sequence[Column],
    worst_first: str | None = None,
    ascending: bool = False,
    most: int = 200,
    over_time: bool = False,
    no_value: str = NOTHING_KNOWN,
) -> table.Panel:
    """Return a table of all queries' results; results with the same labels share a row.

    The results are those of now, or, with `over_time`, of each step.

    `worst_first` is the sort field; it needs no column.
    """
    panel = common_parts(table.Panel(), title, why, queries, TEXT, instant=not over_time).no_value(no_value)
    panel.cell_height(options.TableCellHeight.SM).show_header(True)
    panel.color_scheme(fixed(PLAIN))
    shown = [column.field for column in columns]
    sort = [worst_first] if worst_first else []
    hidden = [field for field in sort if field not in shown]
    steps: list[tuple[str, object]] = [
        ("merge", {}),
        ("filterFieldsByName", {"include": {"names": shown + hidden}}),
        *[("sortBy", {"sort": [{"field": field, "desc": not ascending}]}) for field in sort],
        ("limit", {"limitField": most}),
        (
            "organize",
            {
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": {field: index for index, field in enumerate(shown)},
                "renameByName": {column.field: column.title for column in columns},
            },
        ),
    ]
    for name, settings in steps:
        panel.with_transformation(model.DataTransformerConfig(id_val=name, options=settings))
    for column in columns:
        panel.override_by_name(column.title, list(_looks(column)))
    return panel


def _looks(column: Column) -> Sequence[model.DynamicConfigValue]:
    found: dict[str, object] = {"unit": column.unit, "noValue": "\u2013"}
    if column.decimals is not None:
        found["decimals"] = column.decimals
    found["custom.minWidth" if column.width is None else "custom.width"] = column.width or column.least
    if column.unit != TEXT:
        found["custom.align"] = "right"
    if column.mappings:
        filled = {value: (text, FILLS[color]) for value, (text, color) in column.mappings.items()}
        found["mappings"] = words(filled)
    if column.steps:
        (_, lowest), *others = column.steps
        known = [(None, PLAIN), (LEAST, lowest), *others]  # a missing value has no colour
        found["thresholds"] = thresholds([(value, FILLS[color]) for value, color in known]).build()
        found["color"] = by_threshold().build()
    if column.mappings or column.steps:
        found["custom.cellOptions"] = options.TableColoredBackgroundCellOptions(
            mode=options.TableCellBackgroundDisplayMode.BASIC
        )
    if column.bar:
        found["color"] = fixed(column.bar).build()
        found["min"] = 0
        found["fieldMinMax"] = True  # scale the bar by this column only
        found["custom.cellOptions"] = options.TableBarGaugeCellOptions(
            mode=options.BarGaugeDisplayMode.BASIC, value_display_mode=options.BarGaugeValueMode.TEXT
        )
    if column.link:
        title, url = column.link
        found["links"] = [{"title": title, "url": url, "targetBlank": "//" in url}]
    return [model.DynamicConfigValue(name, value) for name, value in found.items()]
