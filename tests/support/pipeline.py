"""The way of the data, from replies to /metrics: a scripted API on loopback, clocks that tests move."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.collectors import COLLECTORS
from exporter.collectors import account as account_collector
from exporter.collectors import instances as instances_collector
from exporter.collectors.base import Run, Store
from exporter.config.models import CollectorSettings, Limits
from exporter.exposition.body import Exposition, Source
from exporter.exposition.self_metrics import SelfMetrics
from exporter.metrics.fields import Problems
from exporter.simulator import ManualClock
from exporter.vast.client import Client, Options
from exporter.vast.errors import ApiError
from exporter.vast.network import Network
from exporter.vast.pace import Paces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from exporter.collectors.base import Collector, Progress

    Row = Mapping[str, Any]
    #: A metric's name and its labels.
    Series = tuple[str, frozenset[tuple[str, str]]]
    Samples = dict[Series, float]


#: What /metrics looked like when it was last looked at.
GOLDEN = Path(__file__).parents[1] / "exposition" / "golden"


class Api:
    """Answers each request with the next of `replies`, and with `otherwise` when there are no more."""

    def __init__(self) -> None:
        self.replies: deque[tuple[int, bytes]] = deque()
        self.otherwise = 500, b""
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body leave together

            def do_GET(self) -> None:  # the name is the standard library's
                api.asked.append(self.path)
                status, body = api.replies.popleft() if api.replies else api.otherwise
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Account:
    """One account, and what becomes of the replies that it gets.

    Attributes:
        filters: its `select_filters`.
        stores: what is known, by collector.
        settings: what is not as usual, by collector.
        problems: values that were no use.

    """

    def __init__(self, name: str, exporter: Exporter) -> None:
        self.name = name
        self.filters: dict[str, Any] = {}
        self.stores: dict[str, Store] = {}
        self.settings: dict[str, CollectorSettings] = {}
        self.problems = Problems()
        self._exporter = exporter

    @property
    def unreadable(self) -> dict[str, int]:
        """How many values of each field could not be read, where there were any."""
        return dict(+self.problems.unreadable)

    @property
    def out_of_range(self) -> dict[str, int]:
        """How many values of each field can't be true, where there were any."""
        return dict(+self.problems.out_of_range)

    def collect(self, collector: Collector, *replies: Row) -> list[Progress]:
        """Run a collector, which gets these replies."""
        return list(self.start(collector, *replies))

    def start(self, collector: Collector, *replies: Row) -> Iterator[Progress]:
        """Run a collector, which gets these replies, a reply at a time."""
        self._exporter.api.replies.clear()
        self._exporter.api.replies += [(200, json.dumps(reply).encode()) for reply in replies]
        return collector.collect(self._run(collector))

    def walk(self, *pages: Sequence[Row], total: object = None) -> list[Progress]:
        """Walk over pages of rows, up to their end."""
        return list(self.pages(*pages, total=total))

    def pages(self, *pages: Sequence[Row], total: object = None) -> Iterator[Progress]:
        """Walk over pages of rows, a page at a time."""
        promised = sum(map(len, pages)) if total is None else total
        tokens = [*(f"page {number}" for number in range(2, len(pages) + 1)), None]
        replies = [
            {"total_instances": promised, "next_token": token, "instances": rows}
            for rows, token in zip(pages, tokens, strict=True)
        ]
        return self.start(instances_collector.COLLECTOR, *replies)

    def broken_walk(self, *pages: Sequence[Row]) -> None:
        """Walk over pages of rows, with one more that is promised and can't be had."""
        walk = self.pages(*pages, [])
        self._exporter.api.replies[-1] = (400, b'{"error": "invalid_token"}')
        with pytest.raises(ApiError):
            list(walk)

    def ask(self, reply: Row) -> None:
        """Ask for the account's credit."""
        self.collect(account_collector.COLLECTOR, reply)

    def values(self, instance: int | None = None) -> dict[str, float]:
        """Return the per-instance values of an instance, or else those of the account itself, by metric."""
        return {name: value for (name, _), value in self._samples(instance).items()}

    def labels(self, instance: int, metric: str) -> dict[str, str]:
        """Return the labels of one metric of an instance, but for those that identify it."""
        (found,) = [dict(labels) for (name, labels) in self._samples(instance) if name == metric]
        return {name: value for name, value in found.items() if name not in {"account", "instance_id"}}

    def _samples(self, instance: int | None) -> Samples:
        parts = self.stores["account" if instance is None else "instances"].snapshot.parts
        text = b"".join(chunk for part in parts for chunk in part.lines.text.values())
        samples = self._exporter.parsed(text)
        wanted = {("account", self.name), *([("instance_id", str(instance))] if instance is not None else ())}
        return {series: value for series, value in samples.items() if wanted <= series[1]}

    def _run(self, collector: Collector) -> Run:
        def report(problems: Problems) -> None:
            self.problems.unreadable.update(problems.unreadable)
            self.problems.out_of_range.update(problems.out_of_range)
            self._exporter.self_metrics.problems(self.name, collector.name, problems)

        return Run(
            account=self.name,
            client=self._exporter.client,
            filters=self.filters,
            settings=self.settings.get(collector.name) or collector.settings(),
            limits=self._exporter.limits,
            store=self.stores[collector.name],
            clock=self._exporter.clock,
            wall_clock=self._exporter.wall_clock,
            report=report,
        )


class Exporter:
    """Accounts, and the exposition of what is known of them."""

    def __init__(self, api: Api, client: Client, most_labels: int, collectors: Sequence[Collector]) -> None:
        self.limits = Limits(labels=most_labels)
        self.api = api
        self.client = client
        self.collectors = collectors
        self.clock = ManualClock(1000.0)
        self.wall_clock = ManualClock()
        self.self_metrics = SelfMetrics(version="1.2.3", revision="abc1234", python_version="3.11.2")
        self.sources: list[Source] = []
        self.exposition = Exposition(
            lambda: self.sources,
            self.self_metrics,
            clock=self.clock,
            most_labels=most_labels,
            metrics=[metric for collector in collectors for metric in collector.metrics],
        )

    def account(self, name: str = "research") -> Account:
        """Add an account; what is found is shown for as long as is usual for its collector."""
        added = Account(name, self)
        for collector in self.collectors:
            store = added.stores[collector.name] = Store()
            self.sources.append(Source(name, collector, store, collector.stale_after))
        return added

    def scrape(self, *, openmetrics: bool = False, compressed: bool = False) -> bytes:
        """Return what a scrape gets, decompressed."""
        body = self.exposition.body(openmetrics=openmetrics, gzip=compressed, process=False)
        content = b"".join(body.pieces)
        assert body.length == len(content)
        return gzip.decompress(content) if compressed else content

    def samples(self, *, openmetrics: bool = False) -> Samples:
        """Return what a scrape gets, as prometheus_client reads it."""
        return self.parsed(self.scrape(openmetrics=openmetrics), openmetrics=openmetrics)

    def parsed(self, text: bytes, *, openmetrics: bool = False) -> Samples:
        """Return the samples of a text; no series may be there twice."""
        parse = parse_openmetrics if openmetrics else parse_text
        found: Samples = {}
        for family in parse(text.decode()):
            for name, labels, value, *_ in family.samples:
                assert (name, frozenset(labels.items())) not in found
                found[name, frozenset(labels.items())] = value
        return found


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    served = Api()
    yield served
    served.close()


@pytest.fixture(scope="module")
def new_exporter(api: Api) -> Callable[..., Exporter]:
    """Makes exporters, for tests that need a new one for each example."""
    still = ManualClock(0.0)
    options = Options(
        urls={"api": api.url, "run": api.url},
        timeout=30.0,
        user_agent="tests",
        network=Network(),
        paces=Paces(clock=still, min_interval=0.0),
        clock=still,
        wall_clock=still,
        jitter=lambda: 0.0,
    )
    client = Client(options, key=lambda: "a-key", wait=lambda _: None, observe=lambda _: None)

    def make(*, most_labels: int = 200, collectors: Sequence[Collector] = COLLECTORS) -> Exporter:
        api.replies.clear()
        api.asked.clear()
        return Exporter(api, client, most_labels, collectors)

    return make


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter()


@pytest.fixture
def account(exporter: Exporter) -> Account:
    return exporter.account()


@pytest.fixture
def promtool() -> Callable[[bytes], str]:
    """Returns what `promtool check metrics` has against a text; VASTAI_PROMTOOL names another than PATH's."""
    found = os.environ.get("VASTAI_PROMTOOL") or shutil.which("promtool")
    if not found:
        pytest.fail("promtool is not installed: it comes with Debian's package prometheus")

    def check(text: bytes) -> str:
        done = subprocess.run([found, "check", "metrics"], input=text, capture_output=True, check=False)
        return (done.stdout + done.stderr).decode() or f"exit code {done.returncode}" * (done.returncode != 0)

    return check


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Compares bytes with a file of golden/; with --update-golden it writes the file first."""
    update = request.config.getoption("--update-golden", default=False)

    def check(name: str, content: bytes) -> None:
        path = GOLDEN / name
        if update:
            path.write_bytes(content)
        assert content.decode() == path.read_bytes().decode()

    return check


@pytest.fixture(scope="session")
def whole_row() -> dict[str, Any]:
    """An instance of which the API says everything; without an id."""
    return {
        "actual_status": "running",
        "intended_status": "running",
        "cur_state": "running",
        "next_state": "running",
        "label": "llama-70b",
        "gpu_name": "RTX 4090",
        "image_uuid": "vllm/vllm-openai:v0.6.3",
        "template_name": "vLLM",
        "machine_id": 12345,
        "host_id": 678,
        "geolocation": "Norway, NO",
        "verification": "verified",
        "is_bid": False,
        "credit_balance": 4.5,
        "num_gpus": 2,
        "gpu_frac": 0.25,
        "gpu_util": 97.0,
        "gpu_temp": 71,
        "vmem_usage": 0.5,
        "gpu_ram": 24564,
        "gpu_totalram": 49128,
        "cpu_util": 13.5,
        "cpu_cores": 64,
        "cpu_cores_effective": 16.0,
        "cpu_ram": 257776,
        "mem_usage": 0.00996352,
        "mem_limit": 15.71815424,
        "disk_space": 32.0,
        "disk_usage": 8.25,
        "disk_util": 0.2578125,
        "inet_up": 812.5,
        "inet_down": 934.1,
        "inet_up_billed": 16358262.6,
        "inet_down_billed": 1782579,
        "inet_up_cost": 0.02,
        "inet_down_cost": 0.0,
        "dph_total": 0.5438,
        "dph_base": 0.5333,
        "storage_total_cost": 0.0105,
        "min_bid": 0.31,
        "instance": {"discountedTotalPerHour": 0.43504, "totalHour": 0.5438},
        "credit_discount": 0.2,
        "credit_discount_max": 0.4,
        "start_date": 1754000000.5,
        "end_date": 1786000000,
        "uptime_mins": 90,
        "reliability2": 0.9987,
        "dlperf": 58.125,
        "total_flops": 165.2,
        "gpu_mem_bw": 1008.0,
        "pcie_bw": 25.3,
        "bw_nvlink": 0,
        "disk_bw": 3500.0,
        "gpu_lanes": 16,
        "pci_gen": 4,
        "rentable": True,
        "static_ip": False,
        "external": False,
    }
