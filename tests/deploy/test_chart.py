"""The Helm chart, rendered by a real helm, and read as Kubernetes, the operator and Prometheus will."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

import exporter
from exporter.commands.configuration import CONFIG

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable

    Objects = list[dict[str, Any]]
    Helm = Callable[..., subprocess.CompletedProcess[str]]
    Render = Callable[..., Objects]
    One = Callable[[Iterable[dict[str, Any]], str], dict[str, Any]]
    Run = Callable[..., subprocess.CompletedProcess[str]]

ACCOUNT = {"name": "research", "existingSecret": "vast-research"}
#: With a number that Helm could write as 3.1e+07.
FILTERS = {"gpu_name": {"in": ["RTX 4090"]}, "machine_id": {"notin": [31000000]}, "dph_total": {"lt": 0.5}}
#: Every feature in at least one of them.
COMBINATIONS: dict[str, dict[str, Any]] = {
    "demo": {"demo": True},
    "one account": {"accounts": [ACCOUNT]},
    "accounts and configuration": {
        "accounts": [
            ACCOUNT,
            {"name": "R & D", "existingSecret": "vast-research", "key": "second"},
            {**ACCOUNT, "name": "filtered", "select_filters": FILTERS},
            {**ACCOUNT, "name": "budgeted", "budget": 2000.5, "label_budgets": {"train": 500}},
        ],
        "config": {
            "api": {"url": "https://vast.example", "timeout": "10s", "min_interval": "2s"},
            "collectors": {
                "instances": {"interval": "2m", "stale_after": "10m"},
                "account": {"enabled": False},
            },
            "limits": {"labels": 50},
            "log": {"level": "debug", "format": "json"},
        },
        "commonLabels": {"team": "ml"},
        "commonAnnotations": {"owner": "ml"},
    },
    "shards": {"accounts": [ACCOUNT], "shards": 4, "podMonitor": {"enabled": True}},
    "operator": {
        "accounts": [ACCOUNT],
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "kube-prometheus-stack"},
            "interval": "15s",
            "relabelings": [{"targetLabel": "cluster", "replacement": "example"}],
            "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_info"}],
        },
        "prometheusRule": {"enabled": True, "ruleLabels": {"team": "ml"}, "labels": {"role": "rules"}},
        "dashboards": {"enabled": True},
    },
    "TLS and users": {
        "accounts": [ACCOUNT],
        "web": {"existingSecret": "vast-web", "tls": True},
        "podMonitor": {
            "enabled": True,
            "tlsConfig": {"ca": {"secret": {"name": "vast-web", "key": "ca.crt"}}, "serverName": "vast"},
            "basicAuth": {
                "username": {"name": "vast-scrape", "key": "user"},
                "password": {"name": "vast-scrape", "key": "password"},
            },
        },
    },
    "client certificates": {
        "accounts": [ACCOUNT],
        "web": {"existingSecret": "vast-web", "tls": True, "clientCertificates": True},
        "shards": 2,
    },
    "a certificate of cert-manager's": {
        "accounts": [ACCOUNT],
        "web": {"existingSecret": "vast-web", "tlsSecret": "vast-tls", "tls": True},
        "serviceMonitor": {
            "enabled": True,
            "tlsConfig": {"ca": {"secret": {"name": "vast-tls", "key": "ca.crt"}}, "serverName": "vast"},
        },
    },
    "network policy": {
        "accounts": [ACCOUNT],
        "networkPolicy": {
            "enabled": True,
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "apiPorts": [443, 3128],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
    },
    "open network policy": {"demo": True, "networkPolicy": {"enabled": True}},
    "all knobs": {
        "accounts": [ACCOUNT],
        "nameOverride": "gpu-exporter",
        "fullnameOverride": "gpus",
        "image": {
            "repository": "registry.example/exporter",
            "digest": f"sha256:{'a' * 64}",
            "pullPolicy": "Always",
        },
        "imagePullSecrets": [{"name": "registry"}],
        "service": {"type": "NodePort", "port": 80, "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "serviceAccount": {"create": False, "name": "theirs"},
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        "podLabels": {"tier": "monitoring"},
        "podAnnotations": {"note": "a"},
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "priorityClassName": "system-cluster-critical",
        "extraArgs": ["--log.level=debug"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "tmp", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in a pod
        "extraContainers": [{"name": "beside", "image": "beside"}],
        "extraInitContainers": [{"name": "before", "image": "before"}],
        "extraObjects": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "{{ .Release.Name }}-more"},
                "data": {},
            }
        ],
    },
}
#: The examples that chart-testing takes too.
COMBINATIONS |= {
    file.name: yaml.safe_load(file.read_text())
    for file in Path(__file__).parents[2].glob("deploy/helm/vastai-exporter/ci/*-values.yaml")
}
#: From the oldest that the chart allows to the newest that is known here.
KUBERNETES = [f"1.{minor}" for minor in range(28, 38)]
OTHERS = ("monitoring.coreos.com/", "grafana.integreatly.org/")
OPERATED = {"ServiceMonitor": operator.ServiceMonitor, "PodMonitor": operator.PodMonitor}

combinations = pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)


def pods_of(objects: Objects) -> Objects:
    """Return the pod templates of the exporter: one, unless each shard has a Deployment of its own."""
    return [item["spec"]["template"] for item in objects if item["kind"] in {"Deployment", "StatefulSet"}]


def pod_of(objects: Objects) -> dict[str, Any]:
    """Return the first pod template of the exporter."""
    return pods_of(objects)[0]


def container_of(objects: Objects) -> dict[str, Any]:
    """Return the exporter's container."""
    (found,) = (item for item in pod_of(objects)["spec"]["containers"] if item["name"] == "exporter")
    return dict(found)


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Return whether labels are what a selector asks for."""
    return selector.items() <= labels.items()


def unknown_keys(given: object, read: object, path: str = "") -> list[str]:
    """Return the paths of what was given and not read back."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [
            line
            for key, value in given.items()
            for line in (
                unknown_keys(value, read[key], f"{path}.{key}") if key in read else [f"{path}.{key}"]
            )
        ]
    if isinstance(given, list) and isinstance(read, list):
        return [
            line
            for index, (one, other) in enumerate(zip(given, read, strict=True))
            for line in unknown_keys(one, other, f"{path}[{index}]")
        ]
    return []


@combinations
def test_helm_finds_nothing_to_complain_about(helm: Helm, values: dict[str, Any]) -> None:
    linted = helm("lint", values, "--strict")
    assert linted.returncode == 0, linted.stdout + linted.stderr


@combinations
def test_every_kubernetes_from_the_oldest_allowed_on_accepts_every_object(
    objects: Render, values: dict[str, Any]
) -> None:
    for item in objects(values):
        if not item["apiVersion"].startswith(OTHERS):
            for version in KUBERNETES:
                kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("name", [name for name, values in COMBINATIONS.items() if "Monitor" in str(values)])
def test_the_operator_reads_every_key_of_a_monitor(objects: Render, name: str) -> None:
    monitors = [item for item in objects(COMBINATIONS[name]) if item["kind"] in OPERATED]
    assert monitors
    for item in monitors:
        read = OPERATED[item["kind"]].model_validate(item)
        assert unknown_keys(item, read.model_dump(by_alias=True, exclude_none=True)) == []


def test_an_unknown_key_of_a_monitor_is_found() -> None:
    item = {"spec": {"selector": {}, "endpoints": [{"port": "metrics", "intervall": "30s"}]}}
    read = operator.ServiceMonitor.model_validate(item)
    found = unknown_keys(item, read.model_dump(by_alias=True, exclude_none=True))
    assert found == [".spec.endpoints[0].intervall"]


def test_the_operator_reads_every_key_of_the_rules(objects: Render, one: One) -> None:
    item = one(objects(COMBINATIONS["operator"]), "PrometheusRule")
    read = operator.PrometheusRule.model_validate(item)
    assert unknown_keys(item, read.model_dump(by_alias=True, exclude_none=True)) == []


def test_prometheus_accepts_the_rendered_rules(
    objects: Render, one: One, run: Run, promtool: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(one(objects(COMBINATIONS["operator"]), "PrometheusRule")["spec"]))
    checked = run(promtool, "check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rules_are_those_of_the_rule_files(objects: Render, one: One, root: Path) -> None:
    rendered = one(objects({"demo": True, "prometheusRule": {"enabled": True}}), "PrometheusRule")
    files = sorted((root / "deploy/prometheus").glob("*.rules.yml"))
    assert [path.name for path in files] == ["alerts.rules.yml", "recording.rules.yml"]
    groups = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    for group in groups:
        for rule in group["rules"]:
            for link in ("runbook_url", "dashboard_url"):  # which lead nowhere without a base
                rule.get("annotations", {}).pop(link, None)
    assert rendered["spec"]["groups"] == groups


def test_rules_can_be_left_out_labelled_and_replaced(objects: Render, one: One) -> None:
    own = {
        "groups": [
            {
                "name": "a",
                "interval": "1m",
                "rules": [{"alert": "A", "expr": "1"}, {"record": "r", "expr": "1"}],
            },
            {
                "name": "b",
                "rules": [{"alert": "B", "expr": "1", "labels": {"severity": "info", "team": "x"}}],
            },
        ]
    }
    settings = {
        "enabled": True,
        "files": {"own": yaml.safe_dump(own)},
        "disable": ["A"],
        "ruleLabels": {"team": "ml"},
    }
    rule = one(objects({"demo": True, "prometheusRule": settings}), "PrometheusRule")
    assert rule["spec"]["groups"] == [
        {"name": "a", "interval": "1m", "rules": [{"record": "r", "expr": "1"}]},
        {"name": "b", "rules": [{"alert": "B", "expr": "1", "labels": {"severity": "info", "team": "ml"}}]},
    ]


def test_each_dashboard_is_a_config_map_for_the_sidecar(objects: Render, root: Path) -> None:
    maps = [
        item
        for item in objects({"demo": True, "dashboards": {"enabled": True}})
        if item["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]
    found = {name: json.loads(text) for item in maps for name, text in item["data"].items()}
    files = sorted((root / "grafana").glob("*.json"))
    assert files
    assert found == {path.name: json.loads(path.read_text()) for path in files}
    assert all(len(json.dumps(item)) < 1_000_000 for item in maps), "a config map holds a megabyte"


@combinations
def test_the_exporter_accepts_its_configuration(objects: Render, values: dict[str, Any]) -> None:
    maps = [item for item in objects(values) if "config.yaml" in item.get("data", {})]
    assert len(maps) == (0 if values.get("demo") else 1)
    for item in maps:
        config = CONFIG.model_validate(yaml.safe_load(item["data"]["config.yaml"]))
        assert [
            (account.name, account.select_filters, account.budget, account.label_budgets)
            for account in config.accounts
        ] == [
            (
                given["name"],
                given.get("select_filters", {}),
                given.get("budget"),
                given.get("label_budgets", {}),
            )
            for given in values["accounts"]
        ]


@combinations
def test_every_key_file_is_mounted_where_the_configuration_names_it(
    objects: Render, values: dict[str, Any]
) -> None:
    rendered = objects(values)
    for item in rendered:
        if "config.yaml" in item.get("data", {}):
            volumes = [each for pod in pods_of(rendered) for each in pod["spec"]["volumes"]]
            (mount,) = (each for each in container_of(rendered)["volumeMounts"] if each["name"] == "config")
            mounted = {
                f"{mount['mountPath']}/{file['path']}": (source["secret"]["name"], file["key"])
                for volume in volumes
                if volume["name"] == "config"
                for source in volume["projected"]["sources"]
                if "secret" in source
                for file in source["secret"]["items"]
            }
            config = yaml.safe_load(item["data"]["config.yaml"])
            assert {account["api_key_file"] for account in config["accounts"]} == set(mounted)
            asked = {(each["existingSecret"], each.get("key", "api-key")) for each in values["accounts"]}
            assert set(mounted.values()) == asked


def test_the_schema_knows_every_key_of_the_configuration(root: Path) -> None:
    schema = json.loads((root / "deploy/helm/vastai-exporter/values.schema.json").read_text())

    def known(node: dict[str, Any]) -> dict[str, Any]:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        return {name: known(child) for name, child in node.get("properties", {}).items()}

    def modelled(model: Any) -> dict[str, Any]:  # noqa: ANN401 - a pydantic model or the type of a value
        fields = getattr(model, "model_fields", {})
        return {name: modelled(field.annotation) for name, field in fields.items()}

    expected = modelled(CONFIG)
    del expected["accounts"]  # made of the value `accounts`
    del expected["web"]  # the chart's own
    assert known(schema["properties"]["config"]) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"shrads": 2},
        {"shards": 0},
        {"shards": "2"},
        {"image": {"tga": "1"}},
        {"accounts": [{**ACCOUNT, "api_key": "secret"}]},
        {"accounts": [{"existingSecret": "vast-research"}]},
        {"config": {"collectors": {"instances": {"intervall": "1m"}}}},
        {"config": {"collectors": {"instances": {"interval": "1 minute"}}}},
        {"config": {"accounts": []}},
        {"accounts": [ACCOUNT], "web": {"dashboardsUrl": "javascript:alert(1)"}},
        {"serviceMonitor": {"enabled": "yes"}},
        {"networkPolicy": {"apiPorts": ["https"]}},
        {"networkPolicy": {"apiPorts": []}},
        {"config": {"collectors": {"account": {"interval": "500ms"}}}},
        {"livenessProbe": {"httpGet": {"path": "/"}}},
        {"resources": {"request": {}}},
    ],
    ids=str,
)
def test_values_that_mean_nothing_are_refused(helm: Helm, values: dict[str, Any]) -> None:
    rendered = helm("template", {"demo": True, **values})
    assert rendered.returncode != 0
    assert "don't meet the specifications of the schema" in rendered.stderr


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "accounts: at least one account is needed"),
        ({"demo": True, "accounts": [ACCOUNT]}, "demo: a simulated Vast.ai takes no accounts"),
        ({"demo": True, "shards": 2}, "shards: a simulated Vast.ai has one account"),
        (
            {"demo": True, "serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
            "podMonitor: with serviceMonitor too",
        ),
        (
            {"accounts": [ACCOUNT], "shards": 2, "service": {"type": "NodePort"}},
            "service.type: with shards it has to be ClusterIP",
        ),
        ({"accounts": [{"name": "web"}]}, "accounts: web has no existingSecret, and keysSecret is not set"),
        (
            {"accounts": [{"name": "R & D"}], "keysSecret": "vast-keys"},
            "accounts: R & D: a secret cannot have a key of this name; set `key` to its name in keysSecret",
        ),
        ({"accounts": [ACCOUNT, ACCOUNT]}, 'accounts: two have the name "research"'),
        (
            {
                "demo": True,
                "web": {"existingSecret": "vast-web", "tls": True, "clientCertificates": True},
                "podMonitor": {"enabled": True, "tlsConfig": {"serverName": "vast"}},
            },
            "tlsConfig: with web.clientCertificates a monitor needs a certificate of its own",
        ),
        (
            {"demo": True, "prometheusRule": {"enabled": True, "files": {"mine": "groups: ["}}},
            "prometheusRule.files: no rules are in mine error converting YAML",
        ),
        (
            {"demo": True, "prometheusRule": {"enabled": True, "files": {"mine": "rules: []"}}},
            "prometheusRule.files: no rules are in mine",
        ),
        (
            {"demo": True, "web": {"tls": True}},
            "web: TLS needs a web.yml in web.existingSecret",
        ),
        ({"demo": True, "web": {"tlsSecret": "vast-tls"}}, "web: TLS needs a web.yml"),
        (
            {"demo": True, "web": {"existingSecret": "vast-web", "clientCertificates": True}},
            "web: with tlsSecret or clientCertificates, tls has to be true",
        ),
        (
            {
                "demo": True,
                "web": {"existingSecret": "vast-web", "tls": True},
                "serviceMonitor": {"enabled": True},
            },
            "tlsConfig: with web.tls a monitor needs it",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(helm: Helm, values: dict[str, Any], told: str) -> None:
    rendered = helm("template", values)
    assert rendered.returncode != 0
    assert told in rendered.stderr


@combinations
def test_pods_are_restricted_and_know_nothing_of_the_cluster(objects: Render, values: dict[str, Any]) -> None:
    rendered = objects(values)
    tests = [item for item in rendered if item["kind"] == "Pod"]
    assert len(tests) == 1
    pods = [each["spec"] for each in (*pods_of(rendered), *tests)]
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = (each for each in pod["containers"] if each["name"] in {"exporter", "scrape"})
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@combinations
def test_selectors_find_the_exporter_and_not_the_test_of_it(objects: Render, values: dict[str, Any]) -> None:
    rendered = objects(values)
    pods = [pod["metadata"]["labels"] for pod in pods_of(rendered)]
    (test_labels,) = (item["metadata"]["labels"] for item in rendered if item["kind"] == "Pod")
    selectors = []
    for item in rendered:
        spec = item.get("spec", {})
        match item["kind"]:
            case "Service":
                selectors.append(spec["selector"])
            case "Deployment" | "StatefulSet" | "PodMonitor":
                selectors.append(spec["selector"]["matchLabels"])
            case "NetworkPolicy":
                selectors.append(spec["podSelector"]["matchLabels"])
            case "ServiceMonitor":
                (service,) = (each for each in rendered if each["kind"] == "Service")
                assert selects(spec["selector"]["matchLabels"], service["metadata"]["labels"])
    assert len(selectors) > 1
    for selector in selectors:
        assert any(selects(selector, labels) for labels in pods)
        assert not selects(selector, test_labels)


@pytest.mark.parametrize("name", ["operator", "shards", "TLS and users", "a certificate of cert-manager's"])
def test_what_is_scraped_keeps_its_labels_over_restarts(objects: Render, name: str) -> None:
    values = COMBINATIONS[name]
    (monitor,) = (item for item in objects(values) if item["kind"] in OPERATED)
    (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    rules = {rule.get("targetLabel", rule.get("action")): rule for rule in endpoint["relabelings"]}
    assert rules["job"]["replacement"] == "vastai-exporter"
    if values.get("shards", 1) > 1:
        assert rules["instance"]["sourceLabels"] == ["__meta_kubernetes_pod_name"]
    else:
        assert rules["instance"]["replacement"] == "vast-vastai-exporter"
    assert rules["labeldrop"]["regex"] == "pod|container|endpoint"
    assert endpoint.get("scheme", "http") == ("https" if values.get("web", {}).get("tls") else "http")


@combinations
def test_helms_test_asks_the_service(objects: Render, one: One, values: dict[str, Any]) -> None:
    rendered = objects(values)
    service = one(rendered, "Service")
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    ((script,),) = (container["args"] for container in one(rendered, "Pod")["spec"]["containers"])
    assert f'("{name}", {port})' in script or f"://{name}:{port}/metrics" in script
    compile(script, "the test of the chart", "exec")


def test_one_shard_is_a_deployment_that_never_runs_twice(objects: Render, one: One) -> None:
    deployment = one(objects({"accounts": [ACCOUNT]}), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_shards_are_a_stateful_set_whose_pods_know_their_number(objects: Render, one: One) -> None:
    rendered = objects({"accounts": [ACCOUNT], "shards": 4, "service": {"port": 80}})
    spec = one(rendered, "StatefulSet")["spec"]
    assert spec["replicas"] == 4
    assert spec["podManagementPolicy"] == "Parallel"
    service = one(rendered, "Service")
    assert spec["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    before = one(objects({"accounts": [ACCOUNT]}), "Service")
    assert before["metadata"]["name"] != service["metadata"]["name"], "an address can't be taken away"
    (port,) = service["spec"]["ports"]
    assert port["port"] == container_of(rendered)["ports"][0]["containerPort"], "it is not translated"
    env = {each["name"]: each for each in container_of(rendered)["env"]}
    assert env["VASTAI_EXPORTER_TOTAL_SHARDS"]["value"] == "4"
    number = env["VASTAI_EXPORTER_SHARD"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert number == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_a_changed_configuration_starts_no_new_pod_because_it_is_read_again_by_itself(
    objects: Render,
) -> None:
    def pod(**values: object) -> dict[str, object]:
        return dict(pod_of(objects({"accounts": [ACCOUNT], **values})))

    assert pod() == pod(config={"limits": {"labels": 50}})
    assert pod() == pod(accounts=[{**ACCOUNT, "name": "other"}])
    assert pod() != pod(accounts=[{**ACCOUNT, "existingSecret": "other"}])


def test_the_address_of_the_dashboards_is_configured_and_a_change_of_it_starts_a_new_pod(
    objects: Render, one: One
) -> None:
    def rendered(url: str) -> list[dict[str, Any]]:
        return objects({"accounts": [ACCOUNT], "web": {"dashboardsUrl": url}})

    def web(url: str) -> object:
        return yaml.safe_load(one(rendered(url), "ConfigMap")["data"]["config.yaml"]).get("web")

    url = "https://grafana.example/dashboards"
    assert web(url) == {"dashboards_url": url}
    assert web("") is None

    def template(url: str) -> object:
        return one(rendered(url), "Deployment")["spec"]["template"]

    assert len({json.dumps(template(each)) for each in ("", url, f"{url}?tag=vastai")}) == 3


def test_an_account_whose_key_is_in_the_one_secret_starts_no_new_pod(objects: Render, one: One) -> None:
    def rendered(*accounts: dict[str, str]) -> list[dict[str, Any]]:
        return objects({"accounts": [*accounts], "keysSecret": "vast-keys"})

    before = rendered({"name": "research"}, {**ACCOUNT, "name": "own"})
    after = rendered({"name": "research"}, {**ACCOUNT, "name": "own"}, {"name": "R & D", "key": "second"})
    assert pod_of(before) == pod_of(after)
    config = yaml.safe_load(one(after, "ConfigMap")["data"]["config.yaml"])
    assert [account["api_key_file"] for account in config["accounts"]] == [
        "/etc/vastai-exporter-keys/research",
        "/etc/vastai-exporter/keys/vast-research/api-key",
        "/etc/vastai-exporter-keys/second",
    ]
    (volume,) = (each for each in pod_of(after)["spec"]["volumes"] if each["name"] == "keys")
    assert volume["secret"] == {"secretName": "vast-keys", "defaultMode": 0o440, "optional": True}
    (mount,) = (each for each in container_of(after)["volumeMounts"] if each["name"] == "keys")
    assert mount == {"name": "keys", "mountPath": "/etc/vastai-exporter-keys", "readOnly": True}


def test_a_secret_that_is_missing_keeps_no_pod_from_starting(objects: Render) -> None:
    (volume,) = (
        each
        for each in pod_of(objects({"accounts": [ACCOUNT]}))["spec"]["volumes"]
        if each["name"] == "config"
    )
    assert [each["secret"]["optional"] for each in volume["projected"]["sources"] if "secret" in each] == [
        True
    ]


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("one account", {"httpGet": {"path": "/-/ready", "port": "metrics"}}),
        ("TLS and users", {"httpGet": {"path": "/-/ready", "port": "metrics", "scheme": "HTTPS"}}),
        ("client certificates", {"tcpSocket": {"port": "metrics"}}),
    ],
)
def test_probes_speak_as_the_exporter_does(objects: Render, name: str, probe: dict[str, Any]) -> None:
    container = container_of(objects(COMBINATIONS[name]))
    assert probe.items() <= container["readinessProbe"].items()


@pytest.mark.parametrize(
    ("name", "secrets"),
    [("TLS and users", ["vast-web"]), ("a certificate of cert-manager's", ["vast-web", "vast-tls"])],
)
def test_web_yml_and_the_files_that_it_names_are_in_one_folder(
    objects: Render, name: str, secrets: list[str]
) -> None:
    rendered = objects(COMBINATIONS[name])
    container = container_of(rendered)
    (volume,) = (each for each in pod_of(rendered)["spec"]["volumes"] if each["name"] == "web")
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "web")
    assert [source["secret"]["name"] for source in volume["projected"]["sources"]] == secrets
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["VASTAI_EXPORTER_WEB_CONFIG_FILE"] == f"{mount['mountPath']}/web.yml"
    assert "subPath" not in mount, "a file mounted so is never renewed"


@pytest.mark.parametrize("name", ["network policy", "open network policy"])
def test_the_network_policy_lets_helms_test_in(objects: Render, one: One, name: str) -> None:
    rendered = objects(COMBINATIONS[name])
    tester = {"app.kubernetes.io/name": "vastai-exporter-test", "app.kubernetes.io/instance": "vast"}
    assert selects(tester, one(rendered, "Pod")["metadata"]["labels"])
    (peers,) = (rule["from"] for rule in one(rendered, "NetworkPolicy")["spec"]["ingress"])
    assert {"namespaceSelector": {}} in peers or {"podSelector": {"matchLabels": tester}} in peers


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("http://vast.example:8080", {443, 8080}),
        ("http://[::1]:81", {443, 81}),
        ("http://[::1]", {443, 80}),
        ("https://vast.example", {443}),
    ],
)
def test_the_network_policy_lets_the_exporter_out_to_the_api(
    objects: Render, one: One, url: str, ports: set[int]
) -> None:
    values = {"accounts": [ACCOUNT], "config": {"api": {"url": url}}, "networkPolicy": {"enabled": True}}
    _, api = one(objects(values), "NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for each in api["ports"]} == ports


def test_the_network_policy_lets_the_exporter_out_to_the_host_of_serverless_workers(
    objects: Render, one: One
) -> None:
    api = {"url": "https://vast.example:8443", "run_url": "https://run.vast.example:9443"}
    values = {"accounts": [ACCOUNT], "config": {"api": api}, "networkPolicy": {"enabled": True}}
    _, out = one(objects(values), "NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for each in out["ports"]} == {443, 8443, 9443}


def test_helms_test_runs_where_the_exporter_does(objects: Render, one: One) -> None:
    rendered = objects(COMBINATIONS["all knobs"])
    asked = {
        name: value
        for name, value in pod_of(rendered)["spec"].items()
        if name in {"nodeSelector", "tolerations", "affinity"}
    }
    assert len(asked) == 3
    assert asked.items() <= one(rendered, "Pod")["spec"].items()


def test_a_digest_wins_over_the_tag(objects: Render) -> None:
    digest = f"sha256:{'a' * 64}"
    container = container_of(objects({"demo": True, "image": {"tag": "1", "digest": digest}}))
    assert container["image"] == f"vastai-exporter@{digest}"


def test_names_of_any_length_stay_within_what_kubernetes_allows(objects: Render) -> None:
    rendered = objects({"demo": True, "dashboards": {"enabled": True}}, release="r" * 53)
    assert all(len(item["metadata"]["name"]) <= 63 for item in rendered if item["kind"] != "ConfigMap")


def test_the_chart_has_the_version_of_the_exporter(root: Path) -> None:
    chart = yaml.safe_load((root / "deploy/helm/vastai-exporter/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == exporter.__version__
