"""The compose stack: read by its schema, and brought up by a real Docker engine (deploy/test-images)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

FOLDER = "deploy/compose"
#: What the stack reads, from the repository's root.
READ = (FOLDER, "deploy/prometheus", "deploy/alertmanager", "grafana")


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    """The compose file."""
    read: dict[str, Any] = yaml.safe_load((root / FOLDER / "compose.yaml").read_text())
    return read


def test_the_schema_of_compose_allows_it(run: Run, root: Path) -> None:
    checked = run(
        "check-jsonschema", "--builtin-schema", "vendor.compose-spec", root / FOLDER / "compose.yaml"
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_file_that_is_mounted_is_there(compose: dict[str, Any], root: Path) -> None:
    sources = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert sources
    assert [source for source in sources if not (root / FOLDER / source).exists()] == []


def test_nothing_is_published_beyond_this_machine(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service["ports"]]
    assert len(ports) == len(compose["services"])
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_is_confined_and_watched(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["healthcheck"]["test"][0] == "CMD"


def test_secrets_are_files_outside_of_git(compose: dict[str, Any], root: Path) -> None:
    files = [secret["file"] for secret in compose["secrets"].values()]
    assert all(file.startswith("secrets/") for file in files)
    assert "/secrets/" in (root / FOLDER / ".gitignore").read_text().split()


def test_prometheus_accepts_its_configuration(run: Run, promtool: Path, root: Path, tmp_path: Path) -> None:
    shutil.copy(root / FOLDER / "prometheus.yml", tmp_path)
    shutil.copytree(root / "deploy/prometheus", tmp_path / "rules")
    checked = run(promtool, "check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("rules found") == 2


def test_the_scrape_job_has_the_name_that_rules_count_on(root: Path) -> None:
    config = yaml.safe_load((root / FOLDER / "prometheus.yml").read_text())
    (job,) = (each for each in config["scrape_configs"] if "vastai-exporter:10622" in str(each))
    assert job["job_name"] == "vastai-exporter"


@pytest.mark.parametrize("arguments", [(), ("production",)])
def test_up_says_how_it_is_used(run: Run, root: Path, arguments: tuple[str, ...]) -> None:
    done = run(root / FOLDER / "up", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


def test_up_asks_for_the_key_before_it_starts_anything(run: Run, root: Path, tmp_path: Path) -> None:
    shutil.copy(root / FOLDER / "up", tmp_path)
    done = run(tmp_path / "up", "live", PATH="/usr/bin:/bin")
    assert done.returncode == 1
    assert f"{tmp_path}/secrets/vast_api_key" in done.stderr
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


@pytest.fixture(scope="module")
def stack(root: Path, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The whole stack with the demo, as its script brings it up, and its printed addresses."""
    copy = tmp_path_factory.mktemp("stack")
    for folder in READ:
        shutil.copytree(root / folder, copy / folder, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    ports = {f"{name}_PORT": "0" for name in ("EXPORTER", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")}
    environment = os.environ | ports | {"COMPOSE_PROJECT_NAME": "vastai-test", "EXPORTER_IMAGE": image}
    command = shutil.which("docker")
    assert command, "docker is missing: run deploy/test-images"

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)

    file = copy / FOLDER / "compose.yaml"
    try:
        started = call(copy / FOLDER / "up", "demo")
        logs = call(command, "compose", "-f", file, "--profile", "*", "logs")
        assert started.returncode == 0, started.stderr + logs.stdout
        yield dict(re.findall(r"^(\w+) +(http://\S+)$", started.stdout, re.MULTILINE))
    finally:
        call(command, "compose", "-f", file, "--profile", "*", "down", "--volumes", "--timeout", "1")


@pytest.mark.docker
def test_one_command_brings_it_up_and_prints_where_it_is(stack: dict[str, str]) -> None:
    assert set(stack) == {"Grafana", "Prometheus", "Alertmanager", "Exporter"}
    assert requests.get(f"{stack['Exporter']}/-/ready", timeout=10).ok


@pytest.mark.docker
def test_prometheus_scrapes_evaluates_the_rules_and_knows_alertmanager(stack: dict[str, str]) -> None:
    def asked(path: str) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(f"{stack['Prometheus']}/api/v1/{path}", timeout=10).json()[
            "data"
        ]
        return answer

    jobs = {target["scrapePool"] for target in asked("targets")["activeTargets"]}
    assert "vastai-exporter" in jobs
    assert len(asked("rules")["groups"]) > 1
    assert requests.get(f"{stack['Alertmanager']}/api/v2/status", timeout=10).ok
