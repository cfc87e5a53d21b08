from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests
from starlette.applications import Starlette
from starlette.routing import Mount

from exporter.simulator import DEMO_KEY, INSTANCES, USER, ManualClock, Reply, SimulatedClock, SimulatedVast
from exporter.web.server import BackgroundServer, listen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from starlette.types import Message, Receive, Scope, Send


def credit(url: str, key: str = DEMO_KEY) -> float:
    reply = requests.get(url + USER, headers={"Authorization": f"Bearer {key}"}, timeout=10)
    reply.raise_for_status()
    found = reply.json()["credit"]
    assert isinstance(found, float)
    return found


def test_it_has_an_address_only_while_it_is_served() -> None:
    vast = SimulatedVast(size=1)
    with vast:
        assert vast.url.startswith("http://127.0.0.1:")
        assert credit(vast.url, vast.key) > 0
    with pytest.raises(RuntimeError, match="not being served"):
        _ = vast.url


def test_two_can_be_served_side_by_side() -> None:
    with SimulatedVast(size=1) as one, SimulatedVast(size=1, key="another") as other:
        assert one.url != other.url
        assert credit(other.url, "another") > 0


def test_the_application_can_be_mounted_in_another() -> None:
    vast = SimulatedVast(size=1)
    outer = Starlette(routes=[Mount("/vast", app=vast.app)])
    with BackgroundServer(outer, listen("127.0.0.1", 0)) as server:
        assert credit(server.url + "/vast") > 0


def test_a_clock_runs_at_its_speed_or_stands_still() -> None:
    real = ManualClock(50.0)
    fast, frozen = SimulatedClock(1000.0, 60.0, real), SimulatedClock(1000.0, 0.0, real)
    real.advance(10)
    assert (fast(), frozen()) == (1600.0, 1000.0)


def test_dropping_a_connection_needs_the_servers_own(caplog: pytest.LogCaptureFixture) -> None:
    vast = SimulatedVast(size=1)
    vast.faults.add(USER, Reply(drop=True))

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def passed_on() -> Message:
            return await receive()

        await vast.app(scope, passed_on, send)

    with BackgroundServer(wrapped, listen("127.0.0.1", 0)) as server:
        headers = {"Authorization": f"Bearer {vast.key}"}
        assert requests.get(server.url + USER, headers=headers, timeout=10).status_code == 500
    assert "only when uvicorn serves the application directly" in caplog.text


def start(*options: str) -> AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "exporter.simulator", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_lines(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    lines: Iterator[str] = iter(process.stdout)
    address, key = next(lines).split(), next(lines).split()
    assert address[:2] == ["listening", "on"]
    assert key[0] == "key"
    return address[2], key[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal_and_ends_with_success(number: signal.Signals) -> None:
    with start("--instances", "30", "--seed", "5", "--speed", "10") as process:
        url, key = first_lines(process)
        reply = requests.get(url + INSTANCES, headers={"Authorization": f"Bearer {key}"}, timeout=10)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert reply.json()["total_instances"] == 30
    assert (process.returncode, errors) == (0, "")


def test_frozen_and_without_thresholds_the_command_says_the_same_whenever_it_is_asked() -> None:
    with start("--frozen", "--no-thresholds", "--instances", "3") as process:
        url, key = first_lines(process)
        headers = {"Authorization": f"Bearer {key}"}
        bodies = [requests.get(url + INSTANCES, headers=headers, timeout=10).content for _ in range(3)]
        process.terminate()
        process.communicate(timeout=60)
    assert len(set(bodies)) == 1
    assert b'"success": true' in bodies[0]


def test_a_port_that_is_taken_is_an_error() -> None:
    with SimulatedVast(size=1) as vast:
        port = vast.url.rsplit(":", 1)[1]
        with start("--port", port) as process:
            process.communicate(timeout=60)
    assert process.returncode == 1
