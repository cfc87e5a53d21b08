"""The kustomize bases, for those without Helm: built by a real kubectl, read as the chart's objects are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

import exporter
from exporter.config import Config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Objects = list[dict[str, Any]]
    Run = Callable[..., subprocess.CompletedProcess[str]]
    One = Callable[[Iterable[dict[str, Any]], str], dict[str, Any]]
    Render = Callable[..., Objects]

FOLDER = "deploy/kubernetes"


@pytest.fixture(scope="module")
def kustomize(run: Run, helm_path: Path, root: Path) -> Callable[[str], Objects]:
    """Return the objects of a base."""

    def kustomize(base: str) -> Objects:
        built = run(helm_path.with_name("kubectl"), "kustomize", root / FOLDER / base)
        assert built.returncode == 0, built.stderr
        return list(yaml.safe_load_all(built.stdout))

    return kustomize


@pytest.mark.parametrize("version", ["1.28", "1.37"])
def test_kubernetes_old_and_new_accepts_every_object(
    kustomize: Callable[[str], Objects], version: str
) -> None:
    items = kustomize("base")
    assert {item["kind"] for item in items} == {"ServiceAccount", "ConfigMap", "Service", "Deployment"}
    for item in items:
        kubernetes_validate.validate(item, version, strict=True)


def test_the_configuration_is_the_exporters_and_mounted_with_its_key(
    kustomize: Callable[[str], Objects], one: One
) -> None:
    items = kustomize("base")
    settings = one(items, "ConfigMap")
    config = Config.model_validate(yaml.safe_load(settings["data"]["config.yaml"]))
    pod = one(items, "Deployment")["spec"]["template"]["spec"]
    ((container,), (volume,)) = pod["containers"], pod["volumes"]
    names, secret = (
        next(source[kind] for source in volume["projected"]["sources"] if kind in source)
        for kind in ("configMap", "secret")
    )
    folder = container["volumeMounts"][0]["mountPath"]
    assert names["name"] == settings["metadata"]["name"], "with the hash of its contents"
    assert [str(account.api_key_file) for account in config.accounts] == [
        f"{folder}/{secret['items'][0]['path']}"
    ]


def test_the_pod_is_that_of_the_chart(kustomize: Callable[[str], Objects], one: One, objects: Render) -> None:
    mine = one(kustomize("base"), "Deployment")["spec"]
    charts = one(objects({"accounts": [{"name": "a", "existingSecret": "b"}]}), "Deployment")["spec"]
    for spec in (mine, charts):
        pod = spec["template"]["spec"]
        del pod["volumes"], pod["serviceAccountName"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            shown = pod["containers"][0][probe]
            pod["containers"][0][probe] = {
                key: shown[key] for key in ("httpGet", "timeoutSeconds") if key in shown
            }
    assert mine["strategy"] == charts["strategy"]
    assert mine["template"]["spec"] == charts["template"]["spec"]


def test_the_image_has_the_version_of_the_exporter(kustomize: Callable[[str], Objects], one: One) -> None:
    (container,) = one(kustomize("base"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"vastai-exporter:{exporter.__version__}"


def test_the_monitor_finds_the_service(kustomize: Callable[[str], Objects], one: One) -> None:
    monitor = one(kustomize("monitoring"), "ServiceMonitor")
    operator.ServiceMonitor.model_validate(monitor)
    labels = one(kustomize("base"), "Service")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_rules_are_those_of_the_rule_files(run: Run, root: Path) -> None:
    done = run(root / FOLDER / "generate", "--check")
    assert done.returncode == 0, done.stderr
