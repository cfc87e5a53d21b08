"""A flood of connections takes neither the walks' sockets nor the disk."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.program import COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.program import Certificates, Start, Write

pytestmark = pytest.mark.private_parts

#: Fewer file descriptors than the flood has connections, and than connections may be by default.
CRAMPED = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *COMMAND)
FLOOD = 400


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_walks_go_on_while_more_connect_than_there_are_descriptors(
    encrypted: bool,  # noqa: FBT001 - a parameter of the test
    start: Start,
    write: Write,
    settings: dict[str, object],
    certificates: Certificates,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    web = {"tls_server_config": certificates.server()} if encrypted else {}
    often = {"collectors": {"instances": {"interval": "1s"}}}
    path = write(settings | often)
    program = start(
        "--config.file", str(path), "--web.config.file", str(write(web, "web.yml")), command=CRAMPED
    )
    port = int(program.url().rsplit(":", 1)[1])
    with ExitStack() as held:
        for _ in range(FLOOD):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        before = program.errors.count("collector=instances outcome=success")
        eventually(lambda: program.errors.count("collector=instances outcome=success") > before + 1)
    assert program.end() == 0
    assert "level=error" not in program.errors
    assert "outcome=failure" not in program.errors
