"""The rules of Grafana's dashboard-linter: each is held, or excluded in grafana/.lint with a reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import promql_parser as promql
import yaml

from grafana import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.grafana.conftest import Dashboard

EXCLUSIONS: dict[str, dict[str, Any]] = yaml.safe_load((build.FOLDER / ".lint").read_text(encoding="utf-8"))[
    "exclusions"
]
#: Units of Grafana's that are used here.
UNITS = {
    "currencyUSD",
    "percentunit",
    "s",
    "dtdurations",
    "celsius",
    "bytes",
    "decbytes",
    "Bps",
    "none",
    "string",
    "short",
}


def datasource(dashboard: Dashboard) -> Iterator[str]:
    first = dashboard.variables[0]
    if (first["name"], first["type"], first["query"]) != ("datasource", "datasource", "prometheus"):
        yield "no variable datasource"
    if first["label"] != "Data source":
        yield f"label {first['label']}"


def has_variable(name: str) -> Callable[[Dashboard], Iterator[str]]:
    def rule(dashboard: Dashboard) -> Iterator[str]:
        if name not in {variable["name"] for variable in dashboard.variables}:
            yield f"no variable {name}"

    return rule


def labels_are_promql(dashboard: Dashboard) -> Iterator[str]:
    for query in dashboard.other_queries:
        query.parse()  # it raises where it is none
        yield from ()


def reloads(dashboard: Dashboard) -> Iterator[str]:
    for variable in dashboard.variables[1:]:
        if variable["refresh"] != 2:
            yield f"variable {variable['name']} is not asked again"


def panel_sources(dashboard: Dashboard) -> Iterator[str]:
    for panel in dashboard.panels:
        if panel["datasource"]["uid"] != "${datasource}":
            yield panel["title"]


def titles(dashboard: Dashboard) -> Iterator[str]:
    for panel in dashboard.panels:
        if not panel["title"] or not panel["description"]:
            yield str(panel["id"])


def units(dashboard: Dashboard) -> Iterator[str]:
    for panel in dashboard.panels:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        if panel["type"] in {"stat", "table", "timeseries"} and unit not in UNITS:
            yield unit


def targets(dashboard: Dashboard) -> Iterator[str]:
    for panel in dashboard.panels:
        if not panel["targets"]:
            yield panel["title"]


def queries(dashboard: Dashboard) -> Iterator[str]:
    for query in dashboard.queries:
        query.parse()
        yield from ()


def rate_interval(dashboard: Dashboard) -> Iterator[str]:
    for query in dashboard.queries:
        for metric, window in re.findall(
            r"\brate\((\w+)\{[^}]*(?:\}[^}\[]*)*\}\[([^\]]+)\]", query.expression
        ):
            if window != "$__rate_interval":
                yield metric


def has_matcher(name: str) -> Callable[[Dashboard], Iterator[str]]:
    def rule(dashboard: Dashboard) -> Iterator[str]:
        for query in dashboard.queries:
            if f'{name}=~"${name}"' not in query.expression:
                yield str(query)

    return rule


def editable(dashboard: Dashboard) -> Iterator[str]:
    if dashboard.json["editable"]:
        yield "editable"


RULES: dict[str, Callable[[Dashboard], Iterator[str]]] = {
    "template-datasource-rule": datasource,
    "template-job-rule": has_variable("job"),
    "template-instance-rule": has_variable("instance"),
    "template-label-promql-rule": labels_are_promql,
    "template-on-time-change-reload-rule": reloads,
    "template-uneditable-rule": editable,
    "panel-datasource-rule": panel_sources,
    "panel-title-description-rule": titles,
    "panel-units-rule": units,
    "panel-no-targets-rule": targets,
    "target-promql-rule": queries,
    "target-rate-interval-rule": rate_interval,
    "target-job-rule": has_matcher("job"),
    "target-instance-rule": has_matcher("instance"),
}


def test_every_rule_is_held_or_excluded(dashboard: Dashboard) -> None:
    for name, rule in RULES.items():
        allowed = EXCLUSIONS.get(name)
        if allowed is None or "entries" in allowed:
            excluded = {value for entry in (allowed or {}).get("entries", []) for value in entry.values()}
            assert set(rule(dashboard)) <= excluded, name


def test_nothing_is_excluded_without_a_reason_or_a_need(dashboards: list[Dashboard]) -> None:
    assert set(EXCLUSIONS) <= set(RULES)
    for name, excluded in EXCLUSIONS.items():
        found = {each for dashboard in dashboards for each in RULES[name](dashboard)}
        assert excluded["reason"]
        assert found, f"{name} is held: it needs no exclusion"
        assert {value for entry in excluded.get("entries", []) for value in entry.values()} <= found, name


def test_rates_are_found_by_the_rule(dashboards: list[Dashboard]) -> None:
    """The pattern sees each rate that the parser sees."""
    for dashboard in dashboards:
        for query in dashboard.queries:
            calls = list(_calls(query.parse()))
            seen = len(re.findall(r"\brate\((\w+)\{[^}]*(?:\}[^}\[]*)*\}\[([^\]]+)\]", query.expression))
            assert seen == sum(call.func.name == "rate" for call in calls), str(query)


def _calls(root: promql.Expr) -> Iterator[promql.Call]:
    found: list[promql.Expr] = []
    promql.walk(root, found.append)
    return (node for node in found if isinstance(node, promql.Call))


def test_alerts_are_marked_only_where_somebody_wants_them(dashboard: Dashboard) -> None:
    alerts = [each for each in dashboard.json["annotations"]["list"] if each["name"].startswith("Alerts")]

    assert [each["name"] for each in alerts] == ["Alerts: critical", "Alerts: warning"]
    for each in alerts:
        assert not each["enable"]
        assert f'severity="{each["name"].removeprefix("Alerts: ")}"' in each["expr"]


def test_grafana_com_is_told_what_is_needed_and_asks_for_nothing(dashboard: Dashboard) -> None:
    required = {(each["type"], each["id"]) for each in dashboard.json["__requires"]}

    assert dashboard.json["__inputs"] == []
    assert {("grafana", "grafana"), ("datasource", "prometheus")} <= required
    assert {name for kind, name in required if kind == "panel"} == {
        panel["type"] for panel in dashboard.panels
    }


def test_a_variable_means_the_same_wherever_it_is(dashboards: list[Dashboard]) -> None:
    """What is chosen on one dashboard is passed on to the next by the variable's name."""
    asked: dict[str, set[str]] = {}
    for dashboard in dashboards:
        for variable in dashboard.variables:
            asked.setdefault(variable["name"], set()).add(str(variable["query"]))

    assert all(len(each) == 1 for each in asked.values())
    assert [each.name for each in dashboards if "instance" in {one["name"] for one in each.variables}] == [
        "instance"
    ]
