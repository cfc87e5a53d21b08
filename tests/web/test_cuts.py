"""A connection that is cut leaves a trace: a number, and a line of the log unless there are many."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from exporter.simulator import ManualClock
from exporter.web.cuts import Cuts
from exporter.web.rationed_log import MOST_LINES, WINDOW, RationedLog
from tests.web.conftest import PATIENCE, Site, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., Site]

pytestmark = pytest.mark.private_parts

ASK = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record)["fields"] for record in caplog.records if record.msg == "client connection closed"]


def ends(client: socket.socket) -> None:
    """Wait until the server has ended a connection."""
    with suppress(ConnectionError):
        while client.recv(65536):
            pass


def slow_reader(site: Site) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(site.address)
    client.sendall(SCRAPE)
    assert client.recv(9) == b"HTTP/1.1 "
    return client


@pytest.mark.parametrize("begun", [b"", b"GET /met"], ids=["nothing", "half a request"])
def test_who_sends_no_request_in_time(serve: Serve, begun: bytes, caplog: pytest.LogCaptureFixture) -> None:
    site = serve()
    with site.connect() as client:
        client.sendall(begun)
        wait_until(lambda: site.connections == 1)
        site.clock.advance(11)
        ends(client)

    assert site.cuts == ["slow_request"]
    assert told(caplog) == [{"client": "127.0.0.1", "reason": "slow_request", "more": 0}]


def test_who_does_not_take_the_answer_in_time(serve: Serve) -> None:
    site = serve()
    with slow_reader(site):
        site.clock.advance(61)
        wait_until(lambda: site.connections == 0)

    assert site.cuts == ["slow_reader"]


@pytest.mark.parametrize("sent", [b"GET /" + b"a" * 20_000, ASK[:-2] + b"X-A: " + b"a" * 20_000])
def test_who_sends_too_large_a_head(serve: Serve, sent: bytes) -> None:
    site = serve()
    with site.connect() as client:
        client.sendall(sent + b"\r\n\r\n" + b"a" * 20_000)
        ends(client)

    wait_until(lambda: site.cuts == ["too_large"])


def test_who_asks_for_too_much_at_once(serve: Serve) -> None:
    site = serve(pipelined=3)
    with site.connect() as client, suppress(ConnectionError):
        client.sendall(1000 * ASK)
        ends(client)

    wait_until(lambda: site.cuts == ["too_many_requests"])


def test_who_makes_room_for_others_and_who_finds_none(serve: Serve) -> None:
    site = serve(connections=2)
    with ExitStack() as held:
        silent = held.enter_context(site.connect())
        readers = [held.enter_context(slow_reader(site)) for _ in range(2)]
        ends(silent)
        assert site.cuts == ["too_many_connections"]

        ends(held.enter_context(site.connect()))
        assert site.cuts == 2 * ["too_many_connections"]
        assert len(readers) == site.connections


def test_who_comes_and_goes_as_usual_leaves_no_trace(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    site = serve()
    with site.connect():
        wait_until(lambda: site.connections == 1)
    with site.connect() as client:
        client.sendall(ASK)
        assert client.recv(4096)
        site.clock.advance(1000)  # idle, for as long as it likes
        client.sendall(ASK)
        assert client.recv(4096)
    wait_until(lambda: site.connections == 0)

    assert site.cuts == []
    assert not told(caplog)


def test_a_client_is_named_once_a_minute_for_each_reason_and_the_log_has_few_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock(1000.0)
    counted: list[str] = []
    cuts = Cuts(counted.append, clock=clock)
    for _ in range(3):
        cuts.cut("slow_request", "10.0.0.1")
    cuts.cut("slow_reader", "10.0.0.1")
    assert [(each["reason"], each["more"]) for each in told(caplog)] == [
        ("slow_request", 0),
        ("slow_reader", 2),
    ]
    clock.advance(WINDOW)
    for number in range(1000):
        cuts.cut("too_large", f"10.0.{number // 256}.{number % 256}")
    assert len(told(caplog)) == 2 + MOST_LINES
    assert len(counted) == 1004


def test_what_was_not_said_is_told_with_the_next_line(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(0.0)
    rationed = RationedLog(logging.getLogger("exporter"), "a thing failed", clock=clock)
    for _ in range(4):
        rationed.warn("here", "why", error="words")
    clock.advance(WINDOW)
    rationed.warn("here", "why", error="words")
    assert [vars(record)["fields"]["more"] for record in caplog.records] == [0, 3]
