"""A dashboard around its panels: variables, links, annotations, time range, grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.lib.palette import CRITICAL, WARNING
from grafana.lib.panels import SOURCE
from grafana.lib.promql import BURN, HOURLY, INFO, labelled, of_accounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana.lib.panels import Panel

TAG = "vastai"
COLUMNS = 24
#: Vast.ai's console.
CONSOLE = {
    "Vast.ai instances": "https://cloud.vast.ai/instances/",
    "Vast.ai billing": "https://cloud.vast.ai/billing/",
}
#: Variables that filter queries. The exporter's own metrics have only the account.
VARIABLES = ("account", "label", "gpu_name")
_NAMES = {"account": "Account", "label": "Label", "gpu_name": "GPU model", "instance": "Instance"}
#: Matches everything, including line breaks and the empty label.
EVERYTHING = "(?s:.*)"
#: Queries cannot contain a backtick.
_SAYABLE = "/^[^`]*$/"
_LIVING = labelled(of_accounts(BURN), of_accounts(INFO))
_GONE = (
    f"-1 * group by (account, instance_id, label, gpu_name) (last_over_time({of_accounts(HOURLY)}[$__range]))"
    f" unless on (account, instance_id) {of_accounts(INFO)}"
)
#: All instances of the time range, each once: the most expensive first, destroyed ones last.
_INSTANCES = (
    "query_result(sort_desc(max by (choice, instance_id) (label_join("
    f"({_LIVING} or {_GONE}), "
    '"choice", " \u00b7 ", "instance_id", "label", "gpu_name"))))'
)
_OPTIONS = {
    "account": "label_values(vastai_collector_success, account)",
    "label": f"label_values({of_accounts(INFO)}, label)",
    "gpu_name": f"label_values({of_accounts(INFO)}, gpu_name)",
}
_INSTANCE_PATTERN = r'/choice="(?<text>[\s\S]*)",instance_id="(?<value>\d+)"/'


class Annotation(model.AnnotationQuery, Builder[model.AnnotationQuery]):
    """An annotation from Prometheus; the library's class lacks the data source's settings."""

    def __init__(
        self, name: str, color: str, expression: str, *, shown: bool = True, **settings: object
    ) -> None:
        super().__init__(
            name=name, datasource=SOURCE, enable=shown, icon_color=color, expr=expression, built_in=None
        )
        self._settings = settings

    def to_json(self) -> dict[str, object]:
        """Return the data for the JSON."""
        return super().to_json() | self._settings

    def build(self) -> model.AnnotationQuery:
        """Return itself, because it is its own builder."""
        return self


class Board:
    """A dashboard that grows downwards, one row of panels at a time.

    Args:
        uid: the dashboard's permanent id.
        title: its title.
        about: its description, one sentence.
        span: the default time range, back from now.
        variables: which of VARIABLES it has; with `instance`, exactly one instance is selected.
        refresh: the refresh interval.

    """

    def __init__(
        self,
        uid: str,
        title: str,
        about: str,
        *,
        span: str = "6h",
        variables: Sequence[str] = VARIABLES,
        refresh: str = "1m",
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
            .refresh(refresh)
            .editable()
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        )
        for link in _links(passing="instance" not in variables):
            self._dashboard.link(link)
        for name in variables:
            self._dashboard.with_variable(_instance() if name == "instance" else _variable(name))

    def section(self, title: str) -> Board:
        """Start a section with a heading."""
        self._panels += 1
        self._dashboard.with_row(build.Row(title).id(self._panels))
        return self

    def row(self, height: int, *panels: tuple[int, Panel]) -> Board:
        """Add panels side by side, each with its width; together they must fill the grid."""
        if sum(width for width, _ in panels) != COLUMNS:
            raise ValueError(f"{self.uid}: a row is not {COLUMNS} columns wide")
        for width, panel in panels:
            self._panels += 1
            self._dashboard.with_panel(panel.id(self._panels).span(width).height(height))
        return self

    def annotate(self, *annotations: Annotation) -> Board:
        """Add annotations to every panel with a time axis."""
        for annotation in annotations:
            self._dashboard.annotation(annotation)
        return self

    def build(self) -> model.Dashboard:
        """Return the dashboard."""
        dashboard = self._dashboard.build()
        for variable in dashboard.templating.list_val or []:
            # The library gives all variables fields that only interval variables have.
            variable.auto = variable.auto_count = variable.auto_min = None
        return dashboard


def alerts(matchers: str = "account=~`${account:regex}|`") -> list[Annotation]:
    """Return the annotations for firing alerts, one for each severity, off by default.

    Alerts about a whole exporter have no account and concern every account.
    """
    return [
        Annotation(
            f"Alerts: {severity}",
            color,
            f'ALERTS{{alertstate="firing",alertname=~"Vastai.+",severity="{severity}",{matchers}}}',
            shown=False,
            step="60s",
            titleFormat="{{alertname}}",
            textFormat="{{account}} {{instance_id}}",
            tagKeys="severity",
        )
        for severity, color in (("critical", CRITICAL), ("warning", WARNING))
    ]


def instance_link(account: str = "account", instance: str = "instance") -> tuple[str, str]:
    """Return a link from a table row to its instance; the arguments are titles of columns."""
    chosen = "&".join(
        f'var-{name}=${{__data.fields["{column}"]:percentencode}}'
        for name, column in (("account", account), ("instance", instance))
    )
    return (
        "Show this instance",
        f"/d/vastai-instance?{chosen}&${{datasource:queryparam}}&${{__url_time_range}}",
    )


def _links(*, passing: bool) -> list[build.DashboardLink]:
    """Return links to the other dashboards and to Vast.ai's console.

    Links do not pass on the selection of one instance: a fleet filtered to it could look healthy by mistake.
    """
    boards = build.DashboardLink("Vast.ai").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    consoles = [
        build.DashboardLink(title)
        .type(model.DashboardLinkType.LINK)
        .url(url)
        .icon("external link")
        .target_blank(True)
        for title, url in CONSOLE.items()
    ]
    return [boards.include_vars(passing).keep_time(True), *consoles]


def _variable(name: str) -> build.QueryVariable:
    everything: Any = "$__all"
    return (
        _query_variable(name, _OPTIONS[name])
        .regex(_SAYABLE)
        .sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .multi(True)
        .include_all(True)
        .all_value(EVERYTHING)
        .current(model.VariableOption(selected=True, text="All", value=everything))
    )


def _instance() -> build.QueryVariable:
    return _query_variable("instance", _INSTANCES).regex(_INSTANCE_PATTERN).sort(model.VariableSort.DISABLED)


def _query_variable(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(_NAMES[name])
        .datasource(SOURCE)
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
