"""What /sd/instances answers, and to whom."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.commands.configuration import load
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.simulator import INSTANCES, ManualClock, SimulatedVast, json_reply
from exporter.web.access import LiveAccess
from exporter.web.app import create_app
from exporter.web.server import BackgroundServer, listen
from exporter.web.users import PasswordChecks
from tests.web.conftest import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.program import Write

PATH = "/sd/instances"


class Site:
    """A server of a fleet that is walked when a test says so; discovery is on unless it says otherwise."""

    def __init__(self, vast: SimulatedVast, config: Path, access: Path | None = None) -> None:
        loaded = load(config, {"VAST_API_KEY": vast.key, "VAST_URL": vast.url}, {})
        self.poller = Poller(loaded, redact=Redactor(), clock=ManualClock())
        app = create_app(
            Fleet(self.poller),
            telemetry_path="/metrics",
            wall_clock=time.time,
            access=LiveAccess(access),
            passwords=PasswordChecks(),
        )
        self.server = BackgroundServer(app, listen("127.0.0.1", 0))
        self.server.start()

    def walk(self) -> None:
        for loop in self.poller.loops:
            loop.run_once()

    def ask(self, method: str = "GET", **how: object) -> requests.Response:
        return requests.request(method, self.server.url + PATH, timeout=30, **how)  # type: ignore[arg-type]


@pytest.fixture
def serve(vast: SimulatedVast, write: Write) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def begin(access: Path | None = None, *, enabled: bool = True) -> Site:
        config = write({"api": {"min_interval": "0s"}, "discovery": {"enabled": enabled}})
        sites.append(Site(vast, config, access))
        return sites[-1]

    yield begin
    for site in sites:
        site.server.stop()


def test_targets_are_json_in_the_form_that_prometheus_wants(serve: Callable[..., Site]) -> None:
    site = serve()
    site.walk()
    reply = site.ask()
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.headers["Cache-Control"] == "no-store"
    found = reply.json()
    assert len(found) > 30
    for group in found:
        assert set(group) == {"targets", "labels"}
        assert all(isinstance(text, str) for text in (*group["targets"], *group["labels"].values()))
        assert all(name.startswith("__meta_vastai_") for name in group["labels"])


def test_head_tells_the_same_without_a_body(serve: Callable[..., Site]) -> None:
    site = serve()
    site.walk()
    reply, whole = site.ask("HEAD"), site.ask()
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["Content-Length"] == str(len(whole.content))
    assert reply.headers["Content-Type"] == "application/json"


def test_other_methods_are_refused(serve: Callable[..., Site]) -> None:
    assert serve().ask("POST").status_code == 405


def test_before_the_first_walk_it_is_503_and_names_the_account(serve: Callable[..., Site]) -> None:
    reply = serve().ask()
    assert (reply.status_code, reply.text) == (503, "not read yet: account 'default'\n")


def test_while_discovery_is_off_there_is_nothing(serve: Callable[..., Site]) -> None:
    site = serve(enabled=False)
    site.walk()
    reply = site.ask()
    assert (reply.status_code, reply.text) == (404, "discovery is disabled\n")


def test_only_users_see_targets(
    serve: Callable[..., Site], write: Write, hashed: Callable[[str], str]
) -> None:
    site = serve(write({"basic_auth_users": {"alice": hashed("secret")}}, "web.yml"))
    assert site.ask().status_code == 401
    site.walk()
    assert site.ask().status_code == 401
    assert site.ask(auth=("alice", "wrong")).status_code == 401
    assert site.ask(auth=("alice", "secret")).status_code == 200


def test_a_thousand_ports_are_sent_whole_while_a_slow_reader_and_health_are_served(
    serve: Callable[..., Site], vast: SimulatedVast
) -> None:
    ports = {f"{port}/tcp": [{"HostPort": str(port)}] for port in range(1, 2001)}
    rows = [
        {"id": i, "actual_status": "running", "public_ipaddr": f"203.0.113.{i}", "ports": ports}
        for i in range(1, 21)
    ]
    vast.faults.always(INSTANCES, json_reply({"instances": rows, "next_token": None}))
    site = serve()
    site.walk()
    address = site.server.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=30) as slow:
        slow.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        found: list[list[object]] = []
        readers = [threading.Thread(target=lambda: found.append(site.ask().json())) for _ in range(4)]
        for reader in readers:
            reader.start()
        assert requests.get(site.server.url + "/-/healthy", timeout=30).status_code == 200
        for reader in readers:
            reader.join()
    assert [len(groups) for groups in found] == [40_000] * 4


def test_a_label_of_any_text_is_the_same_text_in_json(
    serve: Callable[..., Site], vast: SimulatedVast
) -> None:
    label = 'a "b" \\ \n\t\u2028 équipe \U0001f600 </script>'
    row = {
        "id": 7,
        "actual_status": "running",
        "label": label,
        "public_ipaddr": "2001:db8::7",
        "ports": {"22/tcp": [{"HostPort": "40001"}]},
    }
    vast.faults.always(INSTANCES, json_reply({"instances": [row], "next_token": None}))
    site = serve()
    site.walk()
    (group,) = json.loads(site.ask().content)
    assert (group["targets"], group["labels"]["__meta_vastai_label"]) == (["[2001:db8::7]:40001"], label)
