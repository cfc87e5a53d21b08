"""The other host, which is asked for workers: as configured, alone when it fails, and no way to a third."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.simulator import Reply
from exporter.simulator.endpoints.serverless import ENDPOINT_JOBS, ENDPOINT_WORKERS
from exporter.simulator.fleet.serverless import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.simulator import SimulatedVast
    from tests.support.program import Program, Start, Write

PAGES = ("/metrics", "/", "/-/healthy", "/-/ready")


@pytest.fixture
def third() -> Iterator[socket.socket]:
    """A host that nobody has configured; it listens, and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


@pytest.fixture
def begin(
    start: Start, write: Write, settings: dict[str, Any], vast: SimulatedVast
) -> Callable[..., Program]:
    def run(run_url: str = vast.run_url) -> Program:
        settings["api"]["run_url"] = run_url
        settings["collectors"] = {"serverless": {"enabled": True, "interval": "1s", "stale_after": "5m"}}
        return start("--config.file", str(write(settings)), "--log.level", "debug")

    return run


def finished(program: Program, outcome: str) -> str:
    """Wait for a run of the collector, and return what /metrics says of it and its endpoints."""
    program.line(f"account=research collector=serverless outcome={outcome}")
    program.line("account=research collector=instances outcome=success")
    return requests.get(f"{program.url()}/metrics", timeout=30).text


def of_workers(vast: SimulatedVast) -> list[dict[str, Any]]:
    """Return every worker as the API tells of it."""
    headers = {"Authorization": f"Bearer {vast.key}"}
    found: list[dict[str, Any]] = []
    for endpoint in ENDPOINTS:
        url = vast.run_url + ENDPOINT_WORKERS
        reply = requests.post(url, json={"id": endpoint.id}, headers=headers, timeout=30).json()
        found += reply if isinstance(reply, list) else reply.get("workers", [])
    return found


def test_workers_are_asked_for_at_the_host_that_is_configured(
    begin: Callable[..., Program], vast: SimulatedVast
) -> None:
    metrics = finished(begin(), "success")
    workers = of_workers(vast)
    assert workers
    for worker in workers:
        assert f'instance_id="{worker["id"]}"}} 1\n' in metrics
    assert metrics.count("vastai_endpoint_instance{") == len(workers)
    asked = [one for one in vast.requests if one.endpoint == ENDPOINT_WORKERS and "vastai" in one.user_agent]
    assert [one.body for one in asked[:3]] == [{"id": number} for number in sorted(e.id for e in ENDPOINTS)]
    assert all(one.method == "POST" for one in asked)


def test_no_key_of_an_endpoint_and_no_address_of_a_worker_is_shown(
    begin: Callable[..., Program], vast: SimulatedVast
) -> None:
    headers = {"Authorization": f"Bearer {vast.key}"}
    rows = requests.get(vast.url + ENDPOINT_JOBS, headers=headers, timeout=30).json()["results"]
    secrets = {row["api_key"] for row in rows} | {worker["url"] for worker in of_workers(vast)} | {vast.key}
    program = begin()
    finished(program, "success")
    url = program.url()
    shown = [requests.get(url + page, timeout=30).text for page in PAGES]
    assert program.end() == 0
    assert len(secrets) > len(ENDPOINTS)
    assert not [secret for secret in secrets for text in (*shown, program.errors) if secret in text]


def test_a_host_that_is_down_takes_nothing_with_it_but_the_workers(begin: Callable[..., Program]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    metrics = finished(begin(f"http://127.0.0.1:{port}"), "failure")
    assert 'vastai_collector_success{account="research",collector="serverless"} 0' in metrics
    assert 'vastai_collector_success{account="research",collector="instances"} 1' in metrics
    assert 'reason="network"} 1' in metrics
    assert metrics.count("vastai_endpoint_info{") == len(ENDPOINTS)
    assert "vastai_endpoint_workers{" not in metrics
    assert "vastai_endpoint_instance{" not in metrics


def test_a_redirect_to_a_third_host_is_not_followed(
    begin: Callable[..., Program], vast: SimulatedVast, third: socket.socket
) -> None:
    port = third.getsockname()[1]
    moved = Reply(302, b"", {"location": f"http://127.0.0.1:{port}{ENDPOINT_WORKERS}"})
    vast.faults.always(ENDPOINT_WORKERS, moved)
    metrics = finished(begin(), "failure")
    assert 'collector="serverless",reason="bad_reply"} 1' in metrics
    with pytest.raises(BlockingIOError):
        third.accept()


def test_nothing_is_asked_of_it_while_the_collector_is_off(
    start: Start, write: Write, settings: dict[str, Any], third: socket.socket, vast: SimulatedVast
) -> None:
    settings["api"]["run_url"] = f"http://127.0.0.1:{third.getsockname()[1]}"
    program = start("--config.file", str(write(settings)))
    program.line("account=research collector=account outcome=success")
    assert program.end() == 0
    assert not [one for one in vast.requests if one.endpoint in {ENDPOINT_JOBS, ENDPOINT_WORKERS}]
    with pytest.raises(BlockingIOError):
        third.accept()
