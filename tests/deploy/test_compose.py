"""The compose stack: read by its schema, and brought up by a real Docker engine (deploy/test-images)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Up = Callable[[str], dict[str, str]]

FOLDER = "deploy/compose"
#: What the stack reads, from the repository's root.
READ = (FOLDER, "deploy/prometheus", "deploy/alertmanager", "grafana")
PROFILES = ("demo", "live")
PROJECT = "vastai-test"
#: The account of a test must not be asked for at Vast.ai.
NO_API = {"services": {"exporter": {"environment": {"VAST_URL": "http://127.0.0.1:9"}}}}
#: Seconds in which Prometheus has scraped and evaluated, on however busy a machine.
PATIENCE = 60


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


def test_grafana_finds_what_is_mounted(compose: dict[str, Any], root: Path) -> None:
    grafana = compose["services"]["grafana"]
    mounted = {target: source for source, target, *_ in (each.split(":") for each in grafana["volumes"])}
    assert (root / FOLDER / mounted["/etc/grafana/provisioning"] / "datasources/prometheus.yml").exists()
    provisioning = root / "grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/vastai.yml").read_text())["providers"]
    dashboards = root / FOLDER / mounted[provider["options"]["path"]]
    assert list(dashboards.glob("*.json"))
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"].strip("${}") in grafana["environment"]


@pytest.fixture(scope="module")
def up(root: Path, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Bring the whole stack up in a profile, as its script does, and return the printed addresses."""
    copy = tmp_path_factory.mktemp("stack")
    for folder in READ:
        shutil.copytree(root / folder, copy / folder, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    hurry(copy / FOLDER / "prometheus.yml")
    (copy / FOLDER / "compose.override.yaml").write_text(yaml.safe_dump(NO_API))
    (copy / FOLDER / "secrets").mkdir()
    (copy / FOLDER / "secrets/vast_api_key").write_text("a-key\n")
    ports = {f"{name}_PORT": "0" for name in ("EXPORTER", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")}
    environment = os.environ | ports | {"COMPOSE_PROJECT_NAME": PROJECT, "EXPORTER_IMAGE": image}
    command = shutil.which("docker")
    assert command, "docker is missing: run deploy/test-images"

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)

    def up(profile: str) -> dict[str, str]:
        started = call(copy / FOLDER / "up", profile)
        logs = call(command, "compose", "--project-name", f"{PROJECT}-{profile}", "logs")
        assert started.returncode == 0, started.stderr + logs.stdout
        return dict(re.findall(r"^(\w+) +(http://\S+)$", started.stdout, re.MULTILINE))

    try:
        yield up
    finally:
        for profile in PROFILES:
            project = ("--project-name", f"{PROJECT}-{profile}")
            call(command, "compose", *project, "down", "--volumes", "--timeout", "1")


@pytest.fixture(scope="module")
def stack(up: Up) -> dict[str, str]:
    """The addresses of the stack with the demo."""
    return up("demo")


def hurry(prometheus: Path) -> None:
    """Let Prometheus scrape and evaluate every second."""
    text, count = re.subn(r"_interval: 30s", "_interval: 1s", prometheus.read_text())
    assert count == 2
    prometheus.write_text(text)


def asked(prometheus: str, path: str) -> dict[str, Any]:
    """Return what Prometheus answers."""
    answer = requests.get(f"{prometheus}/api/v1/{path}", timeout=10).json()
    return dict(answer["data"])


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.docker
def test_one_command_brings_it_up_and_prints_where_it_is(stack: dict[str, str]) -> None:
    assert set(stack) == {"Grafana", "Prometheus", "Alertmanager", "Exporter"}
    assert requests.get(f"{stack['Exporter']}/-/ready", timeout=10).ok


@pytest.mark.docker
def test_prometheus_scrapes_all_of_it_and_tells_alertmanager(stack: dict[str, str]) -> None:
    prometheus = stack["Prometheus"]

    def health() -> dict[str, str]:
        return {each["scrapePool"]: each["health"] for each in asked(prometheus, "targets")["activeTargets"]}

    until(lambda: health() == dict.fromkeys(("vastai-exporter", "prometheus", "alertmanager"), "up"))
    (known,) = asked(prometheus, "alertmanagers")["activeAlertmanagers"]
    assert known["url"] == "http://alertmanager:9093/api/v2/alerts"


@pytest.mark.docker
def test_the_rules_record_what_the_demo_spends(stack: dict[str, str]) -> None:
    query = "query?query=account:vastai_instance_burn_dollars_per_hour:sum"
    until(lambda: bool(asked(stack["Prometheus"], query)["result"]))


@pytest.mark.docker
def test_live_takes_the_place_of_the_demo_but_not_its_data(stack: dict[str, str], up: Up) -> None:
    assert requests.get(stack["Exporter"], timeout=10).ok
    live = up("live")
    with pytest.raises(requests.ConnectionError):
        requests.get(stack["Exporter"], timeout=10)
    until(lambda: requests.get(f"{live['Exporter']}/-/ready", timeout=10).ok)
    metrics = requests.get(f"{live['Exporter']}/metrics", timeout=10).text
    failures = (
        r'vastai_collector_failures_total{account="default",collector="instances",reason="network"} [1-9]'
    )
    assert re.search(failures, metrics)
    assert asked(live["Prometheus"], "query?query=present_over_time(vastai_instances[1h])")["result"] == []


@pytest.mark.docker
@pytest.mark.parametrize("profile", PROFILES)
def test_compose_itself_reads_it(root: Path, profile: str) -> None:
    command = shutil.which("docker")
    assert command
    file = root / FOLDER / "compose.yaml"
    read = subprocess.run(
        [command, "compose", "--file", file, "--profile", profile, "config", "--services"],
        capture_output=True,
        text=True,
        check=False,
    )
    exporter = {"demo": "demo", "live": "exporter"}[profile]
    assert (read.returncode, read.stderr) == (0, "")
    assert set(read.stdout.split()) == {exporter, "prometheus", "alertmanager", "grafana"}
