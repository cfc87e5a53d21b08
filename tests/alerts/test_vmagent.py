"""vmagent takes the scrape jobs that we document, and passes on pages up to its limit."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from tests.alerts.conftest import ROOT
from tests.support.alerting import PATIENCE
from tests.support.victoriametrics import program, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import Popen
    from types import ModuleType

    from exporter.simulator import SimulatedVast
    from tests.support.alerting import Exporter

pytestmark = [pytest.mark.peers, pytest.mark.victoriametrics]

PAGE = (ROOT / "docs/victoriametrics.md").read_text()
SCALING = (ROOT / "docs/scaling.md").read_text()


def configuration(document: str) -> dict[str, Any]:
    """Return the first scrape configuration that a document shows."""
    blocks = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    found: dict[str, Any] = next(filter(lambda block: "scrape_configs" in block, map(yaml.safe_load, blocks)))
    return found


def checked(name: str, file: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Have a program read a scrape configuration, and nothing else."""
    command = [program(name), "-dryRun", f"-promscrape.config={file}", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("name", ["vmagent", "victoria-metrics"])
def test_documented_jobs_are_taken_and_the_file_of_prometheus_only_if_unknown_keys_may_be(
    name: str, tmp_path: Path
) -> None:
    for document in (PAGE, SCALING):
        file = tmp_path / "scrape.yml"
        file.write_text(yaml.safe_dump(configuration(document)))
        taken = checked(name, file)
        assert taken.returncode == 0, taken.stderr
    shared = ROOT / "deploy/prometheus/prometheus.yml"
    assert configuration(PAGE)["scrape_configs"] == yaml.safe_load(shared.read_text())["scrape_configs"]
    assert re.search("rule_files.*alerting", checked(name, shared).stderr, re.DOTALL)
    flag = re.findall(r"`(-promscrape\.config\.\S+)`", PAGE)
    assert checked(name, shared, *flag).returncode == 0


def test_the_job_of_discovered_targets_is_taken_with_two_keys_replaced(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "deploy/discovery/prometheus.yml").read_text())
    (job,) = (job for job in config["scrape_configs"] if "http_sd_configs" in job)
    job["max_scrape_size"] = job.pop("body_size_limit")
    interval = job["http_sd_configs"][0].pop("refresh_interval")
    file = tmp_path / "scrape.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [job]}))
    flag = f"-promscrape.httpSDCheckInterval={interval}"
    assert f"`{flag}`" in PAGE
    taken = checked("vmagent", file, flag)
    assert taken.returncode == 0, taken.stderr


class Database:
    """A VictoriaMetrics, and the vmagent that writes into it."""

    def __init__(self, url: str, agent: str) -> None:
        self._url, self._agent = url, agent

    def asked(self, query: str) -> dict[str, float]:
        """Return the one value that a query has now of each job."""
        # New series would show only after ten seconds.
        requests.get(f"{self._url}/internal/force_flush", timeout=PATIENCE).raise_for_status()
        reply = requests.get(f"{self._url}/api/v1/query", {"query": query}, timeout=PATIENCE)
        found = reply.json()["data"]["result"]
        assert len(found) == len({one["metric"]["job"] for one in found}), found
        return {one["metric"]["job"]: float(one["value"][1]) for one in found}

    def errors(self) -> dict[str, str]:
        """Return what vmagent says is wrong with a target, by job."""
        reply = requests.get(f"{self._agent}/api/v1/targets", timeout=PATIENCE)
        targets = reply.json()["data"]["activeTargets"]
        return {each["scrapePool"]: each["lastError"] for each in targets if each["lastError"]}


def jobs(address: str) -> list[dict[str, Any]]:
    """Return the documented jobs: two for parts of the page, the whole, and this with a raised limit."""
    fast, rare = configuration(SCALING)["scrape_configs"]
    (whole,) = configuration(PAGE)["scrape_configs"]
    key, limit = re.findall(r"`(max_scrape_size): (\w+)`", PAGE)[0]
    found = (fast, rare, {**whole, "job_name": "whole"}, {**whole, "job_name": "raised", key: limit})
    target = {"static_configs": [{"targets": [address]}], "scrape_interval": "1s"}
    return [{**job, **target} for job in found]


def limit_below_the_whole_page(address: str) -> int:
    """Return a size that the exporter's page is above, and the larger of the documented parts is not."""

    def size(**selected: list[str]) -> int:
        reply = requests.get(f"http://{address}/metrics", selected, timeout=PATIENCE)
        reply.raise_for_status()
        return len(reply.content)

    fast, _ = configuration(SCALING)["scrape_configs"]
    return (size() + size(**fast["params"])) // 2


@pytest.fixture
def running_exporter(exporter: Exporter, stack: ModuleType, tmp_path: Path) -> Iterator[Popen[bytes]]:
    with exporter.running() as process:
        stack.wait_until_ready(f"http://{exporter.address}/-/ready", process, tmp_path / "exporter.log")
        yield process


@pytest.fixture
def database(
    exporter: Exporter, running_exporter: Popen[bytes], stack: ModuleType, tmp_path: Path
) -> Iterator[Database]:
    """With a limit in place of 16 MiB that the exporter's page is above."""
    assert running_exporter.poll() is None
    url, agent = (f"http://127.0.0.1:{stack.free_port()}" for _ in range(2))
    scrape = tmp_path / "scrape.yml"
    scrape.write_text(yaml.safe_dump({"scrape_configs": jobs(exporter.address)}))
    stores = [
        program("victoria-metrics"),
        f"-storageDataPath={tmp_path / 'data'}",
        f"-httpListenAddr={url.removeprefix('http://')}",
        "-search.latencyOffset=0s",
    ]
    scrapes = [
        program("vmagent"),
        f"-promscrape.config={scrape}",
        f"-promscrape.maxScrapeSize={limit_below_the_whole_page(exporter.address)}",
        f"-httpListenAddr={agent.removeprefix('http://')}",
        f"-remoteWrite.url={url}/api/v1/write",
        f"-remoteWrite.tmpDataPath={tmp_path / 'queue'}",
        "-remoteWrite.flushInterval=100ms",
    ]
    with (
        serving(url, stores, tmp_path / "victoriametrics.log"),
        serving(agent, scrapes, tmp_path / "vmagent.log"),
    ):
        yield Database(url, agent)


def test_pages_up_to_the_limit_arrive_and_end_with_the_exporter(
    running_exporter: Popen[bytes],
    database: Database,
    vast: SimulatedVast,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    up = {"vastai-exporter": 1, "vastai-exporter-rare": 1, "whole": 0, "raised": 1}
    eventually(lambda: database.asked("up") == up)
    errors = database.errors()
    assert list(errors) == ["whole"]
    assert all(name in errors["whole"] for name in ("-promscrape.maxScrapeSize", "max_scrape_size"))

    # The parts together are the whole page.
    def series() -> dict[str, float]:
        return database.asked('count by (job) ({__name__=~"vastai_.*"})')

    eventually(lambda: series().keys() == {"vastai-exporter", "raised"} and len({*series().values()}) == 1)
    instances = sum(len(vast.fleet_of(account).ids()) for account in ("default", "second"))
    assert database.asked("count by (job) (vastai_instance_status)")["vastai-exporter"] == instances

    running_exporter.kill()
    eventually(lambda: database.asked("up") == dict.fromkeys(up, 0))
    eventually(lambda: series() == {})
