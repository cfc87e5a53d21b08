"""SIGTERM and SIGINT end it in time and with success, whatever it is doing."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.simulator import INSTANCES, SimulatedVast
from exporter.web.server import CANCEL_SECONDS, GRACE_SECONDS
from tests.support.program import COMMAND, ENDS_WITHIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.simulator import Reply
    from tests.support.program import Program, Start, Write

pytestmark = pytest.mark.private_parts

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
PATIENCE = 60
#: Too few file descriptors for an event loop, and enough for all that comes before it.
WITHOUT_WEB = ("sh", "-c", 'ulimit -n 8; exec "$@"', "sh", *COMMAND)


def is_so(program: Program, what: str, number: signal.Signals) -> bool:
    """Tell whether a process catches (SigCgt) or ignores (SigIgn) a signal; it has to be alive."""
    assert program.process.poll() is None
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(rf"^{what}:\s*([0-9a-f]+)$", status, re.MULTILINE)
    assert found, status
    return bool(int(found[1], 16) >> (number - 1) & 1)


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, threading.Event]]:
    """Do something with each connection; tell when there was one."""
    asked = threading.Event()
    accepted: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            accepted.append(connection)
            answer(connection)
            asked.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
    for connection in accepted:
        connection.close()


@BOTH
def test_while_it_starts(number: signal.Signals, start: Start) -> None:
    program = start(
        "--web.listen-address", "127.0.0.1:0", VAST_API_KEY="nobody", VAST_URL="http://127.0.0.1:9"
    )
    # The last of those that it catches, and nearly the first thing that it does.
    while not is_so(program, "SigCgt", signal.SIGHUP):
        pass
    assert program.end(number) == 0
    assert "Traceback" not in program.errors


@pytest.mark.parametrize(
    ("command", "code"),
    [("run", 0), ("demo", 0), ("once", 1), ("check-config", 1), ("health", 1)],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_while_any_command_starts(
    number: signal.Signals, command: str, code: int, start: Start, tmp_path: Path
) -> None:
    """Its configuration is a pipe that nobody writes into, or it has just begun: then only signals end it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    by_flag = ("--web.config.file", str(fifo)) if command == "demo" else ("--config.file", str(fifo))
    program = start(command, *((str(fifo),) if command == "check-config" else by_flag))
    while not is_so(program, "SigCgt", signal.SIGHUP):
        pass
    if command in {"run", "demo"} and number == signal.SIGHUP:
        program.process.send_signal(number)
        time.sleep(0.3)
        assert program.process.poll() is None
        number = signal.SIGTERM
    assert program.end(number) == code
    assert "Traceback" not in program.errors


def test_a_signal_to_reload_that_comes_while_it_starts_counts_when_it_has(
    start: Start, write: Write, settings: dict[str, object]
) -> None:
    program = start("--config.file", str(write(settings)))
    while not is_so(program, "SigCgt", signal.SIGHUP):
        pass
    program.process.send_signal(signal.SIGHUP)
    program.line('msg="configuration reloaded" accounts=1')
    assert program.end() == 0


@BOTH
def test_while_it_reads_a_configuration_again_that_hangs(
    number: signal.Signals, start: Start, write: Write, settings: dict[str, object]
) -> None:
    path = write(settings)
    program = start("--config.file", str(path))
    program.url()
    path.unlink()
    os.mkfifo(path)
    program.process.send_signal(signal.SIGHUP)
    with path.open("w"):  # opens when it is being read
        assert program.end(number) == 0
    assert "msg=stopped" in program.errors.splitlines()[-1]


@pytest.mark.parametrize("ignored", [True, False])
def test_under_nohup_a_terminal_that_is_gone_does_not_end_a_collection(
    ignored: bool,  # noqa: FBT001 - one of two cases
    start: Start,
    write: Write,
    settings: dict[str, object],
    tmp_path: Path,
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    trap = "trap '' HUP; " * ignored
    command = ("sh", "-c", f'{trap}exec "$@"', "sh", *COMMAND)
    program = start("once", "--config.file", str(write(settings)), "--output", str(pipe), command=command)
    program.line("collector=instances outcome=success")
    program.line("collector=account outcome=success")
    program.process.send_signal(signal.SIGHUP)
    if ignored:
        assert "vastai_api_instances" in pipe.read_text()
    assert program.process.wait(ENDS_WITHIN) == (0 if ignored else 1)


@BOTH
def test_while_the_first_walk_waits_for_its_turn(number: signal.Signals, start: Start) -> None:
    asked = threading.Event()

    def noting(_: Mapping[str, str], due: Reply) -> Reply:
        asked.set()
        return due

    with SimulatedVast(size=200) as vast:
        vast.faults.always(INSTANCES, noting)
        program = start("--web.listen-address", "127.0.0.1:0", VAST_API_KEY=vast.key, VAST_URL=vast.url)
        assert asked.wait(PATIENCE)
        assert program.end(number) == 0
    assert f"msg=stopped signal={number.name}" in program.errors.splitlines()[-1]
    assert "outcome" not in program.errors.replace("collector=account outcome=success", "")


@BOTH
def test_while_the_api_hangs(number: signal.Signals, start: Start) -> None:
    with server(lambda _: None) as (url, asked):
        program = start("--web.listen-address", "127.0.0.1:0", VAST_API_KEY="nobody", VAST_URL=url)
        assert asked.wait(PATIENCE)
        program.url()
        assert program.end(number) == 0
    assert "Traceback" not in program.errors


def test_while_it_backs_off_from_an_api_that_ends_every_connection(start: Start) -> None:
    with server(socket.socket.close) as (url, asked):
        program = start("--web.listen-address", "127.0.0.1:0", VAST_API_KEY="nobody", VAST_URL=url)
        assert asked.wait(PATIENCE)
        program.url()
        assert program.end() == 0
    assert "Traceback" not in program.errors


def test_while_it_waits_for_the_next_run(start: Start, write: Write, settings: dict[str, object]) -> None:
    program = start("--config.file", str(write(settings)))
    program.line("collector=instances outcome=success")
    program.line("collector=account outcome=success")
    assert program.end(signal.SIGINT) == 0


def test_while_a_slow_reader_holds_a_scrape_open(
    start: Start, write: Write, settings: dict[str, object]
) -> None:
    with SimulatedVast(size=2000, thresholds=False) as vast:  # 10 MB, more than any buffer takes
        path = write(settings | {"api": {"url": vast.url, "min_interval": "0s"}})
        program = start("--config.file", str(path))
        program.line("collector=instances outcome=success")
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", int(program.url().rsplit(":", 1)[1])))
            reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            head = reader.recv(1024)
            assert program.end() == 0
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            got = len(head)
            while piece := received(reader):
                got += len(piece)
    assert got < length
    assert "level=error" not in program.errors


def received(reader: socket.socket) -> bytes:
    try:
        return reader.recv(65536)
    except ConnectionResetError:
        return b""


def test_signals_are_obeyed_whenever_they_come_and_however_many(start: Start) -> None:
    with server(lambda _: None) as (url, _):
        for second in (None, signal.SIGTERM) * 2:
            program = start("--web.listen-address", "127.0.0.1:0", VAST_API_KEY="nobody", VAST_URL=url)
            program.url()  # the line comes just before it waits for signals
            program.process.send_signal(signal.SIGINT)
            # The interpreter's end lets a signal kill that is not ignored.
            while second is not None and program.process.poll() is None:
                program.process.send_signal(second)
                time.sleep(0.001)
            assert program.process.wait(ENDS_WITHIN) == 0


def test_what_is_under_way_gets_less_than_the_two_seconds_that_are_promised() -> None:
    assert GRACE_SECONDS + CANCEL_SECONDS < 2


def test_a_web_server_that_ends_by_itself_ends_the_program_as_a_failure(start: Start) -> None:
    with server(lambda _: None) as (url, _):
        program = start(
            "--web.listen-address", "127.0.0.1:0", command=WITHOUT_WEB, VAST_API_KEY="nobody", VAST_URL=url
        )
        program.line('level=error msg="unexpected error" thread=web .*Too many open files')
        program.line('level=error msg="the web server stopped unexpectedly"$')
        assert program.process.wait(PATIENCE) == 1
