"""Panels of all dashboards: one function for each kind, so that the same things look the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from grafana_foundation_sdk.builders import common, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as query_builder
from grafana_foundation_sdk.builders import stat as stat_builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as query_model

from grafana.lib.palette import OFF_TILE, PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    #: The colour from each value on; the first step has the value None and covers everything below.
    Steps = Sequence[tuple[float | None, str]]
    Panel = stat_builder.Panel | timeseries.Panel | table.Panel | statetimeline.Panel

#: Maximum points of a line: the eye does not see more, but queries would take longer.
POINTS = 240
#: Maximum width of the bar of an event.
EVENT_PIXELS = 6
#: Below every value.
LEAST = -1e12
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
NOTHING_KNOWN = "No data. The dashboard Exporter says why."

# Units in Grafana's spelling.
DOLLARS = "currencyUSD"
DOLLARS_PER_HOUR = "suffix: $/hr"
RATIO = "percentunit"
SECONDS = "s"
DURATION = "dtdurations"
CELSIUS = "celsius"
BYTES = "bytes"
BYTES_PER_SECOND = "Bps"
COUNT = "none"
TEXT = "string"
DATE = "dateTimeAsIso"

_P = TypeVar("_P", stat_builder.Panel, timeseries.Panel, table.Panel, statetimeline.Panel)


@dataclass(frozen=True, slots=True)
class Query:
    """One query, and the legend of its series."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """The title and the unit of a number."""

    title: str
    unit: str = "none"


def common_parts(
    panel: _P, title: str, why: str, queries: Sequence[Query], unit: str, *, instant: bool
) -> _P:
    """Set the common parts of a panel: title, description, data source, unit and queries."""
    panel.title(title).description(why).datasource(SOURCE).unit(unit).no_value(NOTHING_KNOWN)
    panel.interval("1m")  # new data arrives once a minute
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = query_builder.Dataquery().datasource(SOURCE).ref_id(letter).expr(query.expression)
        target.editor_mode(query_model.QueryEditorMode.CODE)
        target.instant() if instant else target.range()
        if isinstance(panel, table.Panel):
            target.format(query_model.PromQueryFormat.TABLE)
        else:
            target.legend_format(query.legend or "__auto")
        panel.with_target(target)
    return panel


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    """Return colours by value."""
    found = [model.Threshold(value, color) for value, color in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def fixed(color: str) -> build.FieldColor:
    """Return one colour for everything."""
    return build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(color)


def by_threshold() -> build.FieldColor:
    """Return the colours of the thresholds."""
    return build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def by_turns() -> build.FieldColor:
    """Return a different colour for each series of a panel, without a meaning."""
    return build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC)


def words(mappings: Mapping[str, tuple[str, str]]) -> list[model.ValueMapping]:
    """Return value mappings: a text and a colour for each value."""
    return [
        model.ValueMap(
            {
                value: model.ValueMappingResult(text=shown, color=color, index=index)
                for index, (value, (shown, color)) in enumerate(mappings.items())
            }
        )
    ]


def stat(
    title: str,
    why: str,
    *queries: Query,
    unit: str,
    steps: Steps = ((None, PLAIN),),
    decimals: float | None = None,
    mappings: Mapping[str, tuple[str, str]] | None = None,
    no_value: str = "No data",
) -> stat_builder.Panel:
    """Return big numbers of this moment.

    They have no graph behind them: over a time range, Grafana shows the last value as if it were the present
    one, however long ago the data ended.
    """
    panel = common_parts(stat_builder.Panel(), title, why, queries, unit, instant=True).no_value(no_value)
    panel.color_mode(options.BigValueColorMode.VALUE).graph_mode(options.BigValueGraphMode.NONE)
    panel.text_mode(options.BigValueTextMode.VALUE)
    if len(queries) > 1:
        panel.text_mode(options.BigValueTextMode.VALUE_AND_NAME)
        panel.orientation(options.VizOrientation.HORIZONTAL)
        panel.text(common.VizTextDisplayOptions().title_size(14).value_size(28))
    (_, lowest), *others = steps
    known = [(None, PLAIN), (LEAST, lowest), *others]  # a missing value is neither good nor bad
    panel.reduce_options(_last()).color_scheme(by_threshold()).thresholds(thresholds(known))
    if decimals is not None:
        panel.decimals(decimals)
    return panel.mappings(words(mappings)) if mappings else panel


def filled(panel: stat_builder.Panel) -> stat_builder.Panel:
    """Colour the whole tile; without data it is grey."""
    panel.thresholds(thresholds([(None, OFF_TILE)]))
    panel.justify_mode(options.BigValueJustifyMode.CENTER)
    return panel.color_mode(options.BigValueColorMode.BACKGROUND_SOLID)


def lines(
    title: str,
    why: str,
    *queries: Query,
    unit: str,
    colors: Mapping[str, str] | None = None,
    decimals: float | None = None,
    least: float | None = 0,
    most: float | None = None,
    no_value: str = NOTHING_KNOWN,
) -> timeseries.Panel:
    """Return lines over time; `colors` has a colour for each series name."""
    panel = common_parts(timeseries.Panel(), title, why, queries, unit, instant=False).no_value(no_value)
    panel.legend(_legend().calcs(["lastNotNull"])).color_scheme(by_turns())
    panel.tooltip(
        common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)
    )
    panel.max_data_points(POINTS).line_width(2).fill_opacity(0).show_points(options.VisibilityMode.AUTO)
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    if decimals is not None:
        panel.decimals(decimals)
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [model.DynamicConfigValue("color", fixed(color).build())])
    return panel


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Stack the series."""
    panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    return panel.line_width(0).fill_opacity(100)


def as_bars(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw bars, for values that belong to a whole step."""
    return panel.draw_style(options.GraphDrawStyle.BARS).fill_opacity(100)


def as_events(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw thin bars, for events that happen now and then.

    Without a limit, Grafana draws bars as wide as the smallest gap between two of them, which may be hours.
    """
    return as_bars(panel).bar_max_width(EVENT_PIXELS)


def without_values(panel: timeseries.Panel) -> timeseries.Panel:
    """Leave the last values out of the legend, for many series in little space."""
    return panel.legend(_legend())


def with_values(panel: timeseries.Panel) -> timeseries.Panel:
    """Show mean, last and maximum value of each series in the legend."""
    legend = _legend().display_mode(options.LegendDisplayMode.TABLE).calcs(["mean", "lastNotNull", "max"])
    return panel.legend(legend)


def renamed(panel: timeseries.Panel, names: Mapping[str, str]) -> timeseries.Panel:
    """Show texts instead of the names of series."""
    for name, shown in names.items():
        panel.override_by_name(name, [model.DynamicConfigValue("displayName", shown)])
    return panel


def overlaid(panel: timeseries.Panel, name: str) -> timeseries.Panel:
    """Draw one series as bars among lines."""
    style = model.DynamicConfigValue("custom.drawStyle", options.GraphDrawStyle.BARS)
    return panel.override_by_name(name, [style, model.DynamicConfigValue("custom.fillOpacity", 100)])


def marked(panel: timeseries.Panel, name: str) -> timeseries.Panel:
    """Draw one series as points above bars."""
    style = model.DynamicConfigValue("custom.drawStyle", options.GraphDrawStyle.POINTS)
    return panel.override_by_name(name, [style, model.DynamicConfigValue("custom.pointSize", 10)])


def limited(
    panel: timeseries.Panel, *, steps: Steps | None = None, reach: float | None = None
) -> timeseries.Panel:
    """Draw dashed lines at `steps`; the axis reaches at least to `reach`."""
    if steps:
        dashed = common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(thresholds(steps)).thresholds_style(dashed)
    return panel if reach is None else panel.axis_soft_max(reach)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def facts(title: str, why: str, *queries: Query, names: Mapping[str, Fact]) -> stat_builder.Panel:
    """Return a row of small numbers with units; `names` has a fact for each series name."""
    panel = stat(title, why, *queries, unit=COUNT, no_value=NOTHING_KNOWN)
    panel.text_mode(options.BigValueTextMode.VALUE_AND_NAME).text(
        common.VizTextDisplayOptions().title_size(12).value_size(16)
    ).orientation(options.VizOrientation.AUTO)
    for name, fact in names.items():
        found = [("displayName", fact.title), ("unit", fact.unit)]
        panel.override_by_name(name, [model.DynamicConfigValue(key, value) for key, value in found])
    return panel


def timeline(
    title: str, why: str, *queries: Query, mappings: Mapping[str, tuple[str, str]]
) -> statetimeline.Panel:
    """Return states over time, with the texts and colours of `mappings`."""
    panel = common_parts(statetimeline.Panel(), title, why, queries, TEXT, instant=False)
    panel.mappings(words(mappings)).color_scheme(fixed(PLAIN)).fill_opacity(100).line_width(0)
    panel.show_value(options.VisibilityMode.NEVER).merge_values(True).row_height(0.9)
    panel.legend(_legend())
    return panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.SINGLE))
