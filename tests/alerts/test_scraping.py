"""Labels of ours stay ours, whatever labels a target has: in all that ships, and in a real Prometheus."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

#: A target of a user who tells targets apart by a label that ours have too.
TARGET = {"account": "prod", "status": "live"}
PAGE = """\
vastai_collector_success{account="research",collector="instances"} 1
vastai_collector_success{account="web",collector="instances"} 1
vastai_instances{account="research",status="running"} 3
vastai_instances{account="web",status="running"} 4
"""


def shipped(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every scrape job of the exporter, by where it stands: in files, and in what documents show."""
    read_by_others = {"templates", "source", "rules"}
    files = [file for file in (root / "deploy").rglob("*.y*ml") if not read_by_others & {*file.parts}]
    for file in files:
        for document in yaml.safe_load_all(file.read_text()):
            if isinstance(document, dict):
                yield from ((str(file), job) for job in document.get("scrape_configs") or ())
    for file in (root / "README.md", *(root / "docs").glob("*.md")):
        for block in re.findall(r"```yaml[^\n]*\n(.*?)```", file.read_text(), re.DOTALL):
            document = yaml.safe_load(block)
            if isinstance(document, dict):
                yield from ((str(file), job) for job in document.get("scrape_configs") or ())


def test_every_scrape_job_keeps_our_labels(root: Path) -> None:
    jobs = [(where, job) for where, job in shipped(root) if job["job_name"].startswith("vastai-")]
    assert len({where for where, _ in jobs}) >= 6
    for where, job in jobs:
        assert job.get("honor_labels") is True, where


def test_every_monitor_keeps_our_labels(root: Path) -> None:
    monitor = yaml.safe_load((root / "deploy/kubernetes/monitoring/servicemonitor.yaml").read_text())
    assert [endpoint["honorLabels"] for endpoint in monitor["spec"]["endpoints"]] == [True]
    templates = root / "deploy/helm/vastai-exporter/templates"
    helper = (templates / "_monitors.tpl").read_text().partition('define "vastai-exporter.endpoint"')[2]
    assert "\nhonorLabels: {{ $monitor.honorLabels }}\n" in helper.partition("{{- end }}\n\n")[0]
    values = yaml.safe_load((templates.parent / "values.yaml").read_text())
    monitors = [value for value in values.values() if isinstance(value, dict) and "honorLabels" in value]
    assert [monitor["honorLabels"] for monitor in monitors] == [True] * len(monitors)
    assert monitors
    for name in ("servicemonitor.yaml", "podmonitor.yaml"):
        assert 'include "vastai-exporter.endpoints"' in (templates / name).read_text(), name


@pytest.fixture(scope="module")
def exporter() -> Iterator[str]:
    """Something that answers as an exporter would; host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Prometheus:
    """A real one that scrapes each second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def asked(self, query: str) -> list[dict[str, Any]]:
        reply = requests.get(f"{self._url}/api/v1/query", params={"query": query}, timeout=10).json()
        found: list[dict[str, Any]] = reply["data"]["result"]
        return found

    def wait_for(self, query: str) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if found := self.asked(query):
                return found
            time.sleep(0.2)
        pytest.fail(f"{query}: nothing")


@pytest.fixture(params=[True, False], ids=["honor_labels", "without"])
def prometheus(
    request: pytest.FixtureRequest,
    exporter: str,
    root: Path,
    generator: ModuleType,
    stack: ModuleType,
    program: Callable[[str], str],
    tmp_path: Path,
) -> Iterator[Prometheus]:
    """The configuration and the rules that ship, with a target that has labels of its own."""
    config = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    del config["alerting"]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [exporter], "labels": TARGET}]
    if not request.param:
        del job["honor_labels"]
    for name, text in generator.generate({"displaced_for": "1s"}).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{stack.free_port()}"
    command = [program("prometheus"), f"--config.file={tmp_path / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={address}"]
    log = tmp_path / "prometheus.log"
    with stack.running(command, log) as process:
        stack.wait_until_ready(f"http://{address}/-/ready", process, log)
        yield Prometheus(f"http://{address}")


@pytest.mark.peers
@pytest.mark.parametrize("prometheus", [True], indirect=True, ids=["honor_labels"])
def test_accounts_stay_apart_whatever_labels_the_target_has(prometheus: Prometheus) -> None:
    prometheus.wait_for("account:vastai_instance_burn_dollars_per_hour:sum")
    found = prometheus.asked('sum by (account) (vastai_instances{status="running"})')
    assert {each["metric"]["account"]: each["value"][1] for each in found} == {"research": "3", "web": "4"}
    assert prometheus.asked('ALERTS{alertname="VastaiLabelDisplaced"}') == []


@pytest.mark.peers
@pytest.mark.parametrize("prometheus", [False], indirect=True, ids=["without"])
def test_it_is_told_where_a_label_of_the_target_took_the_place_of_ours(prometheus: Prometheus) -> None:
    query = 'count by (displaced) (ALERTS{alertname="VastaiLabelDisplaced",alertstate="firing"}) == 1'
    found = prometheus.wait_for(f"({query}) and on () count(({query})) == 2")
    assert {each["metric"]["displaced"] for each in found} == set(TARGET)
