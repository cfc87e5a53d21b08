"""The examples for more than one machine, read by Prometheus, by the operator's models and by the chart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from cloudcoil.models.prometheus_operator import v1alpha1 as operator

from exporter.collectors import instances
from exporter.commands.configuration import CONFIG
from exporter.config.shards import owner

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
    path = root / FOLDER / "prometheus-agent.yml"
    checked = run(promtool, "check", "config", "--agent", path)
    if "field kubernetes_sd_configs not found" in checked.stderr:
        # A Prometheus 2 that Debian has built without this discovery; all the rest is for it to judge.
        config = yaml.safe_load(path.read_text())
        assert config["scrape_configs"][0].pop("kubernetes_sd_configs")[0]["role"] == "pod"
        path = tmp_path / "agent.yml"
        path.write_text(yaml.safe_dump(config))
        checked = run(promtool, "check", "config", "--agent", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_two_agents_share_the_pods_of_the_shards_evenly(root: Path, objects: Render, one: One) -> None:
    text = (root / FOLDER / "prometheus-agent.yml").read_text()
    (job,) = yaml.safe_load(text)["scrape_configs"]
    (kept,) = (
        rule["regex"]
        for rule in job["relabel_configs"]
        if rule.get("action") == "keep" and rule["source_labels"] == ["__meta_kubernetes_pod_name"]
    )
    (other,) = re.findall(r'# "(.+)" in the other agent', text)
    values = yaml.safe_load((root / FOLDER / "values-shards.yaml").read_text())
    name = one(objects(values), "StatefulSet")["metadata"]["name"]
    pods = [f"{name}-{number}" for number in range(12)]
    assert [pod for pod in pods if re.fullmatch(kept, pod)] == pods[::2]
    assert [pod for pod in pods if re.fullmatch(other, pod)] == pods[1::2]


def test_agents_and_the_monitor_of_the_shards_scrape_as_often(root: Path) -> None:
    texts = [
        (root / FOLDER / name).read_text()
        for name in ("prometheus-agent.yml", "prometheusagent.yaml", "values-shards.yaml")
    ]
    found = [re.findall(r"(?:interval|scrape_?[iI]nterval): (\S+)", text) for text in texts]
    assert found == [["60s"]] * 3
    assert "every 60 s" in (root / "docs/scaling.md").read_text()


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


def test_what_the_page_leaves_out_is_read_by_no_alert(root: Path) -> None:
    page = (root / "docs/scaling.md").read_text()
    (block,) = re.findall(r"(?ms)^```yaml\n(collectors:.*?)^```$", page)
    kept = CONFIG.model_validate(yaml.safe_load(block)).collectors.named("instances").model_dump()["groups"]
    left_out = set(instances.GROUPS) - set(kept)
    table = (root / "docs/metrics.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| \d+ \| .*? \| (.*?) \| .*? \|$", table)
    assert {group: alerts for group, alerts in rows if group in left_out} == dict.fromkeys(left_out, "")
    named = " or ".join(f"`{group}`" for group in instances.GROUPS if group in left_out)
    assert f"No alert reads {named}." in page


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


def test_no_shard_of_the_example_is_idle(root: Path) -> None:
    values = yaml.safe_load((root / FOLDER / "values-shards.yaml").read_text())
    shares = {owner(account["name"], values["shards"]) for account in values["accounts"]}
    assert shares == set(range(values["shards"]))
