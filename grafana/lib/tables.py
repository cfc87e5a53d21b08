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

#: Pixels of a column that has no width of its own: Grafana's 150 are too many for a third of a small screen.
NARROWEST = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        field: the name of a label, or `Value #A` for the value of the first query.
        title: what stands above it.
        unit: of its values.
        decimals: digits behind the point.
        width: in pixels, of what is never wider; None shares what is left with the others.
        least: pixels of a column that shares.
        mappings: words and colours of the palette instead of values.
        steps: colours by value.
        link: where a click leads to: a title and an address.
        bar: draw a bar of the value in the cell.

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
    """Return a table: the results of all queries, those with the same labels in one row.

    Results are those of this moment, or of each step where it is `over_time`.

    `worst_first` is the field that it is sorted by, which needs no column of its own.
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
        known = [(None, PLAIN), (LEAST, lowest), *others]  # what is missing has no colour
        found["thresholds"] = thresholds([(value, FILLS[color]) for value, color in known]).build()
        found["color"] = by_threshold().build()
    if column.mappings or column.steps:
        found["custom.cellOptions"] = options.TableColoredBackgroundCellOptions(
            mode=options.TableCellBackgroundDisplayMode.BASIC
        )
    if column.bar:
        found["color"] = fixed(column.bar).build()
        found["min"] = 0
        found["fieldMinMax"] = True  # not the largest value of other columns
        found["custom.cellOptions"] = options.TableBarGaugeCellOptions(
            mode=options.BarGaugeDisplayMode.BASIC, value_display_mode=options.BarGaugeValueMode.TEXT
        )
    if column.link:
        title, url = column.link
        found["links"] = [{"title": title, "url": url, "targetBlank": "//" in url}]
    return [model.DynamicConfigValue(name, value) for name, value in found.items()]
