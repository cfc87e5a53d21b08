"""What is answered on each path, in which format, and to how many at once."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from gzip import decompress
from random import Random
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.applications import Starlette
from starlette.routing import Route

from exporter.commands.configuration import load
from exporter.commands.serve import Service
from exporter.exposition.body import OPENMETRICS, PIECE, TEXT
from exporter.logs import Redactor
from exporter.metrics.snapshot import Lines, Part, Snapshot
from exporter.polling.loop import HUNG_AFTER
from exporter.simulator import INSTANCES, ManualClock, SimulatedVast
from exporter.web.app import Metrics, create_app
from exporter.web.negotiation import wants_gzip, wants_openmetrics
from exporter.web.server import BackgroundServer, listen
from tests.support.driven_site import SCRIPT, DrivenSite
from tests.support.program import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Message

    from exporter.simulator import Reply
    from tests.support.program import Write

pytestmark = pytest.mark.private_parts

PAGES = ("/", "/metrics", "/-/healthy", "/-/ready", "/healthz", "/readyz")
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture
def site(driven_site: DrivenSite) -> DrivenSite:
    return driven_site


# Paths and methods


def ask(site: DrivenSite, method: str, path: str) -> tuple[int, HTTPMessage, bytes]:
    """Ask without any of the help that `requests` gives."""
    connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def test_head_says_what_get_would_but_for_the_body(site: DrivenSite) -> None:
    site.run_all()
    for path in PAGES:
        status, headers, body = ask(site, "GET", path)
        head_status, head_headers, head_body = ask(site, "HEAD", path)
        assert (path, status, len(body)) == (path, 200, int(headers["Content-Length"]))
        assert (path, head_status, head_body) == (path, 200, b"")
        assert head_headers["Content-Type"] == headers["Content-Type"]
        # The exporter's own CPU seconds may have grown by some digits in between.
        grown = abs(int(head_headers["Content-Length"]) - len(body))
        assert grown < (50 if path == "/metrics" else 1)


def test_other_methods_are_refused_with_those_that_are_allowed(site: DrivenSite) -> None:
    for path in PAGES:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            status, headers, _ = ask(site, method, path)
            assert (path, method, status) == (path, method, 405)
            assert set(headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_other_paths_are_not_found(site: DrivenSite) -> None:
    for path in (
        "/metrics/",
        "/Metrics",
        "//metrics",
        "/healthz/",
        "/-/",
        "/favicon.ico",
        "/../metrics",
        "/%00",
    ):
        assert (path, ask(site, "GET", path)[0]) == (path, 404)


def test_a_query_changes_nothing(site: DrivenSite) -> None:
    assert ask(site, "GET", "/metrics?name[]=up")[0] == 200


def test_the_metrics_are_where_they_were_told_to_be(site: DrivenSite) -> None:
    app = create_app(site, telemetry_path="/a/b", wall_clock=site.wall_clock)
    with BackgroundServer(app, listen("127.0.0.1", 0)) as server:
        site.url = server.url
        assert site.get("/a/b").status_code == 200
        assert site.get("/metrics").status_code == 404
        assert 'href="/a/b"' in site.get("/").text


# Formats


FORMATS = {
    PROMETHEUS_2: OPENMETRICS,
    PROMETHEUS_3: OPENMETRICS,
    BROWSER: TEXT,
    "": TEXT,
    "*/*": TEXT,
    "text/plain": TEXT,
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1": TEXT,
    "application/openmetrics-text": OPENMETRICS,
    "APPLICATION/OpenMetrics-Text; Version=1.0.0; Q=0.3": OPENMETRICS,
    'application/openmetrics-text; version="1.0.0"': OPENMETRICS,
    "application/openmetrics-text;version=0.0.1": OPENMETRICS,
    "application/openmetrics-text;version=2.0.0": TEXT,
    "application/openmetrics-text;q=0": TEXT,
    "application/openmetrics-text;q=0.4,text/plain;q=0.5": TEXT,
    "application/openmetrics-text;q=0.5,text/plain;q=0.5": OPENMETRICS,
    "application/openmetrics-text;q=high": TEXT,
    "application/openmetrics-text;q=0.2,*/*;q=0.8": TEXT,
    "application/openmetrics-text;q=0.2,text/*;q=0.8,*/*;q=0.1": TEXT,
    "application/openmetrics-text;q=0.5,text/plain;q=0.4,*/*": OPENMETRICS,
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": TEXT,
    ",;;q=,=;,,": TEXT,
}
ENCODINGS = {
    "gzip": True,
    "GZip;q=0.1": True,
    "x-gzip": True,
    "gzip, deflate, br, zstd": True,
    "deflate, *": True,
    "gzip;q=0.2,identity;q=0.8": False,
    "gzip;q=0.8,identity;q=0.2": True,
    "gzip;q=0.5,identity;q=0.5": True,
    "*;q=0.2,identity;q=0.8": False,
    "gzip;q=0.2,br": True,
    "gzip, identity;q=0": True,
    "*;q=0": False,
    "gzip;q=0": False,
    "gzip;q=0.000, *": False,
    "identity": False,
    "": False,
    "zstd": False,
    ";gzip": False,
}


def test_the_format_is_the_one_that_is_liked_best(site: DrivenSite) -> None:
    site.run_all()
    for accept, expected in FORMATS.items():
        answer = site.get("/metrics", Accept=accept)
        assert (accept, answer.headers["Content-Type"]) == (accept, expected)
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"


def test_each_format_is_read_by_its_parser(site: DrivenSite) -> None:
    site.run_all()
    for accept, parse in ((PROMETHEUS_3, parse_openmetrics), ("", parse_text)):
        found = {family.name: family for family in parse(site.get("/metrics", Accept=accept).text)}
        assert sum(sample.value for sample in found["vastai_instances"].samples) == 60
        assert len(found["vastai_instance_info"].samples) == 60


def test_gzip_is_for_those_who_take_it(site: DrivenSite) -> None:
    site.run_all()
    for accepted, expected in ENCODINGS.items():
        answer = site.get("/metrics", Accept_Encoding=accepted)
        assert (accepted, answer.headers.get("Content-Encoding")) == (accepted, "gzip" if expected else None)
        assert int(answer.headers["Content-Length"]) == answer.raw.tell()
        assert answer.text.count("\nvastai_instance_info{") == 60


def test_several_headers_count_as_one(site: DrivenSite) -> None:
    with socket.create_connection(("127.0.0.1", int(site.url.rsplit(":", 1)[1]))) as client:
        client.sendall(
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Accept: text/html\r\nAccept: application/openmetrics-text\r\n"
            b"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n\r\n"
        )
        head = client.makefile("rb").read().partition(b"\r\n\r\n")[0].lower()
    assert b"content-type: application/openmetrics-text" in head
    assert b"content-encoding: gzip" in head


PIECES_OF_HEADERS = [*'gzip,;=q*.019 "', "application/openmetrics-text", "text/plain", "version=", "q="]


@given(st.text() | st.lists(st.sampled_from(PIECES_OF_HEADERS), max_size=30).map("".join))
def test_any_header_has_an_answer(header: str) -> None:
    assert wants_openmetrics(header) in {True, False}
    assert wants_gzip(header) in {True, False}


# Pages of others

OWN = "{host}"
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://[bad"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{OWN}"},
    {"Origin": f"http://{OWN}.evil.example"},
]
OURS = [
    {},
    {"Origin": f"http://{OWN}"},
    {"Origin": f"https://{OWN}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{OWN}"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize(
    ("headers", "status"), [(each, 403) for each in FOREIGN] + [(each, 200) for each in OURS]
)
def test_a_page_of_another_site_can_not_make_a_browser_reload(
    site: DrivenSite, headers: dict[str, str], status: int
) -> None:
    host = site.url.removeprefix("http://")

    filled = {name: value.replace(OWN, host) for name, value in headers.items()}
    answer = requests.post(f"{site.url}/-/reload", headers=filled, timeout=30)

    assert answer.status_code == status
    assert site.reloads == (status == 200)
    assert not any(name.lower().startswith("access-control-") for name in answer.headers)


# Health and readiness


def test_it_is_ready_when_every_first_run_has_ended_well_or_not(site: DrivenSite) -> None:
    before = site.get("/-/ready")
    assert before.status_code == site.get("/readyz").status_code == 503
    assert before.text.splitlines() == [
        "account 'research', collector instances: the first run has not finished",
        "account 'research', collector account: the first run has not finished",
        f"account '{SCRIPT}', collector instances: the first run has not finished",
        f"account '{SCRIPT}', collector account: the first run has not finished",
    ]
    for loop in site.loops[:3]:
        loop.run_once()
    assert (
        site.get("/readyz").text == f"account '{SCRIPT}', collector account: the first run has not finished\n"
    )
    site.loops[3].run_once()
    for path in ("/-/ready", "/readyz"):
        assert (site.get(path).status_code, site.get(path).text) == (200, "ready\n")


def test_once_ready_it_stays_ready_when_an_account_is_added(vast: SimulatedVast, write: Write) -> None:
    def configured(*names: str) -> None:
        accounts = [{"name": name, "api_key": vast.key} for name in names]
        write({"api": {"url": vast.url, "min_interval": "0s"}, "accounts": accounts})

    configured("research")
    read = partial(load, write("", "unused").parent / "config.yaml", {}, {})
    service = Service(read(), read=read, redact=Redactor(), revision="", intervals={})
    app = create_app(service, telemetry_path="/metrics", wall_clock=ManualClock())
    with BackgroundServer(app, listen("127.0.0.1", 0)) as server:

        def ready() -> int:
            return requests.get(f"{server.url}/-/ready", timeout=30).status_code

        assert ready() == 503
        for loop in service.loops:
            loop.run_once()
        assert ready() == 200
        configured("research", "added")

        assert requests.post(f"{server.url}/-/reload", timeout=30).text == "reloaded\n"

        assert len(service.loops) == 4
        assert ready() == 200
        text = requests.get(f"{server.url}/metrics", timeout=30).text
        assert '\nvastai_collector_success{account="research",collector="instances"} 1\n' in text
        assert '\nvastai_collector_success{account="added",collector="instances"} 0\n' in text


def test_a_loop_that_gives_no_sign_is_named(site: DrivenSite) -> None:
    for path in ("/-/healthy", "/healthz"):
        assert (site.get(path).status_code, site.get(path).text) == (200, "healthy\n")
    site.clock.advance(HUNG_AFTER + 5)
    for loop in site.loops[1:]:
        loop.step()
    answer = site.get("/-/healthy")
    assert answer.status_code == site.get("/healthz").status_code == 503
    assert answer.text == "account 'research', collector instances: stalled, 5 s overdue\n"
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_failing_runs_are_no_matter_of_health(site: DrivenSite) -> None:
    site.run_all()
    assert not site.loops[3].runs.success
    assert site.get("/-/healthy").status_code == 200


# Many at once


def test_scrapes_during_a_walk_see_all_of_an_account_or_nothing(vast: SimulatedVast, write: Write) -> None:
    def slowly(_: Mapping[str, str], due: Reply) -> Reply:
        return replace(due, delay=0.05)

    path = write(
        f"api: {{url: '{vast.url}', min_interval: 0s}}\naccounts: [{{name: research, api_key: {vast.key}}}]\n"
        "collectors: {instances: {interval: 1s}}"
    )
    vast.faults.always(INSTANCES, slowly)
    read = partial(load, path, {}, {})
    service = Service(read(), read=read, redact=Redactor(), revision="", intervals={})
    poller = service.poller
    app = create_app(service, telemetry_path="/metrics", wall_clock=ManualClock())

    def scrape(index: int) -> int:
        headers = {
            "Accept-Encoding": "gzip" if index % 2 else "identity",
            "Accept": PROMETHEUS_2 if index % 3 else "",
        }
        answer = requests.get(f"{server.url}/metrics", headers=headers, timeout=30)
        assert answer.status_code == 200
        assert answer.text.endswith("# EOF\n" if index % 3 else "\n")
        return answer.text.count("\nvastai_instance_info{")

    with BackgroundServer(app, listen("127.0.0.1", 0)) as server, ThreadPoolExecutor(8) as pool:
        before = scrape(0)
        poller.start()
        found = list(pool.map(scrape, range(200)))
        until = time.monotonic() + PATIENCE
        while found[-1] != 60:
            assert time.monotonic() < until, "the walk does not end"
            found.append(scrape(0))
        poller.stop()
    assert before == 0
    assert set(found) <= {0, 60}


def test_a_scrape_shows_what_the_last_run_found(site: DrivenSite, vast: SimulatedVast) -> None:
    site.run_all()
    gone = vast.fleet.roster.ids()[7]
    assert f'instance_id="{gone}"' in site.get("/metrics").text
    vast.fleet.destroy(gone)
    site.run_all()
    text = site.get("/metrics").text
    assert f'instance_id="{gone}"' not in text
    assert text.count("\nvastai_instance_info{") == 59


@pytest.fixture
def large(site: DrivenSite) -> int:
    """A fleet whose compressed lines are many times what a connection's buffers take; return their number."""
    numbers = Random(1)

    def part(after: int) -> Part[int, None]:
        lines = b"".join(
            b'vastai_instance_info{account="research",instance_id="%d"} %.17g\n' % (i, numbers.random())
            for i in range(after + 1, after + 1001)
        )
        return Part(
            confirmed=site.clock(),
            lines=Lines(text={"vastai_instance_info": lines}),
            items={},
            after=after,
            upto=after + 1000,
        )

    parts = tuple(part(after) for after in range(0, 300_000, 1000))
    site.loops[0].store.snapshot = Snapshot(parts=parts)
    return 300_000


def test_who_takes_nothing_is_handed_one_piece_and_holds_nobody_up(site: DrivenSite, large: int) -> None:
    headers = [(b"accept-encoding", b"gzip")]
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers}
    handed: list[list[int]] = [[] for _ in range(20)]
    taken: list[bytes] = []

    async def scenario() -> None:
        async def receive() -> Message:
            raise AssertionError

        async def stuck(index: int) -> None:
            async def send(message: Message) -> None:
                handed[index].append(len(message.get("body", b"")))
                if message["type"] == "http.response.body":
                    handed_over.release()
                    await asyncio.Event().wait()

            await app(scope, receive, send)

        async def take(message: Message) -> None:
            taken.append(message.get("body", b""))

        app = Metrics(site)
        handed_over = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(stuck(index)) for index in range(20)]
        await app(scope, receive, take)
        for _ in tasks:
            await handed_over.acquire()
        for task in tasks:
            task.cancel()

    asyncio.run(scenario())
    assert decompress(b"".join(taken)).count(b"\nvastai_instance_info{") == large
    assert len(taken) > 10
    assert all(len(sizes) == 2 and sum(sizes) <= 2 * PIECE for sizes in handed)


def test_slow_readers_get_theirs_whole_after_a_fast_one_has_its_own(site: DrivenSite, large: int) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", int(site.url.rsplit(":", 1)[1]))) for _ in range(20)]
    for reader in slow:
        reader.sendall(request)
    heads = [reader.recv(15) for reader in slow]
    fast = site.get("/metrics", Accept_Encoding="gzip").text
    assert fast.count("\nvastai_instance_info{") == large
    assert heads == [b"HTTP/1.1 200 OK"] * 20
    for reader in slow:
        with reader, reader.makefile("rb") as file:
            body = file.read().partition(b"\r\n\r\n")[2]
        assert decompress(body).count(b"\nvastai_instance_info{") == large


# The server


def test_without_a_host_it_listens_on_every_address_of_both_families() -> None:
    sock = listen("", 0)
    port = sock.getsockname()[1]
    with BackgroundServer(Starlette(), sock) as server:
        assert server.url == f"http://localhost:{port}"
        for host in ("127.0.0.1", "[::1]"):
            assert requests.get(f"http://{host}:{port}/", timeout=30).status_code == 404


def test_an_ipv6_address_is_written_with_brackets() -> None:
    with BackgroundServer(Starlette(), listen("::1", 0)) as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert requests.get(server.url, timeout=30).status_code == 404


def test_an_address_that_is_taken_or_not_ours_is_an_error() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="Address already in use"):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(OSError, match="Cannot assign"):
        listen("192.0.2.1", 0)


def test_whoever_waits_is_told_that_the_server_has_ended() -> None:
    ended = threading.Event()
    server = BackgroundServer(Starlette(), listen("127.0.0.1", 0), stopped=ended.set)
    server.start()
    assert not ended.is_set()
    server.stop()
    assert ended.is_set()


def test_a_fault_of_ours_is_an_answer_500_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Request) -> Response:
        raise RuntimeError("ours")

    with BackgroundServer(Starlette(routes=[Route("/", fail)]), listen("127.0.0.1", 0)) as server:
        assert requests.get(server.url, timeout=30).status_code == 500
        assert requests.get(server.url, timeout=30).text == "Internal Server Error"
    assert "RuntimeError: ours" in caplog.text
