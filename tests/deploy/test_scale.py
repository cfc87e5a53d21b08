"""The examples for more than one machine, read by Prometheus, by the operator's models and by the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from cloudcoil.models.prometheus_operator import v1alpha1 as operator

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Render = Callable[..., list[dict[str, Any]]]
    One = Callable[[Iterable[dict[str, Any]], str], dict[str, Any]]

FOLDER = "deploy/scale"


def test_a_prometheus_agent_accepts_its_configuration(
    run: Run, promtool: Path, root: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((root / FOLDER / "prometheus-agent.yml").read_text())
    # Debian's Prometheus is built without discovery in Kubernetes; the rest is for it to judge.
    assert config["scrape_configs"][0].pop("kubernetes_sd_configs")[0]["role"] == "pod"
    path = tmp_path / "agent.yml"
    path.write_text(yaml.safe_dump(config))
    checked = run(promtool, "check", "config", "--agent", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_federating_prometheus_accepts_its_configuration(run: Run, promtool: Path, root: Path) -> None:
    checked = run(promtool, "check", "config", root / FOLDER / "federation.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_federation_takes_over_rules_that_are_recorded(root: Path) -> None:
    config = yaml.safe_load((root / FOLDER / "federation.yml").read_text())
    (job,) = config["scrape_configs"]
    assert '{__name__=~"account.*:vastai_.*", instance_id=""}' in job["params"]["match[]"]
    groups = yaml.safe_load((root / "deploy/prometheus/recording.rules.yml").read_text())["groups"]
    recorded = [rule["record"] for group in groups for rule in group["rules"]]
    assert any(name.startswith("account:vastai_") for name in recorded)


def test_the_operator_reads_every_key_of_its_agent(root: Path) -> None:
    given = yaml.safe_load((root / FOLDER / "prometheusagent.yaml").read_text())
    read = operator.PrometheusAgent.model_validate(given).model_dump(by_alias=True, exclude_none=True)
    assert read["spec"].keys() >= given["spec"].keys()


def test_the_operators_agent_finds_the_monitor_of_the_shards(root: Path, objects: Render, one: One) -> None:
    values = yaml.safe_load((root / FOLDER / "values-shards.yaml").read_text())
    rendered = objects(values)
    agent = yaml.safe_load((root / FOLDER / "prometheusagent.yaml").read_text())
    wanted = agent["spec"]["serviceMonitorSelector"]["matchLabels"]
    assert wanted.items() <= one(rendered, "ServiceMonitor")["metadata"]["labels"].items()
    assert one(rendered, "StatefulSet")["spec"]["replicas"] == values["shards"]
