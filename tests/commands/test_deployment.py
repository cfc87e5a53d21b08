"""What deployments ask of the program: shards of the accounts, a health check, systemd's notifications."""

from __future__ import annotations

import os
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.commands.systemd import Notifier
from exporter.config.shards import owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.program import Run, Start, Write

NAMES = st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=30)


@given(names=NAMES, total=st.integers(1, 20))
def test_each_account_has_one_owner(names: list[str], total: int) -> None:
    assert all(0 <= owner(name, total) < total for name in names)


@given(names=NAMES, total=st.integers(1, 20))
def test_one_more_shard_only_takes_accounts_over(names: list[str], total: int) -> None:
    moved = {name for name in names if owner(name, total + 1) != owner(name, total)}
    assert all(owner(name, total + 1) == total for name in moved)


def test_shards_have_about_the_same_number_of_accounts() -> None:
    shares = Counter(owner(f"account {number}", 4) for number in range(4000))
    assert min(shares.values()) > 900


def test_the_owner_of_an_account_never_changes_between_versions() -> None:
    assert [owner(name, 5) for name in ("research", "batch", "studio", "default")] == [2, 2, 4, 4]


def test_the_shards_of_a_configuration_cover_every_account_once(run: Run, write: Write) -> None:
    names = [f"team-{number}" for number in range(12)]
    path = write({"accounts": [{"name": name, "api_key": f"key-{name}"} for name in names]})
    found: list[str] = []
    for shard in range(3):
        done = run("check-config", str(path), "--shard", str(shard), "--total-shards", "3")
        line = next(line for line in done.stdout.splitlines() if line.startswith("accounts:"))
        found += filter(None, line.removeprefix("accounts:").strip().split(", "))
    assert sorted(found) == sorted(names)


def test_keys_of_other_shards_are_not_read(run: Run, write: Write) -> None:
    path = write({"accounts": [{"name": "research", "api_key_file": "/nowhere"}]})
    codes = {
        shard: run("check-config", str(path), "--shard", str(shard), "--total-shards", "2").returncode
        for shard in range(2)
    }
    ours = owner("research", 2)
    assert codes == {ours: 2, 1 - ours: 0}


def test_a_shard_without_accounts_serves_and_is_ready(start: Start, run: Run) -> None:
    shard = str(1 - owner("default", 2))
    variables = {"VAST_API_KEY": "a-key", "VASTAI_EXPORTER_SHARD": shard, "VASTAI_EXPORTER_TOTAL_SHARDS": "2"}
    program = start("--web.listen-address", "127.0.0.1:0", **variables)
    address = program.url().removeprefix("http://")
    done = run("health", VASTAI_EXPORTER_LISTEN_ADDRESS=address)
    assert (done.returncode, done.stdout) == (0, "healthy\n")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--shard", "0"), "Error: --shard and --total-shards are only allowed together\n"),
        (("--total-shards", "2"), "Error: --shard and --total-shards are only allowed together\n"),
        (
            ("--shard", "2", "--total-shards", "2"),
            "Error: --shard 2: expected 0 to 1, as --total-shards is 2\n",
        ),
        (
            ("--shard", "-1", "--total-shards", "2"),
            "Error: Invalid value for '--shard': -1 is not in the range x>=0.\n",
        ),
    ],
)
def test_a_shard_that_is_none_is_told_in_one_line(run: Run, flags: tuple[str, ...], line: str) -> None:
    done = run(*flags, VAST_API_KEY="a-key")
    assert (done.returncode, done.stderr) == (2, line)


# The health check


def test_the_health_check_needs_no_key(
    start: Start, run: Run, write: Write, settings: dict[str, Any]
) -> None:
    program = start("--config.file", str(write(settings)))
    address = program.url().removeprefix("http://")
    path = write(
        {"accounts": [{"name": "a", "api_key_file": "/nowhere"}], "web": {"listen_address": address}}
    )
    done = run("health", "--config.file", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy\n", "")


def test_the_health_check_fails_where_nothing_serves(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = run("health", "--web.listen-address", address)
    assert done.returncode == 1
    assert done.stdout == f"no answer from {address}: [Errno 111] Connection refused\n"


# systemd


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        yield sock


def test_systemd_is_told_of_every_state(
    start: Start, write: Write, settings: dict[str, Any], systemd: socket.socket
) -> None:
    path = write(settings)
    variables = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "200000"}
    program = start("--config.file", str(path), **variables)
    heard: list[str] = []
    while len(set(heard)) < 2 or heard.count("WATCHDOG=1") < 3:
        heard.append(systemd.recv(4096).decode())
    assert set(heard) == {f"READY=1\nSTATUS=serving on {program.url()}/metrics", "WATCHDOG=1"}
    assert program.end() == 0
    while (state := systemd.recv(4096).decode()) == "WATCHDOG=1":
        pass
    assert state == "STOPPING=1"


def test_the_watchdog_of_another_process_is_not_fed(systemd: socket.socket) -> None:
    environ = {
        "NOTIFY_SOCKET": systemd.getsockname(),
        "WATCHDOG_USEC": "1000",
        "WATCHDOG_PID": str(os.getpid() + 1),
    }
    notifier = Notifier(environ)
    notifier.keep_alive(lambda: True)
    notifier.ready("up")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=up"


def test_without_systemd_nobody_is_told() -> None:
    notifier = Notifier({})
    notifier.keep_alive(lambda: True)
    notifier.ready("up")
    notifier.reloading()
    notifier.stopping()


def test_a_socket_that_is_gone_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("up")
