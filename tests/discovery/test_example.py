"""deploy/discovery as it ships: a real Prometheus finds rented GPUs, scrapes them, and loses them again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.simulator import SimulatedVast
    from exporter.simulator.fleet.instance import Instance
    from tests.support.program import Program, Run, Start, Write

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/discovery"
#: Tokens that grow with each scrape, and a metric that it has no business with.
VLLM = """\
vllm:generation_tokens_total{model_name="m"} <tokens>
vllm:prompt_tokens_total{model_name="m"} <tokens>
vastai_instance_burn_dollars_per_hour{account="research"} 999
"""
#: What a container exposes: the job that the example makes of it, and what is answered there.
SERVICES = {
    8000: ("vllm", VLLM),
    9100: ("node", "node_load1 0.5\n"),
    9400: ("dcgm", 'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 50\n'),
}
LABEL = "chat \N{ROCKET}"


@contextmanager
def service(page: str) -> Iterator[int]:
    """Serve a page on a loopback port."""
    asked = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal asked
            asked += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page.replace("<tokens>", str(asked * 1000)).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def rented(vast: SimulatedVast) -> Iterator[list[Instance]]:
    """Two running instances whose machine is this one, and whose containers run what the example scrapes."""
    found = [each for each in vast.fleet.roster if each.shown_status == "running"][:2]
    with ExitStack() as stack:
        for instance in found:
            ports = {
                f"{inner}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.enter_context(service(page)))}]
                for inner, (_, page) in SERVICES.items()
            }
            instance.overrides |= {"public_ipaddr": "127.0.0.1", "ports": ports, "label": LABEL}
        yield found


@pytest.fixture
def exporter(vast: SimulatedVast, start: Start, write: Write) -> Program:
    """Walks each second."""
    write(vast.key, "key")
    settings = {
        "api": {"url": vast.url, "min_interval": "0s"},
        "accounts": [{"name": "research", "api_key_file": "key"}],
        "collectors": {"instances": {"interval": "1s", "stale_after": "30s"}},
        "discovery": {"enabled": True, "ports": ["8000/tcp", "9100/tcp", "9400/tcp"], "labels": [LABEL]},
        "web": {"listen_address": "127.0.0.1:0"},
    }
    started = start("--config.file", str(write(settings)))
    started.line("account=research collector=instances outcome=success")
    return started


def example(url: str, *, loopback: bool) -> dict[str, Any]:
    """Return the example's configuration, in a hurry; `loopback`: without the rule against own networks."""
    config: dict[str, Any] = yaml.safe_load((EXAMPLE / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [
        str(ROOT / "deploy/prometheus/recording.rules.yml"),
        str(EXAMPLE / "recording.rules.yml"),
    ]
    own, found = config["scrape_configs"]
    own["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
    found["http_sd_configs"] = [{"url": f"{url}/sd/instances", "refresh_interval": "1s"}]
    against = [rule for rule in found["relabel_configs"] if rule.get("action") == "drop"]
    assert [rule["source_labels"] for rule in against] == [["__address__"]]
    if loopback:
        found["relabel_configs"].remove(against[0])
    return config


def drawn() -> list[str]:
    """Return what the dashboard asks for, with All for every variable, over five minutes."""
    panels = json.loads((EXAMPLE / "work.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    filled = [re.sub(r"\$\{\w+:regex\}", ".*", query) for query in queries]
    return [query.replace("$__range", "5m").replace("$__interval", "15s") for query in filled]


def promtool(*arguments: str) -> str:
    program = shutil.which(os.environ.get("VASTAI_PROMTOOL", "promtool"))
    if program is None:
        pytest.fail("promtool is missing: `make setup` installs it")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A real one with a configuration of the example."""

    def __init__(self, url: str) -> None:
        self._url = url

    def targets(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the active targets of rented GPUs by job and instance id."""
        found = requests.get(f"{self._url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
        return {
            (each["labels"]["job"], each["labels"]["instance_id"]): each
            for each in found
            if each["scrapePool"] == "rented"
        }

    def value(self, query: str) -> list[tuple[dict[str, str], float]]:
        found = requests.get(f"{self._url}/api/v1/query", params={"query": query}, timeout=10).json()
        return [(each["metric"], float(each["value"][1])) for each in found["data"]["result"]]


def at_once(file: Path, folder: Path) -> str:
    """Copy a file of rules into a folder, with no group waiting for minutes; return where it is."""
    copy = folder / f"{file.parent.name}-{file.name}"
    copy.write_text(re.sub(r"(?m)^( +interval:) .*$", r"\1 1s", file.read_text()))
    return str(copy)


@pytest.fixture
def begin(
    begin_prometheus: Callable[[dict[str, Any]], str], tmp_path: Path
) -> Callable[[dict[str, Any]], Prometheus]:
    """Start a Prometheus whose rules wait for no minutes."""

    def started(config: dict[str, Any]) -> Prometheus:
        hurried = {"rule_files": [at_once(Path(file), tmp_path) for file in config.get("rule_files", ())]}
        return Prometheus(begin_prometheus(config | hurried))

    return started


def test_prometheus_finds_scrapes_and_loses_rented_gpus(
    begin: Callable[[dict[str, Any]], Prometheus],
    exporter: Program,
    rented: list[Instance],
    vast: SimulatedVast,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    prometheus = begin(example(exporter.url(), loopback=True))
    first, second = rented
    jobs = [job for job, _ in SERVICES.values()]
    everything = {(job, str(instance.id)) for job in jobs for instance in rented}
    eventually(
        lambda: {k for k, target in prometheus.targets().items() if target["health"] == "up"} == everything
    )

    target = prometheus.targets()["vllm", str(first.id)]
    assert target["labels"] == {
        "job": "vllm",
        "instance": f"{first.id}:8000",
        "account": "research",
        "instance_id": str(first.id),
        "label": LABEL,
        "gpu_name": first.contract.machine.gpu.name,
    }
    # The labels of what is scraped join it to the exporter's metrics; no target can write as the exporter.
    tokens = f'vllm:generation_tokens_total{{job="vllm",instance_id="{first.id}",model_name="m"}}'
    burn = "vastai_instance_burn_dollars_per_hour"
    eventually(lambda: prometheus.value(f"{tokens} * on (account, instance_id) {burn}"))
    assert prometheus.value(f"{burn} == 999") == []
    eventually(
        lambda: (
            {
                labels["instance_id"]: value > 0
                for labels, value in prometheus.value(
                    "account_instance:vllm_tokens_dollars_per_million:rate5m"
                )
            }
            == {str(instance.id): True for instance in rented}
        )
    )
    eventually(lambda: prometheus.value("account_label:vastai_working_gpu_dollars_per_hour:avg5m"))
    assert len(prometheus.value("account_instance_gpu:dcgm_gpu_util_ratio:max == 0.5")) == 2
    for query in drawn():
        eventually(lambda query=query: prometheus.value(query))  # type: ignore[misc]

    first.overrides["actual_status"] = "exited"
    eventually(lambda: prometheus.targets().keys() == {(job, str(second.id)) for job in jobs})
    first.overrides["actual_status"] = "running"
    eventually(lambda: prometheus.targets().keys() == everything)
    vast.fleet.destroy(second.id)
    eventually(lambda: prometheus.targets().keys() == {(job, str(first.id)) for job in jobs})


def test_promtool_makes_the_same_targets_of_http_and_of_a_file(
    exporter: Program, rented: list[Instance], run: Run, write: Write, tmp_path: Path
) -> None:
    config = example(exporter.url(), loopback=True)
    del config["rule_files"]
    by_http = discovered(write(config, "prometheus.yml"))
    assert len(by_http) == len(rented) * len(SERVICES)
    file = tmp_path / "instances.json"
    done = run("once", "--config.file", str(tmp_path / "config.yaml"), "--sd-output", str(file))
    assert done.returncode == 0
    del config["scrape_configs"][1]["http_sd_configs"]
    config["scrape_configs"][1]["file_sd_configs"] = [{"files": [str(tmp_path / "*.json")]}]
    assert discovered(write(config, "prometheus.yml")) == by_http


def discovered(config: Path) -> list[dict[str, str]]:
    found = json.loads(promtool("check", "service-discovery", "--timeout=5s", str(config), "rented"))
    return sorted(
        (each["labels"] for each in found if each.get("labels")), key=lambda labels: labels["instance"]
    )


@pytest.mark.usefixtures("rented")
def test_the_example_scrapes_nothing_in_a_network_of_ones_own(exporter: Program, write: Write) -> None:
    config = example(exporter.url(), loopback=False)
    del config["rule_files"]
    assert discovered(write(config, "prometheus.yml")) == []


@pytest.mark.parametrize(
    ("host", "dropped"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("0.1.2.3", True),
        ("172.16.0.1", True),
        ("172.31.255.1", True),
        ("192.168.0.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("100.127.0.1", True),
        ("[::1]", True),
        ("[::ffff:10.0.0.1]", True),
        ("[fd00::1]", True),
        ("[fe80::1]", True),
        ("1.2.3.4", False),
        ("109.1.2.3", False),
        ("172.32.0.1", False),
        ("100.63.0.1", False),
        ("100.128.0.1", False),
        ("192.169.0.1", False),
        ("[2001:db8::1]", False),
        ("[2a00:fd00::1]", False),
    ],
)
def test_the_rule_against_ones_own_networks_lets_the_internet_through(host: str, dropped: bool) -> None:  # noqa: FBT001
    (rule,) = [
        rule
        for rule in yaml.safe_load((EXAMPLE / "prometheus.yml").read_text())["scrape_configs"][1][
            "relabel_configs"
        ]
        if rule.get("action") == "drop"
    ]
    assert bool(re.fullmatch(rule["regex"], f"{host}:40022")) == dropped


def test_the_example_is_good_for_promtool() -> None:
    promtool("check", "config", str(EXAMPLE / "prometheus.yml"))
    promtool("check", "rules", str(EXAMPLE / "recording.rules.yml"))


def test_the_rules_record_what_they_say(write: Write) -> None:
    files = [ROOT / "deploy/prometheus/recording.rules.yml", EXAMPLE / "recording.rules.yml"]
    tests = yaml.safe_load((ROOT / "tests/discovery/recording.yml").read_text())
    document = {"rule_files": [*map(str, files)], "evaluation_interval": "1m", "tests": [tests]}
    promtool("test", "rules", str(write(document, "test.yml")))


def test_every_rule_is_explained_and_tested() -> None:
    text = (EXAMPLE / "recording.rules.yml").read_text()
    recorded = [rule["record"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    assert re.findall(r"^# \| (\S+:\S+) \|", text, re.MULTILINE) == recorded
    tested = (ROOT / "tests/discovery/recording.yml").read_text()
    assert all(f"{name}'" in tested or f"{name}," in tested for name in recorded)
