"""Another configuration without a restart: by SIGHUP and by POST /-/reload; a bad one changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.commands.reload import reload
from exporter.simulator import INSTANCES, SimulatedVast, starts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.program import Program, Run, Start, Write

    Settings = dict[str, Any]
    Reload = Callable[[Program], None]

RELOADED = "vastai_exporter_config_last_reload_successful"


def by_signal(program: Program) -> None:
    program.process.send_signal(signal.SIGHUP)


def by_request(program: Program) -> None:
    assert requests.post(f"{program.url()}/-/reload", timeout=30).status_code == 200


def metrics(program: Program) -> str:
    return requests.get(f"{program.url()}/metrics", timeout=30).text


def walks(vast: SimulatedVast, account: str) -> int:
    return sum(1 for asked in vast.requests if asked.endpoint == INSTANCES and asked.account == account)


@pytest.fixture
def settings(settings: Settings, vast: SimulatedVast, write: Write) -> Settings:
    """Two accounts; one run each, as the next is an hour away."""
    vast.add_account("batch", "batch-key", size=30, seed=2)
    accounts = [*settings["accounts"], {"name": "batch", "api_key_file": str(write("batch-key", "batch"))}]
    return settings | {
        "accounts": accounts,
        "collectors": {"instances": {"interval": "1h", "stale_after": "2h"}},
    }


@pytest.fixture
def program(start: Start, write: Write, settings: Settings) -> Program:
    """The program, with what it found of both accounts."""
    started = start("--config.file", str(write(settings)))
    for account in ("default", "batch"):
        name = {"default": "research"}.get(account, account)
        started.line(f"account={name} collector=instances outcome=success")
    return started


@pytest.mark.parametrize("reload", [by_signal, by_request])
def test_accounts_come_and_go_without_touching_the_others(
    program: Program, reload: Reload, write: Write, vast: SimulatedVast, settings: Settings
) -> None:
    vast.add_account("studio", "studio-key", size=10, seed=3)
    research, _batch = settings["accounts"]
    studio = {"name": "studio", "api_key_file": str(write("studio-key", "studio"))}
    asked = walks(vast, "default")
    write(settings | {"accounts": [research, studio]})
    reload(program)
    program.line("account=studio collector=instances outcome=success")
    program.line("configuration reloaded")
    text = metrics(program)
    assert 'vastai_api_instances{account="research"} 60' in text
    assert 'vastai_api_instances{account="studio"} 10' in text
    assert 'account="batch"' not in text
    assert walks(vast, "default") == asked
    assert f"{RELOADED} 1\n" in text


def test_discovery_comes_and_goes_and_no_metric_with_it(
    program: Program, write: Write, settings: Settings, eventually: Callable[..., None]
) -> None:
    def answer(*, enabled: bool) -> int:
        write(settings | {"discovery": {"enabled": enabled}, "collectors": {"instances": {"interval": "1s"}}})
        by_request(program)
        eventually(lambda: requests.get(f"{program.url()}/sd/instances", timeout=30).status_code != 503)
        return requests.get(f"{program.url()}/sd/instances", timeout=30).status_code

    since = {at for at in metrics(program).splitlines() if "status_since" in at}
    assert [answer(enabled=enabled) for enabled in (False, True, False)] == [404, 200, 404]
    assert {at for at in metrics(program).splitlines() if "status_since" in at} == since


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"api": {"tiemout": "1s"}},
            "api.tiemout: unknown key; allowed: url, run_url, timeout, min_interval",
        ),
        ({"web": {"listen_address": ":1"}}, "web.listen_address: :1: a change requires a restart"),
    ],
)
def test_a_bad_configuration_changes_nothing_and_says_what_check_config_says(
    program: Program, write: Write, settings: Settings, run: Run, change: Settings, line: str
) -> None:
    before = set(metrics(program).splitlines())
    path = write(settings | change)
    answer = requests.post(f"{program.url()}/-/reload", timeout=30)
    assert answer.status_code == 500
    assert answer.text.endswith(f"{line}\n")
    if "restart" not in line:
        assert run("check-config", str(path)).stderr == answer.text
    text = metrics(program)
    assert f"{RELOADED} 0\n" in text
    assert {at for at in before if at.startswith("vastai_instance")} <= set(text.splitlines())
    write(settings)
    by_request(program)
    assert f"{RELOADED} 1\n" in metrics(program)


def test_a_changed_file_is_read_by_itself_and_blanks_no_account(
    program: Program, write: Write, settings: Settings, eventually: Callable[..., None]
) -> None:
    known = {line for line in metrics(program).splitlines() if line.startswith("vastai_instance_info")}
    studio = {"name": "studio", "api_key_file": str(write("studio-key", "studio"))}
    write(settings | {"accounts": [*settings["accounts"], studio]})
    eventually(lambda: 'account="studio"' in metrics(program))
    assert known <= set(metrics(program).splitlines())


def test_a_missing_key_file_costs_its_own_account_only(
    program: Program, write: Write, settings: Settings, eventually: Callable[..., None]
) -> None:
    gone = {"name": "gone", "api_key_file": "gone.key"}
    write(settings | {"accounts": [*settings["accounts"], gone]})
    by_request(program)
    program.line("level=error msg=.an account has no key.*accounts.2..api_key_file: the key file .*gone.key")
    failures = 'vastai_collector_failures_total{account="gone",collector="instances",reason="auth"}'
    eventually(lambda: f"{failures} 1" in metrics(program))
    assert 'vastai_collector_success{account="batch",collector="instances"} 1' in metrics(program)


def test_a_shorter_interval_counts_at_once_and_keeps_what_is_known(
    program: Program, write: Write, vast: SimulatedVast, settings: Settings, eventually: Callable[..., None]
) -> None:
    asked = walks(vast, "default")
    since = {at for at in metrics(program).splitlines() if "status_since" in at}
    write(settings | {"collectors": {"instances": {"interval": "1s"}}})
    by_request(program)
    eventually(lambda: walks(vast, "default") > asked + 3)
    assert {at for at in metrics(program).splitlines() if "status_since" in at} == since


def test_a_key_file_that_everybody_can_read_is_warned_of_once_however_often_accounts_change(
    program: Program, write: Write, settings: Settings
) -> None:
    path = write("batch-key", "open")
    path.chmod(0o644)
    exposed = {"name": "exposed", "api_key_file": str(path)}
    for more in ([exposed], [], [exposed], []):
        write(settings | {"accounts": [*settings["accounts"], *more]})
        by_request(program)
    assert program.end() == 0
    said = 'msg="every user of this machine can read the key file" account=exposed'
    assert program.errors.count(said) == 1


def test_another_key_begins_anew_and_keeps_the_pace(
    program: Program, write: Write, vast: SimulatedVast, settings: Settings
) -> None:
    vast.add_account("other", "other-key", size=5, seed=4)
    research, batch = settings["accounts"]
    moved = {**research, "api_key_file": str(write("other-key", "other"))}
    write(settings | {"accounts": [moved, batch]})
    by_request(program)
    program.line("account=research collector=instances outcome=success pages=1 instances=5 ")
    assert 'vastai_api_instances{account="research"} 5' in metrics(program)
    assert len(starts(vast.requests, INSTANCES)) >= 5


def test_the_level_of_the_log_changes(program: Program, write: Write, settings: Settings) -> None:
    write(settings | {"log": {"format": "json"}})
    by_request(program)
    program.line('"msg": "configuration reloaded"')
    write(settings | {"log": {"level": "error"}})
    by_request(program)
    by_request(program)
    write("nonsense: 1")
    assert requests.post(f"{program.url()}/-/reload", timeout=30).status_code == 500
    program.line("msg=.new configuration rejected")
    assert program.errors.count("configuration reloaded") == 1


def test_reload_is_for_post_only(program: Program) -> None:
    assert requests.get(f"{program.url()}/-/reload", timeout=30).status_code == 405


# With an answer, for `systemctl reload`


@pytest.fixture
def unit(tmp_path: Path) -> dict[str, str]:
    """What systemd says to the service and to its ExecReload= alike."""
    (tmp_path / "runtime").mkdir()
    return {"RUNTIME_DIRECTORY": str(tmp_path / "runtime")}


def test_the_command_waits_for_the_new_configuration(
    start: Start, run: Run, write: Write, settings: Settings, unit: dict[str, str]
) -> None:
    program = start("--config.file", str(write(settings)), **unit)
    program.url()
    for _ in range(2):
        done = run("reload", str(program.process.pid), **unit)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert f"{RELOADED} 1" in metrics(program)


def test_the_command_fails_when_the_configuration_is_refused_and_says_why(
    start: Start, run: Run, write: Write, settings: Settings, unit: dict[str, str]
) -> None:
    program = start("--config.file", str(write(settings)), **unit)
    program.url()
    write(settings | {"limits": {"lables": 1}})
    done = run("reload", str(program.process.pid), **unit)
    assert done.returncode == 1
    assert "limits.lables" in done.stderr
    write(settings | {"web": {"listen_address": "127.0.0.1:1"}})
    done = run("reload", str(program.process.pid), **unit)
    assert done.returncode == 1
    assert "web" in done.stderr
    assert "restart" in done.stderr
    assert f"{RELOADED} 0" in metrics(program)


def test_without_a_folder_for_the_answer_the_command_says_so_and_sends_nothing(run: Run) -> None:
    done = run("reload", str(os.getpid()))
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "RUNTIME_DIRECTORY")


def test_of_a_process_that_is_gone_the_command_says_so(run: Run, unit: dict[str, str]) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    done = run("reload", str(gone.pid), **unit)
    assert (done.returncode, done.stderr) == (1, f"process {gone.pid}: No such process\n")


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(unit: dict[str, str]) -> None:
    waits: list[float] = []
    with subprocess.Popen(
        ["/bin/sh", "-c", "trap '' HUP; echo deaf; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        said = reload(deaf.pid, unit, wait=waits.append, patience=30)
        deaf.terminate()
    assert said == (f"process {deaf.pid}: no answer in 30 s",)
    assert sum(waits) == pytest.approx(30)
