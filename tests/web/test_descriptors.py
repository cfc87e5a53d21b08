"""However many connect, file descriptors are left, and who speaks is answered."""

from __future__ import annotations

import resource
import socket
import ssl
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
import trustme

from exporter.web.listener import most_connections
from tests.web.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.web.conftest import Site

    Serve = Callable[..., Site]

pytestmark = pytest.mark.private_parts

ASK = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: Longer than any test: what ends within it ends for another reason.
NEVER = 60 * PATIENCE


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    """Holds connections until the test has ended."""
    with ExitStack() as held:
        yield held


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def rest_of(client: socket.socket) -> bytes:
    """Return what comes until the end."""
    came = b""
    with suppress(ConnectionError):
        while piece := client.recv(65536):
            came += piece
    return came


def is_open(client: socket.socket) -> bool:
    """Tell whether nothing has come, not even the end."""
    client.settimeout(0)
    try:
        client.recv(1)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


def test_a_handshake_that_does_not_go_on_makes_room_for_others(
    serve: Serve, tls: ssl.SSLContext, authority: trustme.CA, crowd: ExitStack
) -> None:
    site = serve(tls=tls, connections=5, head_seconds=NEVER)
    silent = [crowd.enter_context(site.connect()) for _ in range(20)]

    wait_until(lambda: sum(map(is_open, silent)) == 5)
    assert [is_open(client) for client in silent] == [False] * 15 + [True] * 5
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with trusting.wrap_socket(site.connect(), server_hostname="localhost") as client:
        client.sendall(ASK)
        assert rest_of(client).endswith(b"\r\n\r\nhealthy\n")


def test_who_is_still_in_the_handshake_goes_before_who_has_been_answered(
    serve: Serve, tls: ssl.SSLContext, authority: trustme.CA, crowd: ExitStack
) -> None:
    site = serve(tls=tls, connections=5, head_seconds=NEVER)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with trusting.wrap_socket(site.connect(), server_hostname="localhost") as scraper:
        scraper.sendall(ASK.replace(b"close", b"keep-alive"))
        assert scraper.recv(4096).startswith(b"HTTP/1.1 200")
        silent = [crowd.enter_context(site.connect()) for _ in range(20)]
        wait_until(lambda: sum(map(is_open, silent)) == 4)

        scraper.sendall(ASK)
        assert rest_of(scraper).endswith(b"healthy\n")


def test_where_everybody_is_being_answered_the_new_one_has_to_wait(serve: Serve, crowd: ExitStack) -> None:
    site = serve(connections=3)
    readers = [crowd.enter_context(socket.socket()) for _ in range(3)]
    for reader in readers:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(PATIENCE)
        reader.connect(site.address)
        reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert reader.recv(9) == b"HTTP/1.1 "

    with site.connect() as new:
        assert rest_of(new) == b""
    for reader in readers:
        rest_of(reader)
    wait_until(lambda: site.connections == 0)
    assert site.get("/-/healthy")[0] == 200


def test_connections_take_at_most_half_of_the_file_descriptors() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert most_connections(1) == 1
    assert most_connections(10 * soft) == soft // 2
