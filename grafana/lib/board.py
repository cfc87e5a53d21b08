"""A dashboard around its panels: variables, links, annotations, time range, grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.lib.panels import SOURCE
from grafana.lib.promql import ACCOUNT, INFO, ONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana.lib.panels import Panel

TAG = "vastai"
COLUMNS = 24
#: What a query may be filtered by. The exporter's own metrics know the account only.
VARIABLES = ("account", "label", "gpu_name", "instance")
_NAMES = {"account": "Account", "label": "Label", "gpu_name": "GPU model", "instance": "Instance"}
_OPTIONS = {
    "account": "label_values(vastai_collector_success, account)",
    "label": f"label_values({INFO}{{{ACCOUNT}}}, label)",
    "gpu_name": f"label_values({INFO}{{{ACCOUNT}}}, gpu_name)",
    "instance": f'label_values({INFO}{{{ACCOUNT},label=~"$label",gpu_name=~"$gpu_name"}}, instance_id)',
}
#: Those of an exporter as a whole have no account, and concern every one.
ALERTS = 'ALERTS{alertstate="firing",alertname=~"Vastai.+",account=~"$account|"}'
INSTANCE_ALERTS = f'ALERTS{{alertstate="firing",alertname=~"Vastai.+",{ONE}}}'


class Annotation(model.AnnotationQuery, Builder[model.AnnotationQuery]):
    """Events of Prometheus; the library's class does not know the settings of the data source."""

    def __init__(self, name: str, color: str, expression: str, **settings: object) -> None:
        super().__init__(name=name, datasource=SOURCE, icon_color=color, expr=expression, built_in=None)
        self._settings = settings

    def to_json(self) -> dict[str, object]:
        """Return what becomes JSON."""
        return super().to_json() | self._settings

    def build(self) -> model.AnnotationQuery:
        """Return itself: it is its own builder."""
        return self


class Board:
    """A dashboard that grows downwards, a row of panels at a time.

    Args:
        uid: of the dashboard, for ever.
        title: what it is called.
        about: one sentence.
        span: the time range, back from now.
        variables: which of VARIABLES there are.
        single: whether exactly one instance is chosen.

    """

    def __init__(
        self,
        uid: str,
        title: str,
        about: str,
        *,
        span: str = "6h",
        variables: Sequence[str] = VARIABLES,
        single: bool = False,
    ) -> None:
        self.uid = uid
        self._panels = 0
        self._dashboard = (
            build.Dashboard(title)
            .uid(uid)
            .description(about)
            .tags([TAG])
            .time(f"now-{span}", "now")
            .timezone("browser")
            .refresh("1m")
            .editable()
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .link(_links())
            .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        )
        for name in variables:
            self._dashboard.with_variable(_variable(name, single=single and name == "instance"))

    def section(self, title: str) -> Board:
        """Begin a part with a heading."""
        self._panels += 1
        self._dashboard.with_row(build.Row(title).id(self._panels))
        return self

    def row(self, height: int, *panels: tuple[int, Panel]) -> Board:
        """Add panels side by side, each with its width; together they fill the grid."""
        if sum(width for width, _ in panels) != COLUMNS:
            raise ValueError(f"{self.uid}: a row is not {COLUMNS} columns wide")
        for width, panel in panels:
            self._panels += 1
            self._dashboard.with_panel(panel.id(self._panels).span(width).height(height))
        return self

    def annotate(self, annotation: Annotation) -> Board:
        """Mark events on every panel with a time axis."""
        self._dashboard.annotation(annotation)
        return self

    def build(self) -> model.Dashboard:
        """Return the dashboard."""
        dashboard = self._dashboard.build()
        for variable in dashboard.templating.list_val or []:
            # The library writes what only variables of intervals have into all of them.
            variable.auto = variable.auto_count = variable.auto_min = None
        return dashboard


def alerts(expression: str = ALERTS) -> Annotation:
    """Return the marks of alerts that fire."""
    return Annotation(
        "Alerts",
        "red",
        expression,
        step="60s",
        titleFormat="{{alertname}}",
        textFormat="{{account}} {{instance_id}}",
        tagKeys="severity",
    )


def instance_link(account: str = "account", instance: str = "instance") -> tuple[str, str]:
    """Return a link from a table's row to its instance; the arguments are titles of columns."""
    chosen = f'var-account=${{__data.fields["{account}"]}}&var-instance=${{__data.fields["{instance}"]}}'
    return (
        "Show this instance",
        f"/d/vastai-instance?{chosen}&${{datasource:queryparam}}&${{__url_time_range}}",
    )


def _links() -> build.DashboardLink:
    return (
        build.DashboardLink("Vast.ai")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def _variable(name: str, *, single: bool) -> build.QueryVariable:
    variable = (
        build.QueryVariable(name)
        .label(_NAMES[name])
        .datasource(SOURCE)
        .query({"query": _OPTIONS[name], "refId": f"variable-{name}"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )
    if single:
        return variable
    everything: Any = "$__all"
    return (
        variable.multi(True)
        .include_all(True)
        .all_value(".*")  # short, and with those that have no label
        .current(model.VariableOption(selected=True, text="All", value=everything))
    )
