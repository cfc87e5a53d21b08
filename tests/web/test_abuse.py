"""Clients that send nonsense, too much, too slowly or not at all: they lose, and nobody else notices."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from gzip import decompress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import pytest
import trustme

from exporter.web.app import create_app
from exporter.web.protocol import Limits
from exporter.web.server import BackgroundServer, listen
from tests.web.conftest import PATIENCE, Site, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.web.conftest import Fleet

    Serve = Callable[..., Site]

pytestmark = pytest.mark.private_parts

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
INSTANCES = 1000
#: Of the metrics, and all but the end of the answer.
LAST_LINE = b"\npython_info{"
#: Seconds that a test can wait for, as a limit of those who never come to an end.
SOON = 0.2
#: How long a second takes on the server's clock, while time is let pass.
SECOND = 0.02


def reply_to(site: Site, sent: bytes) -> bytes:
    """Return all that comes back until the server closes the connection."""
    with site.connect() as client:
        with suppress(ConnectionError):  # what nobody wants to read may be cut off while it is sent
            client.sendall(sent)
        return rest_of(client)


def rest_of(client: socket.socket) -> bytes:
    came = b""
    with suppress(ConnectionError):
        while piece := client.recv(65536):
            came += piece
    return came


def cut_off(site: Site, client: socket.socket) -> bytes:
    """Let seconds pass until the server ends a connection, and return what came before."""
    client.settimeout(SECOND)
    came = b""
    for _ in range(int(PATIENCE / SECOND)):
        try:
            piece = client.recv(65536)
        except TimeoutError:
            site.clock.advance(1)
        except ConnectionError:
            return came
        else:
            if not piece:
                return came
            came += piece
    raise AssertionError("it goes on")


def is_healthy(client: socket.socket) -> bool:
    """Ask on a connection that goes on, and return whether the whole answer comes."""
    client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
    came = b""
    while not came.endswith(b"\r\n\r\nhealthy\n"):
        piece = client.recv(4096)
        if not piece:
            return False
        came += piece
    return came.startswith(b"HTTP/1.1 200 OK\r\n")


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    """Holds connections until the test has ended."""
    with ExitStack() as held:
        yield held


def test_the_limits_are_what_is_promised() -> None:
    assert Limits() == Limits(
        connections=512, head_seconds=10, answer_seconds=60, head_bytes=16 * 1024, pipelined=16
    )


# Half-open connections


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"\r\n",
        b"GET",
        b"GET /metrics HTTP/1.1\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-A: " + b"b" * 500,
    ],
    ids=["nothing", "a blank line", "a word", "a request line", "half a header"],
)
def test_who_does_not_send_a_whole_head_in_time_is_cut_off(serve: Serve, begun: bytes) -> None:
    site = serve(head_seconds=10)
    began = site.clock()
    with site.connect() as client:
        client.sendall(begun)

        assert cut_off(site, client) == b""
    assert site.clock() > began + 10
    assert site.get("/-/healthy") == (200, b"healthy\n")


def test_the_time_that_counts_is_the_systems(fleet: Fleet) -> None:
    app = create_app(fleet, telemetry_path="/metrics", wall_clock=time)
    with BackgroundServer(app, listen("127.0.0.1", 0), limits=Limits(head_seconds=SOON)) as server:
        assert reply_to(Site(server), b"GET") == b""


def test_a_head_that_comes_byte_by_byte_gains_no_time(serve: Serve) -> None:
    site = serve(head_seconds=10)
    with site.connect() as client, suppress(ConnectionError):
        client.settimeout(SECOND)
        while True:
            client.sendall(b"\r\n" if client.getsockname()[1] % 2 else b"G")
            site.clock.advance(1)
            with suppress(TimeoutError):
                if not client.recv(100):
                    break


def test_the_second_request_of_a_connection_has_to_come_in_time_too(serve: Serve) -> None:
    site = serve(head_seconds=10)
    with site.connect() as client:
        assert is_healthy(client)
        client.sendall(b"GET /-/hea")

        assert cut_off(site, client) == b""


def test_a_connection_that_is_idle_between_requests_is_kept(serve: Serve) -> None:
    site = serve(head_seconds=10, answer_seconds=10)
    with site.connect() as idle, site.connect() as other:
        assert is_healthy(idle)
        other.sendall(b"GET")
        assert cut_off(site, other) == b""  # so that all connections have been looked at after the limits

        assert is_healthy(idle)


def test_two_hundred_half_open_connections_disturb_nobody_and_go(serve: Serve, crowd: ExitStack) -> None:
    site = serve(head_seconds=10)
    for _ in range(200):
        crowd.enter_context(site.connect()).sendall(b"GET /met")
    wait_until(lambda: site.connections == 200)

    assert site.get("/-/healthy") == (200, b"healthy\n")
    site.clock.advance(11)
    wait_until(lambda: site.connections == 0)


def test_a_handshake_has_to_end_in_time(serve: Serve) -> None:
    site = serve(tls=certificate(), head_seconds=SOON)

    assert reply_to(site, b"") == b""
    assert reply_to(site, b"\x16\x03\x01\x02\x00\x01\x00") == b""


def certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    return context


# Readers


def test_who_does_not_take_the_answer_in_time_is_cut_off(serve: Serve) -> None:
    site = serve(answer_seconds=60)
    with small_window(site) as client:
        client.sendall(SCRAPE)
        client.recv(1)
        site.clock.advance(61)
        wait_until(lambda: site.connections == 0)

        assert LAST_LINE not in rest_of(client)
    assert LAST_LINE in site.get("/metrics")[1]


def test_an_answer_that_is_taken_slowly_but_in_time_is_whole(serve: Serve) -> None:
    site = serve()
    with small_window(site) as client:
        client.sendall(SCRAPE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        pause = threading.Event()
        came = b""
        for _ in range(20):
            pause.wait(0.005)
            came += client.recv(1000)
        came += rest_of(client)

    assert instances_in(came) == INSTANCES


def test_two_hundred_slow_readers_hold_little_disturb_nobody_and_go(serve: Serve, crowd: ExitStack) -> None:
    site = serve(answer_seconds=60)
    whole = site.get("/metrics")[1]
    before = resident_bytes()
    readers = [crowd.enter_context(small_window(site)) for _ in range(200)]
    for reader in readers:
        reader.sendall(SCRAPE)
    for reader in readers:
        reader.recv(1)

    assert instances_in(site.get("/metrics")[1]) == INSTANCES
    # None holds the answer as a whole: that would be 200 times as much.
    assert resident_bytes() - before < 200 * len(whole) / 2
    site.clock.advance(61)
    wait_until(lambda: site.connections == 0)


def instances_in(reply: bytes) -> int:
    return reply.count(b"\nvastai_instance_info{")


def small_window(site: Site) -> socket.socket:
    """Return a connection that has next to no room for what its owner does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(site.address)
    return client


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_fifty_scrapes_at_once_get_the_same(site: Site) -> None:
    with ThreadPoolExecutor(50) as threads:
        replies = list(threads.map(lambda _: site.get("/metrics", **{"Accept-Encoding": "gzip"}), range(50)))

    assert {(status, instances_in(decompress(body))) for status, body in replies} == {(200, INSTANCES)}


# Sizes


@pytest.mark.parametrize("size", [10_000, 15_000])
def test_a_long_request_line_is_answered_and_changes_nothing(site: Site, size: int) -> None:
    assert site.get("/" + "a" * size)[0] == 404


LARGE = {
    "request line": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "endless path": (b"GET /" + b"a" * 400_000, 414),
    "header": (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n", 431),
    "endless header": (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 400_000, 431),
    "endless name": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * 400_000, 431),
    "endless method": (b"A" * 400_000, 400),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_head_beyond_the_limit_is_refused_and_closed(site: Site, kind: str) -> None:
    sent, status = LARGE[kind]

    reply = reply_to(site, sent)

    assert reply == b"" or status_of(reply) == status  # a reset may overtake the answer
    wait_until(lambda: site.connections == 0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 10_000 + b"\r\n\r\n", 431),
    ],
    ids=["path", "header", "both"],
)
def test_what_is_somewhat_too_large_is_told_so(site: Site, sent: bytes, status: int) -> None:
    assert status_of(reply_to(site, sent)) == status


# Clients that close their sending half


def test_who_closes_only_the_sending_half_gets_the_whole_answer(site: Site) -> None:
    for client in (site.connect(), small_window(site)):
        with client:
            client.sendall(SCRAPE)
            client.shutdown(socket.SHUT_WR)

            assert instances_in(rest_of(client)) == INSTANCES
    wait_until(lambda: site.connections == 0)


def test_who_has_asked_for_several_things_at_once_gets_all_of_them(site: Site) -> None:
    with site.connect() as client:
        client.sendall(3 * SCRAPE)
        client.shutdown(socket.SHUT_WR)

        assert instances_in(rest_of(client)) == 3 * INSTANCES


def test_who_closes_the_sending_half_too_soon_gets_nothing(site: Site) -> None:
    with site.connect() as client:
        client.sendall(SCRAPE[:-2])
        client.shutdown(socket.SHUT_WR)

        assert rest_of(client) == b""


def test_the_answer_to_a_body_that_is_not_read_comes_even_behind_another(site: Site) -> None:
    post = b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"

    reply = reply_to(site, SCRAPE + post)

    assert instances_in(reply) == INSTANCES
    assert reply.endswith(b"\r\n\r\nreloaded\n")


# Bodies


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 99999999999", b"Transfer-Encoding: chunked"],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize("path", [b"/-/reload", b"/metrics"])
def test_a_body_is_not_read(site: Site, head: bytes, path: bytes) -> None:
    method = b"POST" if b"reload" in path else b"GET"
    with site.connect() as client:
        client.sendall(method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n")
        reply = rest_of(client)  # and the connection ends, or this would not

    assert status_of(reply) == 200


def test_gigabytes_of_body_find_nobody_who_keeps_them(site: Site) -> None:
    before = resident_bytes()
    with site.connect() as client, suppress(ConnectionError):
        client.sendall(b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n")
        for _ in range(1000):
            client.sendall(b"a" * 100_000)

    assert resident_bytes() - before < 50_000_000
    assert site.get("/-/healthy")[0] == 200


def test_requests_that_wait_for_one_another_are_few(serve: Serve) -> None:
    site = serve(pipelined=3)

    assert reply_to(site, b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n" * 1000).count(b"healthy\n") < 1000
    few = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n" * 2
    last = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert reply_to(site, few + last).count(b"\r\n\r\nhealthy\n") == 3


# Connections


def test_one_connection_too_many_takes_the_place_of_the_most_silent(serve: Serve, crowd: ExitStack) -> None:
    site = serve(connections=5)
    crowded = [crowd.enter_context(site.connect()) for _ in range(5)]
    wait_until(lambda: site.connections == 5)
    site.clock.advance(1)
    assert is_healthy(crowded[0])

    assert site.get("/-/healthy") == (200, b"healthy\n")

    assert rest_of(crowded[1]) == b""
    assert is_healthy(crowded[0])
    crowded[-1].sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert status_of(rest_of(crowded[-1])) == 200


def test_who_is_being_answered_is_not_the_one_to_go(serve: Serve, crowd: ExitStack) -> None:
    site = serve(connections=3)
    reader = crowd.enter_context(small_window(site))
    reader.sendall(SCRAPE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    first = reader.recv(100)
    for _ in range(10):
        crowd.enter_context(site.connect())
    wait_until(lambda: site.connections == 3)

    assert instances_in(first + rest_of(reader)) == INSTANCES


# Nonsense

NONSENSE = {
    "random bytes": bytes((7 * number * number + 13) % 256 for number in range(5000)),
    "null bytes": b"\0" * 1000,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 500,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
    "HTTP/9.9": b"GET /metrics HTTP/9.9\r\n\r\n",
    "a bare newline in a header": b"GET / HTTP/1.1\r\nA: b\nc\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "no length": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "absurd length": b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 500 + b"\r\n\r\n",
    "not a path": b"GET metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_refused_in_a_line_without_a_trace(
    site: Site, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply = reply_to(site, NONSENSE[kind])

    assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert reply.endswith(b"\r\n\r\nInvalid HTTP request received.")
    assert not caplog.records
    assert site.get("/-/healthy")[0] == 200


ODD = {
    b"GET /%zz%00%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 404,
    b"GET //metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 404,
    b"GET /../metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 404,
    b"GET /metrics/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 404,
    b"GET http://other.example/-/healthy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 200,
    b"DELETE /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 405,
    b"PROPFIND /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 501,
    b"DESCRIBE /metrics HTTP/1.1\r\nHost: a\r\n\r\n": 501,
    b"FOO /metrics HTTP/1.1\r\nHost: a\r\n\r\n": 501,
    b"get /metrics HTTP/1.1\r\nHost: a\r\n\r\n": 501,
    b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a b@/\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n": 400,
    b"GET /metrics HTTP/1.1\r\nHost: a,b/\r\n\r\n": 400,
    b"GET /-/healthy HTTP/1.1\r\nHost: [::1\r\n\r\n": 400,
    b"GET http://a/ HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n": 200,
    b"GET / HTTP/1.1\r\nHost: [::1]:10622\r\nConnection: close\r\n\r\n": 200,
    b"GET / HTTP/1.1\r\nHost: a.example:\r\nConnection: close\r\n\r\n": 200,
    b"GET / HTTP/1.1\r\nhost: a_b.example.:10622\r\nConnection: close\r\n\r\n": 200,
    b"GET /-/reload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 405,
    b"GET /-/healthy HTTP/1.0\r\n\r\n": 200,
    b"GET /-/healthy\r\n\r\n": 200,
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n": 200,
}


@pytest.mark.parametrize("sent", ODD)
def test_what_is_odd_but_HTTP_gets_its_answer(  # noqa: N802 - the protocol's name
    site: Site, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert status_of(reply_to(site, sent)) == ODD[sent]
    assert not caplog.records


def test_nothing_of_the_request_comes_back(site: Site) -> None:
    script = b"<script>alert(1)</script>"
    for sent in (
        b"GET /" + script + b" HTTP/1.1\r\nHost: " + script + b"\r\nConnection: close\r\n\r\n",
        b"GET /?" + script + b" HTTP/1.1\r\nHost: a\r\nReferer: " + script + b"\r\nConnection: close\r\n\r\n",
        script,
    ):
        assert b"alert" not in reply_to(site, sent)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_after_all_that_nothing_is_left(site: Site) -> None:
    site.get("/")  # for which a thread of the pool is kept
    threads, files = threading.active_count(), open_files()
    for sent in (*NONSENSE.values(), *(sent for sent, _ in LARGE.values()), *ODD):
        reply_to(site, sent)

    wait_until(lambda: site.connections == 0)
    wait_until(lambda: open_files() <= files)
    assert threading.active_count() <= threads
