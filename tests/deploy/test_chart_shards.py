"""Accounts on several pods of the chart: whose keys are where, and what replaces a pod."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.config.shards import owner

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Objects = list[dict[str, Any]]
    Helm = Callable[..., subprocess.CompletedProcess[str]]
    Render = Callable[..., Objects]
    One = Callable[[Iterable[dict[str, Any]], str], dict[str, Any]]

LETTERS = "abcdefghijklmnopqrstuvwxyzäöü &/%0123456789"


def accounts(number: int, seed: int) -> list[dict[str, str]]:
    """Return accounts of any name, each with a secret of its own."""
    random = Random(seed)
    names = {f"a{''.join(random.choices(LETTERS, k=random.randint(1, 20)))}z" for _ in range(number)}
    return [{"name": name, "existingSecret": f"key-{index}"} for index, name in enumerate(sorted(names))]


def secrets_of(workload: dict[str, Any]) -> set[str]:
    """Return the secrets that a workload's pods mount."""
    (volume,) = workload["spec"]["template"]["spec"]["volumes"]
    return {source["secret"]["name"] for source in volume["projected"]["sources"] if "secret" in source}


def number_of(deployment: dict[str, Any]) -> int:
    """Return which shard a Deployment is."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return int({each["name"]: each.get("value") for each in container["env"]}["VASTAI_EXPORTER_SHARD"])


@pytest.mark.parametrize(("shards", "seed"), [(2, 1), (3, 2), (7, 3)])
def test_a_deployment_a_shard_has_the_keys_of_the_accounts_that_the_exporter_gives_it(
    objects: Render, shards: int, seed: int
) -> None:
    given = accounts(40, seed)
    rendered = objects({"accounts": given, "shards": shards, "shardKind": "Deployment"})
    deployments = [item for item in rendered if item["kind"] == "Deployment"]
    assert sorted(map(number_of, deployments)) == list(range(shards))
    for deployment in deployments:
        ours = {
            each["existingSecret"] for each in given if owner(each["name"], shards) == number_of(deployment)
        }
        assert secrets_of(deployment) == ours


def test_pods_of_a_stateful_set_have_every_key(objects: Render, one: One) -> None:
    given = accounts(10, 4)
    found = one(objects({"accounts": given, "shards": 3}), "StatefulSet")
    assert secrets_of(found) == {each["existingSecret"] for each in given}


def test_a_deployment_takes_care_of_its_own_pod_only_and_one_service_has_all(
    objects: Render, one: One
) -> None:
    rendered = objects({"accounts": accounts(4, 5), "shards": 3, "shardKind": "Deployment"})
    deployments = [item for item in rendered if item["kind"] == "Deployment"]
    assert len({item["metadata"]["name"] for item in deployments}) == 3
    service = one(rendered, "Service")["spec"]["selector"].items()
    for deployment in deployments:
        assert deployment["spec"]["replicas"] == 1
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
        selector = deployment["spec"]["selector"]["matchLabels"]
        fits = [
            other
            for other in deployments
            if selector.items() <= other["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert fits == [deployment]
        assert service <= deployment["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_a_shard_keeps_its_name_over_the_restarts_of_its_pod(objects: Render, monitor: str) -> None:
    values = {"accounts": accounts(4, 6), "shards": 2, "shardKind": "Deployment", monitor: {"enabled": True}}
    rendered = objects(values)
    (found,) = (item for item in rendered if item["kind"].lower() == monitor.lower())
    (endpoint,) = found["spec"].get("endpoints") or found["spec"]["podMetricsEndpoints"]
    (rule,) = (each for each in endpoint["relabelings"] if each.get("targetLabel") == "instance")
    assert rule["sourceLabels"] == ["__meta_kubernetes_pod_label_vastai_exporter_shard"]
    names = {
        rule["replacement"].replace(
            "$1", item["spec"]["template"]["metadata"]["labels"]["vastai-exporter/shard"]
        )
        for item in rendered
        if item["kind"] == "Deployment"
    }
    assert names == {item["metadata"]["name"] for item in rendered if item["kind"] == "Deployment"}


def test_one_shard_is_the_same_deployment_whatever_the_kind(helm: Helm, root: Path) -> None:
    values = yaml.safe_load((root / "deploy/helm/vastai-exporter/ci/accounts-values.yaml").read_text())
    usual, asked = (helm("template", values | more) for more in ({}, {"shardKind": "Deployment"}))
    assert usual.stdout == asked.stdout
    assert "kind: Deployment" in usual.stdout
