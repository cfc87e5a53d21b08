"""Values of the chart that clusters, parent charts and operators count on, rendered by a real helm."""

from __future__ import annotations

import re
import runpy
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Objects = list[dict[str, Any]]
    Helm = Callable[..., subprocess.CompletedProcess[str]]
    Render = Callable[..., Objects]
    One = Callable[[Iterable[dict[str, Any]], str], dict[str, Any]]
    Run = Callable[..., subprocess.CompletedProcess[str]]

ACCOUNT = {"name": "research", "existingSecret": "vast-research"}
PLACED = {"demo": True, "namespaceOverride": "elsewhere"}
#: What grafanadashboards.grafana.integreatly.org/v1beta1 asks of a spec, as far as this chart uses it.
GRAFANA_DASHBOARD = {
    "type": "object",
    "required": ["instanceSelector"],
    "additionalProperties": False,
    "properties": {
        "configMapRef": {
            "type": "object",
            "required": ["key"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
        },
        "instanceSelector": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"matchLabels": {"additionalProperties": {"type": "string"}}},
        },
        "allowCrossNamespaceImport": {"type": "boolean"},
        "folder": {"type": "string"},
    },
}


def spec_of(objects: Objects) -> dict[str, Any]:
    """Return the exporter's pod."""
    (found,) = (item for item in objects if item["kind"] in {"Deployment", "StatefulSet"})
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


# Below another chart


@pytest.fixture
def parent(root: Path, tmp_path: Path) -> Path:
    """A chart that has ours as a dependency which can be switched off."""
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts/vastai-exporter").symlink_to(root / "deploy/helm/vastai-exporter")
    ours = {"name": "vastai-exporter", "version": "*", "condition": "vastai-exporter.enabled"}
    about = {"apiVersion": "v2", "name": "above", "version": "1.0.0", "dependencies": [ours]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(about))
    return tmp_path


def test_a_chart_above_can_switch_it_off_and_has_its_globals_heard(helm: Helm, parent: Path) -> None:
    above = {"global": {"imageRegistry": "registry.example", "storageClass": "fast"}}
    on = helm("template", {**above, "vastai-exporter": {"demo": True, "enabled": True}}, chart=parent)
    off = helm("template", {**above, "vastai-exporter": {"enabled": False}}, chart=parent)
    assert (on.returncode, off.returncode) == (0, 0), on.stderr + off.stderr
    assert "kind: Deployment" in on.stdout
    assert 'image: "registry.example/vastai-exporter:' in on.stdout
    assert off.stdout.strip() == ""


def test_switched_off_where_nothing_could_switch_it_off_is_an_error(helm: Helm) -> None:
    rendered = helm("template", {"demo": True, "enabled": False})
    assert rendered.returncode != 0
    assert "enabled: this key is for charts that have this one as a dependency" in rendered.stderr


def test_keys_of_the_users_own_may_stand_at_the_top_and_nowhere_else(helm: Helm) -> None:
    assert helm("template", {"demo": True, "x-ours": {"a": 1}}).returncode == 0
    refused = helm("template", {"demo": True, "service": {"x-ours": 1}})
    assert refused.returncode != 0
    assert "x-ours" in refused.stderr


# Where the image is, and what may pull it


@pytest.mark.parametrize(
    ("image", "everywhere", "name"),
    [
        ({}, None, "vastai-exporter:0.1.0"),
        ({"registry": "ghcr.io", "repository": "owner/exporter"}, None, "ghcr.io/owner/exporter:0.1.0"),
        ({"repository": "registry.example:5000/a/exporter"}, None, "registry.example:5000/a/exporter:0.1.0"),
        ({"registry": "ghcr.io", "repository": "localhost/exporter"}, None, "localhost/exporter:0.1.0"),
        (
            {"registry": "ghcr.io", "repository": "owner/exporter"},
            "mirror.example",
            "mirror.example/owner/exporter:0.1.0",
        ),
        (
            {"repository": "registry.example/exporter", "tag": "1"},
            "mirror.example",
            "mirror.example/exporter:1",
        ),
        (
            {"registry": "ghcr.io", "digest": f"sha256:{'a' * 64}"},
            None,
            f"ghcr.io/vastai-exporter@sha256:{'a' * 64}",
        ),
    ],
)
def test_the_image_is_in_the_registry_that_is_nearest(
    objects: Render, image: dict[str, str], everywhere: str | None, name: str
) -> None:
    above = {"global": {"imageRegistry": everywhere}} if everywhere else {}
    rendered = objects({"demo": True, "image": image, **above})
    (container,) = spec_of(rendered)["containers"]
    (tester,) = (item["spec"]["containers"] for item in rendered if item["kind"] == "Pod")
    assert container["image"] == tester[0]["image"] == name


def test_secrets_for_pulling_come_from_above_too_in_either_form(objects: Render) -> None:
    above = {"imagePullSecrets": ["one", {"name": "two"}]}
    rendered = objects({"demo": True, "global": above, "imagePullSecrets": [{"name": "one"}]})
    assert spec_of(rendered)["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


# Where objects are


def test_everything_is_in_the_namespace_that_is_chosen(objects: Render) -> None:
    on = {"enabled": True}
    values = {**PLACED, "serviceMonitor": on, "prometheusRule": on, "dashboards": on, "networkPolicy": on}
    rendered = objects({**values, "podDisruptionBudget": on})
    assert len({item["kind"] for item in rendered}) == 9
    assert {item["metadata"]["namespace"] for item in rendered} == {"elsewhere"}


def test_monitors_rules_and_dashboards_may_be_elsewhere_and_find_what_they_are_about(objects: Render) -> None:
    away = {"enabled": True, "namespace": "monitoring"}
    rendered = objects({**PLACED, "serviceMonitor": away, "prometheusRule": away, "dashboards": away})
    for item in rendered:
        moved = item["kind"] in {"ServiceMonitor", "PrometheusRule"} or "grafana_dashboard" in str(item)
        assert item["metadata"]["namespace"] == ("monitoring" if moved else "elsewhere")
    (monitor,) = (item for item in rendered if item["kind"] == "ServiceMonitor")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["elsewhere"]}


# What a cluster asks of pods and services


def test_a_budget_says_how_many_pods_may_be_away(objects: Render, one: One) -> None:
    def budget(**settings: object) -> dict[str, Any]:
        rendered = objects({"demo": True, "podDisruptionBudget": {"enabled": True, **settings}})
        spec: dict[str, Any] = one(rendered, "PodDisruptionBudget")["spec"]
        deployment = one(rendered, "Deployment")["spec"]
        assert spec.pop("selector") == deployment["selector"]
        return spec

    assert budget() == {"maxUnavailable": 1}
    assert budget(minAvailable=0) == {"minAvailable": 0}
    assert budget(maxUnavailable="50%", unhealthyPodEvictionPolicy="AlwaysAllow") == {
        "maxUnavailable": "50%",
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


def test_names_are_resolved_as_the_cluster_wants_it(objects: Render) -> None:
    given = {
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.96.0.53"]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["proxy.example"]}],
    }
    assert given.items() <= spec_of(objects({"demo": True, **given})).items()
    assert not given.keys() & spec_of(objects({"demo": True})).keys()


def test_address_and_port_of_the_service_can_be_chosen(objects: Render, one: One) -> None:
    chosen = {"type": "NodePort", "clusterIP": "10.96.0.10", "nodePort": 30622}
    spec = one(objects({"demo": True, "service": chosen}), "Service")["spec"]
    assert (spec["clusterIP"], spec["ports"][0]["nodePort"]) == ("10.96.0.10", 30622)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"service": {"nodePort": 30622}}, "service.nodePort: a service of the type ClusterIP has none"),
        ({"shards": 2, "service": {"clusterIP": "10.96.0.10"}}, "service.clusterIP: with shards"),
    ],
)
def test_a_service_that_could_not_be_is_refused(helm: Helm, values: dict[str, Any], told: str) -> None:
    rendered = helm("template", {"accounts": [ACCOUNT], **values})
    assert rendered.returncode != 0
    assert told in rendered.stderr


# What is scraped


def test_the_job_is_ours_unless_a_label_names_it(objects: Render, one: One) -> None:
    def renamed(**settings: str) -> bool:
        monitor = one(
            objects({"demo": True, "serviceMonitor": {"enabled": True, **settings}}), "ServiceMonitor"
        )
        (endpoint,) = monitor["spec"]["endpoints"]
        return any(rule.get("targetLabel") == "job" for rule in endpoint["relabelings"])

    assert renamed()
    assert not renamed(jobLabel="app.kubernetes.io/name")


def test_labels_to_copy_are_the_services_or_the_pods(objects: Render, one: One) -> None:
    settings = {"enabled": True, "targetLabels": ["team"], "sampleLimit": 1000000}
    service = one(objects({"demo": True, "serviceMonitor": settings}), "ServiceMonitor")["spec"]
    pod = one(objects({"demo": True, "podMonitor": settings}), "PodMonitor")["spec"]
    assert service["targetLabels"] == pod["podTargetLabels"] == ["team"]
    assert service["sampleLimit"] == pod["sampleLimit"] == 1000000


# Rules and dashboards


def alerts_of(rule: dict[str, Any]) -> Objects:
    return [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]


@pytest.mark.parametrize("slash", ["", "/"])
def test_links_of_alerts_lead_to_where_runbooks_and_grafana_are(
    objects: Render, one: One, root: Path, slash: str
) -> None:
    bases = {
        "runbookBase": f"https://wiki.example/runbooks{slash}",
        "grafanaBase": f"https://g.example{slash}",
    }
    alerts = alerts_of(
        one(objects({"demo": True, "prometheusRule": {"enabled": True, **bases}}), "PrometheusRule")
    )
    for alert in alerts:
        annotations = alert["annotations"]
        assert annotations["runbook_url"].startswith("https://wiki.example/runbooks/Vastai")
        assert (root / "docs/runbooks" / annotations["runbook_url"].rpartition("/")[2]).exists()
        assert annotations["dashboard_url"].startswith("https://g.example/d/vastai-")


def test_an_alert_has_no_link_that_leads_nowhere(objects: Render, one: One) -> None:
    alerts = alerts_of(one(objects({"demo": True, "prometheusRule": {"enabled": True}}), "PrometheusRule"))
    assert alerts
    assert {key for alert in alerts for key in alert["annotations"]} == {"summary", "description"}


def own_thresholds(root: Path) -> dict[str, Any]:
    """Return a value for every threshold that is not its own."""
    file = yaml.safe_load((root / "deploy/prometheus/thresholds.yml").read_text())
    values = {name: each["value"] for name, each in file.items() if not name.endswith("_base")}
    return {name: "7h" if isinstance(value, str) else round(value * 3, 6) for name, value in values.items()}


def test_every_threshold_does_in_the_chart_what_it_does_in_the_rule_files(
    objects: Render, one: One, root: Path
) -> None:
    bases = {"runbook_base": "https://wiki.example", "grafana_base": "https://grafana.example"}
    generate = runpy.run_path(str(root / "deploy/prometheus/generate.py"))["generate"]
    files = generate(own_thresholds(root) | bases)
    expected = [group for name in sorted(files) for group in yaml.safe_load(files[name])["groups"]]
    settings = {
        "enabled": True,
        "runbookBase": bases["runbook_base"],
        "grafanaBase": bases["grafana_base"],
        "thresholds": own_thresholds(root),
    }
    rendered = one(objects({"demo": True, "prometheusRule": settings}), "PrometheusRule")
    assert rendered["spec"]["groups"] == expected


@pytest.mark.parametrize(
    "thresholds", [{"idle_foo": "2h"}, {"idle_for": 7200}, {"runbook_base": "https://a.example"}]
)
def test_a_threshold_that_there_is_not_is_refused(helm: Helm, thresholds: dict[str, Any]) -> None:
    rendered = helm("template", {"demo": True, "prometheusRule": {"thresholds": thresholds}})
    assert rendered.returncode != 0
    assert "don't meet the specifications of the schema" in rendered.stderr


@pytest.mark.parametrize("sidecar", [True, False])
def test_grafanas_operator_is_told_of_each_dashboard(objects: Render, root: Path, *, sidecar: bool) -> None:
    settings = {"enabled": sidecar, "namespace": "grafana", "grafanaDashboard": {"enabled": True}}
    rendered = objects({"demo": True, "dashboards": settings})
    told = [item for item in rendered if item["kind"] == "GrafanaDashboard"]
    maps = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): item
        for item in rendered
        if item["kind"] == "ConfigMap"
    }
    assert len(told) == len(list((root / "grafana").glob("*.json")))
    for item in told:
        jsonschema.validate(item["spec"], GRAFANA_DASHBOARD)
        reference = item["spec"]["configMapRef"]
        found = maps[item["metadata"]["namespace"], reference["name"]]
        assert reference["key"] in found["data"]
        assert ("grafana_dashboard" in found["metadata"]["labels"]) is sidecar


# Accounts


def test_an_account_may_have_every_key_that_the_configuration_knows(objects: Render, root: Path) -> None:
    schema = (root / "deploy/helm/vastai-exporter/values.schema.json").read_text()
    account = yaml.safe_load(schema)["properties"]["accounts"]["items"]["properties"]
    assert "select_filters" in account
    assert not {"api_key", "api_key_file", "api_key_env"} & account.keys()
    given = {**ACCOUNT, "key": "second", "select_filters": {"num_gpus": {"gt": 1}}}
    (text,) = (
        item["data"]["config.yaml"] for item in objects({"accounts": [given]}) if item["kind"] == "ConfigMap"
    )
    (written,) = yaml.safe_load(text)["accounts"]
    assert written.pop("api_key_file") == "/etc/vastai-exporter/keys/vast-research/second"
    assert written == {"name": "research", "select_filters": {"num_gpus": {"gt": 1}}}


# What is written about it


def test_the_readme_has_a_row_for_every_value(root: Path) -> None:
    chart = root / "deploy/helm/vastai-exporter"
    rows = re.findall(r"(?m)^\| `([\w.]+)` \|", (chart / "README.md").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert list(dict.fromkeys(row.partition(".")[0] for row in rows)) == list(values)
    settings = [f"serviceMonitor.{name}" for name in values["serviceMonitor"]]
    assert [name for name in settings if name not in rows] == []
