"""Rules, metric table, runbooks and dashboards speak of the same metrics, labels, values and alerts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import promql_parser as promql
import pytest
import yaml

from exporter.exposition.table import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    Labels = frozenset[str]

#: What Prometheus itself adds to every series that it scrapes.
TARGET = frozenset({"job", "instance"})
SET_OPERATORS = {"and", "or", "unless"}
#: Aggregations that keep whole series.
KEEPING = {"topk", "bottomk"}
#: The one alert that asks for labels which Prometheus has renamed.
DISPLACED = "VastaiLabelDisplaced"
#: Rules of a group at most: Mimir refuses more.
MOST_RULES = 20
#: Labels that an alert may be told from another by, in each area.
IDENTITY = {
    "instance": {"account", "instance_id"},
    "endpoint": {"account", "endpoint_id"},
    # A user label stands for what runs under it: it has a budget and a bill of its own.
    "account": {"account", "label"},
    "collector": {"account", "collector", "field"},
}
SECTIONS = ["What it means", "What it does", "How to see it", "What to do", "When to ignore it"]
METRIC = re.compile(r"\b(?:[a-z_]+:)?(?:vastai|process)_[a-z0-9_]+(?::\w+)?")


class Flow:
    """Follows labels through expressions: which a result can have, and whether those that are named exist."""

    def __init__(self, known: Mapping[str, Labels]) -> None:
        self.known = dict(known)

    def of(self, expression: str) -> Labels:
        """Return the labels that a result can have."""
        return self._node(promql.parse(expression))

    def _node(self, node: promql.Expr) -> Labels:
        if isinstance(node, promql.VectorSelector):
            return self._selector(node)
        if isinstance(node, promql.MatrixSelector):
            return self._selector(node.vector_selector)
        if isinstance(node, promql.Call):
            return self._call(node)
        if isinstance(node, promql.AggregateExpr):
            return self._aggregate(node)
        if isinstance(node, promql.BinaryExpr):
            return self._binary(node)
        inner = getattr(node, "expr", None)
        return frozenset() if inner is None else self._node(inner)

    def _selector(self, node: promql.VectorSelector) -> Labels:
        assert node.name in self.known, f"{node.name} is neither a metric nor recorded"
        labels = self.known[node.name]
        for matcher in node.matchers.matchers:
            assert matcher.name in labels, f"{node.name} has no label {matcher.name}"
        return labels

    def _call(self, node: promql.Call) -> Labels:
        of_arguments = [self._node(argument) for argument in node.args]
        if node.func.name == "label_replace":
            return of_arguments[0] | {node.args[1].val}
        if node.func.name == "absent":
            return frozenset(matcher.name for matcher in node.args[0].matchers.matchers)
        return frozenset[str]().union(*of_arguments)

    def _aggregate(self, node: promql.AggregateExpr) -> Labels:
        inner = self._node(node.expr)
        named = frozenset(node.modifier.labels) if node.modifier else frozenset[str]()
        assert named <= inner, f"{node.prettify()}: no label {named - inner}"
        if str(node.op) in KEEPING:
            return inner
        if str(node.op) == "count_values":
            assert isinstance(node.param, promql.StringLiteral)
            return named | {node.param.val}
        by = node.modifier is None or node.modifier.type == promql.AggModifierType.By
        return named if by else inner - named

    def _binary(self, node: promql.BinaryExpr) -> Labels:
        left, right = self._node(node.lhs), self._node(node.rhs)
        on = self._on(node, left, right)
        if str(node.op) in SET_OPERATORS:
            return left | right if str(node.op) == "or" else left
        if "NumberLiteral" in {type(node.lhs).__name__, type(node.rhs).__name__} or on is None:
            return left | right
        assert node.modifier is not None
        added = frozenset(node.modifier.group_labels or ())
        assert added <= right, f"{node.prettify()}: the right side has no label {added - right}"
        return left | added if "group_left" in str(node.modifier) else on

    @staticmethod
    def _on(node: promql.BinaryExpr, left: Labels, right: Labels) -> Labels | None:
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            return None
        on = frozenset(matching.labels)
        assert on <= left, f"{node.prettify()}: the left side has no label {on - left}"
        assert on <= right, f"{node.prettify()}: the right side has no label {on - right}"
        return on


def displaced(known: Mapping[str, Labels]) -> Flow:
    """Return what can be asked where targets have labels named like ours, which Prometheus renames."""
    return Flow(
        {
            name: labels if ":" in name else labels | {f"exported_{label}" for label in labels - TARGET}
            for name, labels in known.items()
        }
    )


def scraped() -> dict[str, Labels]:
    known = {metric.name: frozenset(metric.labels) | TARGET for metric in METRICS}
    for metric in METRICS:
        if metric.type == "histogram":
            known[f"{metric.name}_bucket"] = known[metric.name] | {"le"}
            known |= {f"{metric.name}_{part}": known[metric.name] for part in ("count", "sum")}
    return known | {"up": TARGET}


@pytest.fixture(scope="session")
def flow(rules: list[dict[str, Any]]) -> Flow:
    """All that can be asked: what is scraped, and what is recorded from it."""
    # What is recorded further below, or by the rule itself, is read over a time: its name tells its labels.
    records = {rule["record"] for rule in rules if "record" in rule}
    flow = Flow({record: in_the_name(record) for record in records} | scraped())
    found: dict[str, Labels] = {}
    for rule in rules:
        if "record" in rule:
            labels = flow.of(rule["expr"]) | set(rule.get("labels", {}))
            found[rule["record"]] = flow.known[rule["record"]] = labels | found.get(
                rule["record"], frozenset()
            )
    return flow


def in_the_name(record: str) -> Labels:
    """Return the labels that the name of a recorded series begins with."""
    level = re.findall(r"gpu_name|num_gpus|[a-z]+", record.partition(":")[0])
    labels = set(level)
    if "job" not in labels and "instance" in labels:
        labels = labels - {"instance"} | {"instance_id"}
    if "endpoint" in labels:
        labels = labels - {"endpoint"} | {"endpoint_id"}
    return frozenset(labels)


@pytest.fixture(scope="session")
def runbooks(root: Path) -> dict[str, str]:
    """Every runbook's text by the name of its alert."""
    files = sorted((root / "docs/runbooks").glob("*.md"))
    return {file.stem: file.read_text() for file in files if file.stem != "README"}


def names(alerts: list[dict[str, Any]]) -> list[str]:
    return sorted({alert["alert"] for alert in alerts})


def test_the_rules_are_those_that_the_generator_makes(root: Path, generator: ModuleType) -> None:
    for name, text in generator.generate().items():
        assert (root / "deploy/prometheus" / name).read_text() == text, f"{name}: generate it anew"


def test_every_threshold_has_a_reason_and_a_use(root: Path) -> None:
    folder = root / "deploy/prometheus"
    thresholds = yaml.safe_load((folder / "thresholds.yml").read_text())
    used = set(re.findall(r"@(\w+)@", "".join(file.read_text() for file in (folder / "source").iterdir())))
    assert set(thresholds) <= used
    assert all(set(entry) == {"value", "why"} and entry["why"] for entry in thresholds.values())


def test_a_value_of_ones_own_replaces_the_default_everywhere(generator: ModuleType) -> None:
    text = "".join(generator.generate({"idle_util_ratio": 0.123, "idle_for": "7h"}).values())
    assert text.count("0.123") == 3
    assert "for: 7h\n" in text


def test_a_value_that_nothing_is_called_by_is_refused(generator: ModuleType) -> None:
    with pytest.raises(KeyError, match="idel_for"):
        generator.generate({"idel_for": "7h"})


def test_every_metric_and_label_in_a_rule_exists(flow: Flow, alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        known = displaced(flow.known) if alert["alert"] == DISPLACED else flow
        assert known.of(alert["expr"]) or alert["alert"] == "VastaiConfigReloadFailed", alert["alert"]


def test_every_label_that_rules_go_by_is_noticed_when_it_is_displaced(rules: list[dict[str, Any]]) -> None:
    (alert,) = (rule for rule in rules if rule.get("alert") == DISPLACED)
    asked = set(re.findall(r'(\w+)\{exported_(\w+)!=""\}, "displaced", "(\w+)"', alert["expr"]))
    assert all(label == named for _, label, named in asked)
    texts = " ".join(rule["expr"] for rule in rules if rule is not alert)
    ours = {label for metric in METRICS for label in metric.labels if re.search(rf"\b{label}\b", texts)}
    assert ours <= {label for _, label, _ in asked}


def test_a_label_that_does_not_exist_is_noticed() -> None:
    flow = Flow(scraped())
    for wrong, why in {
        "sum by (acount) (vastai_gpus)": "acount",
        'vastai_gpus{gpu="x"}': "gpu",
        "vastai_gpus * on (status) group_left (label) vastai_instances": "label",
        "vastai_gpus and on (gpu_name) vastai_instances": "gpu_name",
        "vastai_gpu": "neither a metric nor recorded",
    }.items():
        with pytest.raises(AssertionError, match=why):
            flow.of(wrong)


def test_a_records_name_begins_with_its_labels(flow: Flow, rules: list[dict[str, Any]]) -> None:
    for record in {rule["record"] for rule in rules if "record" in rule}:
        _, metric, operation = record.split(":")
        assert metric.startswith("vastai_"), record
        assert operation, record
        labels = flow.known[record]
        wanted = in_the_name(record)
        assert wanted <= labels, record
        assert operation == "topk" or labels == wanted, record


def test_every_record_is_in_the_table_above_the_rules(root: Path, rules: list[dict[str, Any]]) -> None:
    text = (root / "deploy/prometheus/recording.rules.yml").read_text().partition("groups:")[0]
    rows = re.findall(r"^# \| ([a-z_]+:[^|]*) \|", text, flags=re.MULTILINE)
    listed = set()
    for row in rows:
        first, *others = row.split(", ")
        whole = (first.rpartition(":")[0] + other if other.startswith(":") else other for other in others)
        listed |= {first, *whole}
    assert listed == {rule["record"] for rule in rules if "record" in rule}


def test_annotations_ask_only_for_what_is_there(flow: Flow, alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        known = displaced(flow.known) if alert["alert"] == DISPLACED else flow
        labels = known.of(alert["expr"]) | set(alert["labels"]) | {"alertname"}
        text = " ".join(alert["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels, alert["alert"]
        for query in re.findall(r'(?:printf|query) "((?:[^"\\]|\\.)*(?:vastai_)(?:[^"\\]|\\.)*)"', text):
            flow.of(query.replace('\\"', '"').replace("%q", '"x"'))


def test_every_alert_says_who_what_and_how_much(alerts: list[dict[str, Any]]) -> None:
    wanted = {
        "instance": (
            "$labels.account",
            "$labels.instance_id",
            'label "label"',
            'label "gpu_name"',
            "an hour now",
        ),
        "endpoint": ("$labels.account", "$labels.endpoint_id", 'label "endpoint_name"', "an hour now"),
        "account": ("$labels.account", "an hour"),
        "collector": ("$labels.account", "spent"),
        "exporter": (),
    }
    for alert in alerts:
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
        text = alert["annotations"]["summary"] + alert["annotations"]["description"]
        for part in wanted[alert["labels"]["area"]]:
            assert part in text, (alert["alert"], part)
        assert alert["annotations"]["summary"].endswith("."), alert["alert"]


def test_every_alert_has_a_severity_an_area_and_a_time_to_hold(alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}, alert["alert"]
        assert alert["labels"]["area"] in {*IDENTITY, "exporter"}, alert["alert"]
        assert alert["for"], alert["alert"]
        bridged = alert["labels"]["area"] in {"instance", "endpoint", "account"}
        assert ("keep_firing_for" in alert) == bridged, alert["alert"]


def test_an_alert_is_told_from_another_by_nothing_that_may_change(
    flow: Flow, alerts: list[dict[str, Any]]
) -> None:
    for alert in alerts:
        area = alert["labels"]["area"]
        if area != "exporter":
            assert flow.of(alert["expr"]) <= IDENTITY[area], alert["alert"]


def test_no_rule_compares_with_the_least_raise_of_a_bid(root: Path) -> None:
    for file in sorted((root / "deploy").rglob("*.y*ml")):
        rules = re.sub(r"(?m)^ *#.*$", "", file.read_text())
        assert "min_bid" not in rules, file


def test_groups_are_small_and_alerts_are_one_group_away_from_what_is_scraped(
    groups: list[dict[str, Any]],
) -> None:
    rules = [(group["name"], rule) for group in groups for rule in group["rules"]]
    of_group = {rule["record"]: group for group, rule in rules if "record" in rule}
    depth = dict.fromkeys(of_group, 0)
    for _ in groups:
        for group, rule in rules:
            read = at_present(promql.parse(rule["expr"])) & set(of_group)
            away = max((depth[name] + (of_group[name] != group) for name in read), default=0)
            if "record" in rule:
                depth[rule["record"]] = max(depth[rule["record"]], away)
            else:
                assert away <= 1, rule["alert"]
    assert all(len(group["rules"]) <= MOST_RULES for group in groups)


def at_present(node: promql.Expr) -> set[str]:
    """Return the series that an expression reads as they are now; not those of which it reads the past."""
    if isinstance(node, promql.VectorSelector):
        return set() if node.offset else {str(node.name)}
    if isinstance(node, promql.MatrixSelector | promql.SubqueryExpr):
        return set()
    inner = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param")]
    inner += getattr(node, "args", None) or []
    return {name for each in inner if isinstance(each, promql.Expr) for name in at_present(each)}


def test_nothing_but_recorded_sums_is_read_over_more_than_a_day(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        for name, window in re.findall(r"([\w:]*)(?:\{[^}]*\})?\)*\[(\w+)(?::\w*)?\]", rule["expr"]):
            days = (
                sum(
                    int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
                    for number, unit in re.findall(r"(\d+)([smhd])", window)
                )
                / 86400
            )
            recorded = name in {
                # A sample an hour.
                "account:vastai_instance_spend_dollars:sum_1h",
                "account_label:vastai_instance_spend_dollars:sum_1h",
                "account:vastai_account_spend_dollars_total:max",
                "account_month:vastai_account_spend_dollars_total:max",
                "account_label_month:vastai_instance_spend_dollars:sum_1h",
                # Each lasts for a day.
                "account_day:vastai_instance_spend_dollars:count",
                "account_day:vastai_instance_spend_dollars:sum",
                "account_label_day:vastai_instance_spend_dollars:sum",
            }
            assert days <= 1 or recorded, rule


def test_nothing_that_ships_has_an_alias_that_prometheus_would_read_as_text(root: Path) -> None:
    files = [*(root / "deploy/prometheus").glob("*.yml"), *(root / "deploy/kubernetes").rglob("*.yaml")]
    files += [*(root / "deploy/alertmanager").glob("*.yml"), *(root / "deploy/scale").glob("*.y*ml")]
    assert files
    for file in files:
        kinds = {type(token) for token in yaml.scan(file.read_text())}
        assert not kinds & {yaml.AnchorToken, yaml.AliasToken}, file


def test_every_alert_has_a_runbook_and_every_runbook_an_alert(
    alerts: list[dict[str, Any]], runbooks: dict[str, str], root: Path
) -> None:
    assert sorted(runbooks) == names(alerts)
    for alert in alerts:
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    index = (root / "docs/runbooks/README.md").read_text()
    assert sorted(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \|", index, flags=re.MULTILINE)) == names(alerts)


def test_a_runbook_has_every_section_and_tells_the_severities(
    alerts: list[dict[str, Any]], runbooks: dict[str, str], root: Path
) -> None:
    index = (root / "docs/runbooks/README.md").read_text()
    order = ("info", "warning", "critical")
    for name, text in runbooks.items():
        assert text.startswith(f"# {name}\n")
        assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == SECTIONS, name
        found = {alert["labels"]["severity"] for alert in alerts if alert["alert"] == name}
        severities = ", ".join(sorted(found, key=order.index))
        assert f"Severity: {severities}. " in text, name
        assert f"[{name}]({name}.md) | {severities} |" in index, name


def test_a_runbook_names_the_values_of_its_alert(runbooks: dict[str, str], root: Path) -> None:
    folder = root / "deploy/prometheus"
    values = set(yaml.safe_load((folder / "thresholds.yml").read_text()))
    phrases = yaml.safe_load((folder / "source/phrases.yml").read_text())
    source = (folder / "source/alerts.yml").read_text()
    while (spelt := re.sub(r"@(\w+)@", lambda match: phrases.get(match[1], match[0]), source)) != source:
        source = spelt
    blocks = [block.partition("\n  - name: ")[0] for block in source.split("- alert: ")[1:]]
    for name, text in runbooks.items():
        line = next(line for line in text.splitlines() if line.startswith("Severity"))
        told = set(re.findall(r"`(\w+)`", line))
        own = [set(re.findall(r"@(\w+)@", block)) for block in blocks if block.split()[0] == name]
        needed = set().union(*own) & values - {"runbook_base", "grafana_base", "keep_firing", "job"}
        assert needed <= told <= values, (name, needed, told)


def test_runbooks_speak_of_what_exists(flow: Flow, runbooks: dict[str, str], root: Path) -> None:
    for name, text in runbooks.items():
        for block in re.findall(r"```promql\n(.*?)```", text, flags=re.DOTALL):
            for line in block.strip().splitlines():
                flow.of(re.sub(r"^sort(_desc)?", "", line))
        assert set(METRIC.findall(text)) <= set(flow.known), name
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (root / "docs/runbooks" / link).exists(), (name, link)


def test_links_lead_to_dashboards_and_fill_in_their_variables(
    alerts: list[dict[str, Any]], root: Path
) -> None:
    boards = [json.loads(file.read_text()) for file in sorted((root / "grafana").glob("*.json"))]
    variables = {board["uid"]: {entry["name"] for entry in board["templating"]["list"]} for board in boards}
    assert variables
    for alert in alerts:
        url = urlsplit(re.sub(r"\{\{.*?\}\}", "x", alert["annotations"]["dashboard_url"]))
        uid = url.path.removeprefix("/d/")
        filled = {name.removeprefix("var-") for name in parse_qs(url.query)}
        assert filled, alert["alert"]
        assert filled <= variables[uid], alert["alert"]


def test_dashboards_ask_only_for_recorded_series_that_exist(flow: Flow, root: Path) -> None:
    for file in sorted((root / "grafana").glob("*.json")):
        recorded = set(re.findall(r"\b[a-z_]+:vastai_[a-z0-9_]+:\w+", file.read_text()))
        assert recorded <= set(flow.known), file.name
