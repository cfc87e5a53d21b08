"""The kustomize bases, for those without Helm: built by a real kubectl, read as the chart's objects are."""

from __future__ import annotations

import re
import shutil
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
    from pathlib import Path

    Objects = list[dict[str, Any]]
    Run = Callable[..., subprocess.CompletedProcess[str]]
    One = Callable[[Iterable[dict[str, Any]], str], dict[str, Any]]
    Render = Callable[..., Objects]

FOLDER = "deploy/kubernetes"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
#: A folder of a user's own, beside the bases.
WITH_WEB = "resources: [../base]\ncomponents: [../web]\n"


@pytest.fixture(scope="module")
def kustomize(
    run: Run, helm_path: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Objects]:
    """Return the objects of a base, or of `with-web`."""
    bases = tmp_path_factory.mktemp("bases") / "kubernetes"
    shutil.copytree(root / FOLDER, bases)
    (bases / "with-web").mkdir()
    (bases / "with-web/kustomization.yaml").write_text(WITH_WEB)

    def kustomize(base: str) -> Objects:
        built = run(helm_path.with_name("kubectl"), "kustomize", bases / base)
        assert built.returncode == 0, built.stderr
        return list(yaml.safe_load_all(built.stdout))

    return kustomize


def by_name(named: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return containers, volumes or the like by their name: their order means nothing."""
    return {each["name"]: each for each in named}


@pytest.mark.parametrize("version", ["1.28", "1.37"])
@pytest.mark.parametrize("base", ["base", "with-web"])
def test_kubernetes_old_and_new_accepts_every_object(
    kustomize: Callable[[str], Objects], base: str, version: str
) -> None:
    items = kustomize(base)
    assert {item["kind"] for item in items} == {"ServiceAccount", "ConfigMap", "Service", "Deployment"}
    for item in items:
        kubernetes_validate.validate(item, version, strict=True)


def test_the_configuration_is_the_exporters_and_mounted_with_its_key(
    kustomize: Callable[[str], Objects], one: One
) -> None:
    items = kustomize("base")
    settings = one(items, "ConfigMap")
    config = CONFIG.model_validate(yaml.safe_load(settings["data"]["config.yaml"]))
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


@pytest.mark.parametrize(
    ("base", "values"),
    [("base", {}), ("with-web", {"web": {"existingSecret": "vast-web", "tls": True}})],
    ids=["base", "with-web"],
)
def test_the_pod_is_that_of_the_chart(
    kustomize: Callable[[str], Objects], one: One, objects: Render, base: str, values: dict[str, Any]
) -> None:
    mine = one(kustomize(base), "Deployment")["spec"]
    account = {"name": "a", "existingSecret": "b"}
    charts = one(objects({"accounts": [account], **values}), "Deployment")["spec"]
    for spec in (mine, charts):
        pod = spec["template"]["spec"]
        volumes = by_name(pod.pop("volumes"))
        del volumes["config"], pod["serviceAccountName"]
        (container,) = pod["containers"]
        for probe in PROBES:
            shown = container[probe]
            container[probe] = {key: shown[key] for key in ("httpGet", "timeoutSeconds") if key in shown}
        for part in ("env", "volumeMounts"):
            container[part] = by_name(container[part])
        spec["volumes"] = volumes
    assert mine["strategy"] == charts["strategy"]
    assert mine["volumes"] == charts["volumes"]
    assert mine["template"]["spec"] == charts["template"]["spec"]


def test_the_image_has_the_version_of_the_exporter(kustomize: Callable[[str], Objects], one: One) -> None:
    (container,) = one(kustomize("base"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"vastai-exporter:{exporter.__version__}"


def test_the_monitor_finds_the_service(kustomize: Callable[[str], Objects], one: One) -> None:
    monitor = one(kustomize("monitoring"), "ServiceMonitor")
    operator.ServiceMonitor.model_validate(monitor)
    labels = one(kustomize("base"), "Service")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_operator_takes_what_a_monitor_needs_for_tls_and_users(
    kustomize: Callable[[str], Objects], one: One, root: Path
) -> None:
    comments = (root / FOLDER / "web/kustomization.yaml").read_text()
    needed = yaml.safe_load(
        "\n".join(re.findall(r"(?m)^#   ((?:scheme|tlsConfig|basicAuth): .*)$", comments))
    )
    monitor = one(kustomize("monitoring"), "ServiceMonitor")
    monitor["spec"]["endpoints"][0].update(needed)
    read = operator.ServiceMonitor.model_validate(monitor).model_dump(by_alias=True, exclude_none=True)
    assert set(needed) == {"scheme", "tlsConfig", "basicAuth"}
    endpoint = read["spec"]["endpoints"][0]
    assert {key: endpoint[key] for key in needed} == needed


def test_the_rules_are_those_of_the_rule_files(run: Run, root: Path) -> None:
    done = run(root / FOLDER / "generate", "--check")
    assert done.returncode == 0, done.stderr
