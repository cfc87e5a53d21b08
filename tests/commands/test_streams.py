"""Standard streams that are slow, full, closed or gone, in every command and at any time."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.commands import streams
from exporter.commands.streams import MOST_WAITING, Stream, Writer
from exporter.commands.systemd import Notifier
from tests.support.program import COMMAND, ENDS_WITHIN, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.program import Environment, Write

    Eventually = Callable[[Callable[[], object]], None]
    #: Ways to be of no use, for standard output and standard error alike: what the shell does with them.
    Shell = str

USELESS = {
    "closed": ">&- 2>&-",
    "full": ">/dev/full 2>/dev/full",
    "all closed": "<&- >&- 2>&-",
}
SELF = 'vastai_collector_success{account="research",collector="instances"} 1'


def useless(shell: Shell, *arguments: str) -> list[str]:
    """Return the command that runs the program with its streams as the shell makes them."""
    return ["sh", "-c", f'exec "$@" {shell}', "sh", *COMMAND, *arguments]


@contextmanager
def started(command: list[str], environment: Environment, **how: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, **how)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
    return found


def scraped(port: int) -> str:
    try:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    except requests.ConnectionError:
        return ""


def dropped(port: int) -> int:
    found = re.search(r"^vastai_log_lines_dropped_total (\d+)", scraped(port), re.MULTILINE)
    return int(found[1]) if found else -1


class Stalled:
    """A pipe that nobody reads, and in which there is no room for anything."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.write, False)
        while True:
            try:
                os.write(self.write, b"x" * 512)
            except BlockingIOError:
                break
        os.set_blocking(self.write, True)

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    pipe = Stalled()
    yield pipe
    pipe.close()


@pytest.fixture
def often(settings: dict[str, object]) -> dict[str, object]:
    """A configuration whose walks are frequent and whose log has a lot to say."""
    return settings | {
        "collectors": {"instances": {"interval": "1s"}, "account": {"interval": "1s"}},
        "log": {"level": "debug"},
    }


# Commands that serve


@pytest.mark.parametrize("shell", USELESS.values(), ids=USELESS)
@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_command_that_serves_needs_no_stream(
    command: str,
    shell: Shell,
    environment: Environment,
    write: Write,
    often: dict[str, object],
    port: int,
    eventually: Eventually,
) -> None:
    config = () if command == "demo" else ("--config.file", str(write(often)))
    address = ("--web.listen-address", f"127.0.0.1:{port}")
    with started(useless(shell, command, *config, *address), environment) as process:
        eventually(lambda: dropped(port) > 0)
        eventually(lambda: re.search("^vastai_collector_success.* 1$", scraped(port), re.MULTILINE))
        assert requests.post(f"http://127.0.0.1:{port}/-/reload", timeout=30).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDS_WITHIN) == 0


@pytest.mark.parametrize("command", ["run", "demo"])
def test_walks_scrapes_reload_and_stopping_go_on_while_nobody_reads_the_log(
    command: str,
    environment: Environment,
    write: Write,
    often: dict[str, object],
    port: int,
    stalled: Stalled,
    eventually: Eventually,
) -> None:
    config = () if command == "demo" else ("--config.file", str(write(often)))
    arguments = (command, *config, "--web.listen-address", f"127.0.0.1:{port}")
    how = {"stdout": stalled.write, "stderr": stalled.write}
    with started([*COMMAND, *arguments], environment, **how) as process:
        eventually(lambda: re.search("^vastai_collector_success.* 1$", scraped(port), re.MULTILINE))
        for _ in range(3):
            assert requests.post(f"http://127.0.0.1:{port}/-/reload", timeout=30).status_code == 200
            process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDS_WITHIN) == 0


def test_a_reader_of_the_log_that_goes_away_takes_nothing_with_it(
    environment: Environment,
    write: Write,
    often: dict[str, object],
    port: int,
    eventually: Eventually,
) -> None:
    arguments = ("--config.file", str(write(often)), "--web.listen-address", f"127.0.0.1:{port}")
    with started([*COMMAND, *arguments], environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        eventually(lambda: dropped(port) > 0)
        before = dropped(port)
        eventually(lambda: dropped(port) > before)
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDS_WITHIN) == 0


@pytest.mark.parametrize("shell", USELESS.values(), ids=USELESS)
def test_an_address_that_is_taken_is_exit_code_1_even_if_nobody_can_be_told(
    shell: Shell, environment: Environment, write: Write, settings: dict[str, object]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = useless(shell, "--config.file", str(write(settings)), "--web.listen-address", address)
        assert ended(command, environment) == 1


def ended(command: list[str], environment: Environment, **how: object) -> int:
    """Run a command to its end, and return the exit code."""
    done = subprocess.run(command, env=environment, timeout=PATIENCE, check=False, **how)  # type: ignore[call-overload]
    code: int = done.returncode
    return code


# Commands that end by themselves


@pytest.mark.parametrize("shell", USELESS.values(), ids=USELESS)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--version",), 0),
        (("--help",), 0),
        (("--no-such-flag",), 2),
        (("check-config", "{good}"), 0),
        (("check-config", "{bad}"), 2),
        (("run", "--config.file", "{bad}"), 2),
        (("once", "--config.file", "{bad}"), 2),
        (("health", "--web.listen-address", "127.0.0.1:{closed}"), 1),
        (("once", "--config.file", "{good}", "--output", "{output}"), 0),
        (("once", "--config.file", "{good}"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_exit_code_says_the_same_with_useless_streams(
    arguments: tuple[str, ...],
    code: int,
    shell: Shell,
    environment: Environment,
    write: Write,
    settings: dict[str, object],
    tmp_path: Path,
    port: int,
) -> None:
    names = {
        "good": write(settings),
        "bad": write("log: {level: loud}", "bad.yaml"),
        "output": tmp_path / "vastai.prom",
        "closed": port,
    }
    filled = [argument.format(**names) for argument in arguments]
    assert ended(useless(shell, *filled), environment) == code
    if "--output" in arguments:
        assert SELF in (tmp_path / "vastai.prom").read_text()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("check-config", "{good}"), 0), (("check-config", "{bad}"), 2), (("--help",), 0)],
    ids=["good", "bad", "help"],
)
def test_a_verdict_comes_though_nobody_reads_the_words(
    arguments: tuple[str, ...],
    code: int,
    environment: Environment,
    write: Write,
    settings: dict[str, object],
    stalled: Stalled,
) -> None:
    names = {"good": write(settings), "bad": write("log: {level: loud}", "bad.yaml")}
    filled = [argument.format(**names) for argument in arguments]
    how = {"stdout": stalled.write, "stderr": stalled.write}
    assert ended([*COMMAND, *filled], environment, **how) == code


def test_once_collects_and_writes_its_file_though_nobody_reads_its_log(
    environment: Environment, write: Write, settings: dict[str, object], stalled: Stalled, tmp_path: Path
) -> None:
    output = tmp_path / "vastai.prom"
    command = [*COMMAND, "once", "--config.file", str(write(settings)), "--output", str(output)]
    assert ended(command, environment, stderr=stalled.write) == 0
    assert SELF in output.read_text()


#: Waits for a pipe, and has a signal come to another thread: as with one that comes just before the call that
#: waits, that call is not interrupted.
WRITES = """
import os, signal, threading, time
from pathlib import Path
from exporter.commands import streams

signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
def signalled():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
threading.Thread(target=signalled, daemon=True).start()
streams.{call}
"""


@pytest.mark.parametrize("call", ["put_all(bytes(10**6), 1)", "open_for_writing(Path('fifo'))"])
def test_a_signal_is_obeyed_that_interrupts_no_call(call: str, stalled: Stalled, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    command = [sys.executable, "-c", WRITES.format(call=call)]
    with subprocess.Popen(command, stdout=stalled.write, cwd=tmp_path) as process:
        try:
            assert process.wait(ENDS_WITHIN) == 7
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_once_obeys_signals_while_nobody_reads_its_metrics(
    number: signal.Signals,
    environment: Environment,
    write: Write,
    settings: dict[str, object],
    stalled: Stalled,
) -> None:
    command = [*COMMAND, "once", "--config.file", str(write(settings))]
    with started(command, environment, stdout=stalled.write, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        successes = 0
        while successes < 2:
            successes += b"outcome=success" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(ENDS_WITHIN) == 1
        assert process.stderr.read() == b"interrupted\n"


def test_metrics_on_a_pipe_that_is_slow_come_whole(
    environment: Environment, write: Write, settings: dict[str, object]
) -> None:
    command = [*COMMAND, "once", "--config.file", str(write(settings))]
    read, written = os.pipe()
    os.set_blocking(written, False)  # as another program that shares it may have set it
    with started(command, environment, stdout=written, stderr=subprocess.DEVNULL) as process:
        os.close(written)
        with os.fdopen(read, "rb", buffering=0) as pipe:
            content = b"".join(iter(lambda: pipe.read(4096), b""))
        assert process.wait(PATIENCE) == 0
    assert content.endswith(b"\n")
    assert len(re.findall(rb"^vastai_instance_info{", content, re.MULTILINE)) == 60


# The parts


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, written = os.pipe()
    yield read, written
    for descriptor in (read, written):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_lines_come_whole_and_in_order(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1])
    lines = [f"line {number}\n".encode() for number in range(500)]
    for line in lines:
        writer.write(line)
    writer.drain(PATIENCE)
    assert os.read(pipe[0], 65536) == b"".join(lines)
    assert writer.dropped == 0


def test_what_is_too_much_to_wait_is_dropped_and_counted_and_what_waits_comes_later(
    stalled: Stalled,
) -> None:
    writer = Writer(stalled.write)
    line = b"%s\n" % (1023 * b"y")
    for _ in range(2 * MOST_WAITING // len(line)):
        writer.write(line)
    assert writer.dropped == MOST_WAITING // len(line)
    writer.drain(0.01)  # has a limit
    got = b""
    while got.count(b"\n") < MOST_WAITING // len(line):
        got += os.read(stalled.read, 65536)
    assert got.lstrip(b"x") == MOST_WAITING // len(line) * line


def test_a_line_that_was_cut_by_a_full_disk_is_continued_before_the_next(
    tmp_path: Path,
) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from exporter.commands.streams import Writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
file = open(sys.argv[1], "wb")
writer = Writer(file.fileno())
for line in (b"one line\\n", b"another\\n", b"lost\\n"):
    writer.write(line)
writer.drain(60)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.write(b"the last\\n")
writer.drain(60)
print(writer.dropped)
"""
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert path.read_text() == "one line\nanother\nthe last\n"
    assert done.stdout == "1\n"


def test_a_stream_takes_any_text(pipe: tuple[int, int]) -> None:
    with os.fdopen(os.dup(pipe[1]), "w", encoding="latin-1") as usual:
        stream = Stream(pipe[1], usual)
        stream.write("caf\xe9 \ud83d \N{SNOWMAN}\n")
        stream.drain(PATIENCE)
    assert os.read(pipe[0], 1024) == b"caf\xe9 \\ud83d \\u2603\n"
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # type: ignore[arg-type]


def test_a_descriptor_that_is_closed_is_given_to_nothing() -> None:
    code = "from exporter.commands import streams; streams.guard(); import os; print(os.open('/', 0))"
    for closed in ("<&-", "2>&-"):
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        assert int(done.stdout) > 2


def test_lines_that_cannot_be_written_are_counted_for_standard_error_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert streams.dropped() == 0
    stream = Stream(2, None)
    monkeypatch.setattr(sys, "stderr", stream)
    stream.write("two\nlines\n")
    assert streams.dropped() == 2


def test_a_queue_of_systemds_that_is_full_holds_nothing_up(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(address)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.settimeout(0)
            with suppress(BlockingIOError):
                while True:
                    other.sendto(b"x", address)
        Notifier({"NOTIFY_SOCKET": address}).ready("serving")
