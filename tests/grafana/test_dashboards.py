"""What is true of every dashboard, without a Prometheus."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import promql_parser as promql
import yaml

from exporter.collectors import fleet
from exporter.exposition.table import METRICS
from grafana import build, history
from grafana.dashboards import problems
from grafana.lib.board import CONSOLE
from grafana.lib.palette import (
    ACCOUNT_REASONS,
    FILLS,
    OFF_TILE,
    PLAIN,
    REASONS,
    STATUS_WORDS,
    STATUSES,
    tile,
)
from tests.grafana.conftest import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.grafana.conftest import Dashboard, Json, Query

SCHEMA = json.loads((Path(__file__).parent / "schema/grafana.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load(history.RULES.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
#: What a dashboard's queries may be filtered by, and so have to be.
FILTERS = {
    "fleet": {"account", "label", "gpu_name"},
    "cost": {"account", "label", "gpu_name"},
    "instance": {"account", "instance"},
    "serverless": {"account"},
    "exporter": {"account"},
}
#: Pixels of the dashboard's grid on a screen of 1,100, and around a table within its panel.
SMALL_SCREEN, PADDING = 1068, 24
#: Settings of the Prometheus data source, which the schema leaves to it.
OF_DATA_SOURCE = {"expr", "step", "titleFormat", "textFormat", "tagKeys", "useValueForTime"}
#: What Prometheus and the client library know of a target, and of alerts.
OF_TARGET = frozenset({"job", "instance"})
OF_PROMETHEUS = {
    "up": OF_TARGET,
    "scrape_duration_seconds": OF_TARGET,
    "scrape_samples_scraped": OF_TARGET,
    "process_resident_memory_bytes": OF_TARGET,
    "process_cpu_seconds_total": OF_TARGET,
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "account", "instance_id"}),
}


def test_the_json_is_what_the_python_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_file_is_named_and_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"], tmp_path) == 1
    assert "grafana/fleet.json is stale" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_json_is_valid_for_grafana(dashboard: Dashboard) -> None:
    found = dict(dashboard.json)
    found["annotations"] = {
        "list": [
            {key: value for key, value in annotation.items() if key not in OF_DATA_SOURCE}
            for annotation in found["annotations"]["list"]
        ]
    }
    assert found.pop("__inputs") == []
    found.pop("__requires")
    jsonschema.validate(found, SCHEMA["dashboard"])
    for panel in dashboard.panels:
        jsonschema.validate(panel["options"], SCHEMA["options"][panel["type"]])
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        jsonschema.validate(custom, SCHEMA["fieldConfig"].get(panel["type"], {"maxProperties": 0}))


def test_grafana_is_provisioned_with_a_prometheus_and_the_folder() -> None:
    settings = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((build.FOLDER / "provisioning").glob("*/*.yml"))
    ]
    ((provider,), (source,)) = (settings[0]["providers"], settings[1]["datasources"])

    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards")


def test_a_uid_is_for_ever(dashboards: list[Dashboard]) -> None:
    uids = [dashboard.json["uid"] for dashboard in dashboards]

    assert uids == ["vastai-fleet", "vastai-instance", "vastai-cost", "vastai-serverless", "vastai-exporter"]


def test_ids_of_panels_are_unique(dashboard: Dashboard) -> None:
    ids = [panel["id"] for panel in dashboard.json["panels"]]

    assert len(set(ids)) == len(ids)
    assert all(ids)


def test_panels_lie_side_by_side(dashboard: Dashboard) -> None:
    places = [panel["gridPos"] for panel in dashboard.json["panels"]]

    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_no_column_is_cut_off_on_a_small_screen(dashboard: Dashboard) -> None:
    """At 1,100 pixels a table is as wide as its columns at least; what is left is shared evenly."""
    for panel in dashboard.panels:
        if panel["type"] == "table":
            settings = [
                each for override in panel["fieldConfig"]["overrides"] for each in override["properties"]
            ]
            fixed = sum(each["value"] for each in settings if each["id"] == "custom.width")
            shares = [each["value"] for each in settings if each["id"] == "custom.minWidth"]
            room = SMALL_SCREEN * panel["gridPos"]["w"] / 24 - PADDING
            # What needs more than an even share does not make the others smaller.
            share = (room - fixed) / max(1, len(shares))
            assert fixed + sum(max(share, each) for each in shares) <= room + 0.01, (
                panel["title"],
                share,
                shares,
            )


def test_every_panel_explains_itself(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert len(panel["description"]) > 10
        assert defaults["unit"]
        assert defaults["noValue"]


def test_a_number_that_is_missing_has_no_colour(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        if panel["type"] == "stat":
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0] in (
                {"value": None, "color": PLAIN},
                {"value": None, "color": OFF_TILE},
            )


def test_a_number_is_of_this_moment(dashboard: Dashboard) -> None:
    """Over a time range, the last value is shown as the present one after the data has ended."""
    for panel in dashboard.panels:
        if panel["type"] == "stat":
            assert all(target["instant"] for target in panel["targets"]), panel["title"]


def test_queries_are_lettered(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEFGH")[: len(letters)]


def test_the_data_source_is_the_one_that_was_chosen(dashboard: Dashboard) -> None:
    def sources(value: object) -> Iterator[object]:
        if isinstance(value, dict):
            if "datasource" in value:
                yield value["datasource"]
            for inner in value.values():
                yield from sources(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from sources(inner)

    assert dashboard.variables[0]["type"] == "datasource"
    assert dashboard.variables[0]["name"] == "datasource"
    for source in sources(dashboard.json):
        assert source == {"type": "prometheus", "uid": "${datasource}"}
    for panel in dashboard.panels:
        assert all("datasource" in part for part in (panel, *panel["targets"]))


def test_variables_start_with_everything_and_everything_has_line_breaks(dashboard: Dashboard) -> None:
    for variable in dashboard.variables[1:]:
        if variable["name"] == "instance":
            assert dashboard.name == "instance"
            assert not variable.get("includeAll")
        else:
            assert (variable["multi"], variable["includeAll"]) == (True, True)
            assert variable["allValue"] == EVERYTHING


def test_no_variable_offers_what_no_query_can_say(dashboard: Dashboard) -> None:
    for variable in dashboard.variables[1:]:
        if variable["name"] != "instance":
            offered = re.compile(variable["regex"].strip("/"))
            assert offered.match('say "hi" \\ (and) don\'t\nstop')
            assert not offered.match("a `backtick`")


def test_user_text_is_filled_in_between_backticks(dashboard: Dashboard) -> None:
    for query in (*dashboard.queries, *dashboard.other_queries):
        said = re.findall(r"(.)\$\{?(account|label|gpu_name)\b", query.expression)
        assert all(before == "`" for before, _ in said), str(query)
        assert len(said) == len(
            re.findall(r"=~`\$\{(?:account|label|gpu_name):regex\}\|?`", query.expression)
        )


def test_links_keep_the_time_and_pass_on_what_means_the_same_there(dashboard: Dashboard) -> None:
    link, *consoles = dashboard.json["links"]

    assert (link["type"], link["tags"]) == ("dashboards", dashboard.json["tags"])
    assert link["keepTime"]
    # A fleet would look well of which only one instance's account is shown.
    assert link["includeVars"] == (dashboard.name != "instance")
    assert [console["url"] for console in consoles] == list(CONSOLE.values())


def test_links_of_rows_lead_to_variables_that_exist(dashboards: list[Dashboard]) -> None:
    (instance,) = [dashboard for dashboard in dashboards if dashboard.name == "instance"]
    known = {variable["name"] for variable in instance.variables}
    links = [
        (panel, link["url"])
        for dashboard in dashboards
        for panel in dashboard.panels
        for override in panel["fieldConfig"]["overrides"]
        for setting in override["properties"]
        if setting["id"] == "links"
        for link in setting["value"]
    ]

    assert links
    for panel, url in links:
        if url in CONSOLE.values():
            continue
        if "docs/runbooks" in url:
            assert url == "docs/runbooks/Vastai${__value.text}.md"
            continue
        assert url.startswith(f"/d/{instance.json['uid']}?")
        assert set(re.findall(r"var-(\w+)=", url)) <= known
        titles = set(panel["transformations"][-1]["options"]["renameByName"].values())
        fields = re.findall(r'fields\["(\w+)"\]', url)
        assert set(fields) <= titles
        assert len(fields) == len(re.findall(r'fields\["\w+"\]:percentencode}', url))


def test_every_reason_has_a_limit_or_needs_none_and_a_runbook() -> None:
    runbooks = build.FOLDER.parent / "docs/runbooks"

    assert set(problems.RUNBOOKS) == set(REASONS) | set(ACCOUNT_REASONS)
    assert set(problems.LIMITS) <= set(problems.RUNBOOKS)
    for name in problems.RUNBOOKS.values():
        assert (runbooks / f"{name}.md").exists(), name


def test_a_status_has_one_colour_everywhere(dashboards: list[Dashboard]) -> None:
    assert set(STATUSES) == set(fleet.STATUSES)
    found = [pair for dashboard in dashboards for pair in _coloured(dashboard.json)]

    assert {name for name, _ in found} >= set(STATUSES)
    for name, color in found:
        if name in STATUSES:
            meant = STATUSES[name]
            of_cell = FILLS[STATUS_WORDS[name][1]]
            assert color in {meant, of_cell, tile(STATUS_WORDS[name][1])}, name


def _coloured(value: object) -> Iterator[tuple[str, str]]:
    """Yield the words that have a colour: by mappings of values, and by names of series."""
    if isinstance(value, list):
        for inner in value:
            yield from _coloured(inner)
    elif isinstance(value, dict):
        if "text" in value and "color" in value:
            yield value["text"], value["color"]
        if value.get("matcher", {}).get("id") == "byName":
            for setting in value["properties"]:
                if setting["id"] == "color" and "fixedColor" in setting["value"]:
                    yield value["matcher"]["options"], setting["value"]["fixedColor"]
        for inner in value.values():
            yield from _coloured(inner)


def test_reasons_are_those_of_the_rules_in_their_order() -> None:
    recorded = [rule["labels"]["reason"] for rule in RULES if "reason" in rule.get("labels", {})]

    assert list(REASONS) == list(dict.fromkeys(recorded))


def test_every_metric_exists_and_every_label_is_one_of_its_own(dashboard: Dashboard) -> None:
    for query in (*dashboard.queries, *dashboard.other_queries):
        nodes = list(_nodes(query.parse()))
        known: set[str] = {"le", *_made(nodes)}
        for selector in nodes:
            if isinstance(selector, promql.VectorSelector):
                labels = _labels(selector)
                assert {matcher.name for matcher in selector.matchers.matchers} <= labels, (
                    f"{query}: {selector}"
                )
                known |= labels
        assert set(_labels_named(nodes)) <= known, f"{query}: {query.expression}"


def test_legends_and_columns_show_labels_that_the_query_has(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        known: set[str] = {"__name__"}
        for target in panel["targets"]:
            nodes = list(_nodes(_query(dashboard, panel, target).parse()))
            known |= set(_made(nodes))
            for node in nodes:
                if isinstance(node, promql.VectorSelector):
                    known |= _labels(node)
            assert set(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))) <= known
        values = {"Value"} if len(panel["targets"]) == 1 else {f"Value #{letter}" for letter in "ABCDEFGH"}
        for transformation in panel.get("transformations", []):
            if transformation["id"] == "filterFieldsByName":
                assert set(transformation["options"]["include"]["names"]) <= known | values | {"Time"}


def test_every_query_honours_every_variable(dashboard: Dashboard) -> None:
    for query in dashboard.queries:
        known: set[str] = set()
        for node in _nodes(query.parse()):
            if isinstance(node, promql.VectorSelector):
                known |= _labels(node)
        wanted = FILTERS[dashboard.name] if "instance_id" in known else {"account"} & known
        asked = {name for name in wanted if re.search(rf"\$\{{?{name}\b", query.expression)}
        assert asked == wanted, str(query)


def _query(dashboard: Dashboard, panel: Json, target: Json) -> Query:
    place = f"{panel['title']} {target['refId']}"
    (found,) = [
        query for query in dashboard.queries if query.place == place and query.expression == target["expr"]
    ]
    return found


def _nodes(root: promql.Expr) -> Iterator[Any]:
    found: list[Any] = []
    promql.walk(root, found.append)
    return iter(found)


def _labels(selector: promql.VectorSelector) -> frozenset[str]:
    if selector.name is not None:
        return _labels_of(selector.name)
    (names,) = [matcher.value for matcher in selector.matchers.matchers if matcher.name == "__name__"]
    found = [metric for metric in METRICS if re.fullmatch(names, metric.name)]
    assert len(found) == names.count("|") + 1, names
    return frozenset({"__name__"}).union(*(metric.labels for metric in found))


def _labels_of(name: str) -> frozenset[str]:
    """Return the labels of a metric of the table, of a recorded series, or of Prometheus itself."""
    for metric in METRICS:
        if name == metric.name:
            return OF_TARGET.union(metric.labels)
        if metric.type == "histogram" and name == f"{metric.name}_bucket":
            return OF_TARGET.union(metric.labels, {"le"})
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    assert name in {rule["record"] for rule in RULES}, f"{name} is neither a metric nor recorded"
    level, metric_name, operation = name.split(":")
    if operation == "topk":
        return _labels_of(metric_name) - OF_TARGET
    words = level.replace("gpu_name", "gpu-name").split("_")
    spelt = {"instance": "instance_id", "endpoint": "endpoint_id", "gpu-name": "gpu_name"}
    return frozenset(spelt.get(word, word) for word in words)


def _made(nodes: list[Any]) -> Iterator[str]:
    """Yield the labels that functions write."""
    for node in nodes:
        if isinstance(node, promql.Call) and node.func.name in {"label_replace", "label_join"}:
            yield node.args[1].val
        elif isinstance(node, promql.AggregateExpr) and str(node.op) == "count_values":
            yield node.param.val  # type: ignore[union-attr]


def _labels_named(nodes: list[Any]) -> Iterator[str]:
    """Yield the labels after by, on, group_left and the like."""
    for node in nodes:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            yield from node.modifier.labels
        elif isinstance(node, promql.BinaryExpr) and node.modifier is not None:
            yield from node.modifier.group_labels or ()
            if node.modifier.matching is not None:
                yield from node.modifier.matching.labels
