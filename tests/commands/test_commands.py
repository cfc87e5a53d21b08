"""What each command does, what it prints, and how it ends."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest
import requests
from click.testing import CliRunner

from exporter import __version__
from exporter.cli import cli
from exporter.collectors import COLLECTORS

if TYPE_CHECKING:
    from click.testing import Result

    from exporter.simulator import SimulatedVast
    from tests.support.program import Run, Start, Write

#: No account can be found with these.
NOTHING: dict[str, str | None] = {
    "HOME": "/no",
    "XDG_CONFIG_HOME": None,
    "VAST_API_KEY": None,
    "VAST_API_KEY_FILE": None,
    "VAST_URL": None,
}


def invoke(*arguments: str, **variables: str) -> Result:
    """Run a command that does not serve, in this process."""
    return CliRunner().invoke(cli, arguments, env=NOTHING | variables, prog_name="vastai-exporter")


def test_the_version_is_one_line(run: Run) -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vastai-exporter, version {__version__}\n", "")


def test_the_help_lists_the_commands() -> None:
    done = invoke("--help")
    assert done.exit_code == 0
    assert re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", done.stdout, re.MULTILINE) == [
        "check-config",
        "demo",
        "files",
        "health",
        "once",
        "probe",
        "reload",
        "run",
    ]


@pytest.mark.parametrize("command", ["run", "demo", "once", "probe", "check-config", "files", "reload"])
def test_each_command_has_a_help_without_gaps(command: str) -> None:
    done = invoke(command, "--help")
    assert done.exit_code == 0
    assert "..." not in done.stdout.replace("[OPTIONS]...", "")


BAD_USES = {
    ("--config.flie", "x"): "Error: No such option '--config.flie'",
    ("serve",): "Error: No such command 'serve'.",
    ("run", "now"): "Error: Got unexpected extra argument (now)",
    ("--log.level", "loud"): "--log.level: 'loud': expected 'debug', 'info', 'warn' or 'error'",
    ("--log.format", "xml"): "--log.format: 'xml': expected 'logfmt' or 'json'",
    ("--web.listen-address", ":1", "--web.listen-address=:2"): (
        "Error: --web.listen-address: given 2 times; expected once"
    ),
    ("run", *(3 * ("--config.file", "x"))): "Error: --config.file: given 3 times; expected once",
    ("check-config", *(2 * ("--web.config.file", "x"))): "Error: --web.config.file: given 2 times; expected",
    ("health", *(2 * ("--web.listen-address", ":1"))): "Error: --web.listen-address: given 2 times; expected",
    ("demo", "--seed", "1", "--seed", "2"): "Error: --seed: given 2 times; expected once",
    ("once", "--output", "a", "--output", "b"): "Error: --output: given 2 times; expected once",
    ("--log.format",): "Error: Option '--log.format' requires an argument.",
    ("--web.listen-address", "80"): "--web.listen-address: '80': expected an address such as",
    ("--web.telemetry-path", "/"): "--web.telemetry-path: '/': expected a path such as /metrics",
    ("--config.file", "/no/such"): "/no/such: can't be read: No such file or directory",
    ("once",): "no account: expected accounts in a file, VAST_API_KEY, VAST_API_KEY_FILE or /no/",
    ("once", "--output", "/"): "Error: Invalid value for '--output': File '/' is a directory.",
    ("once", "--web.listen-address", ":1"): "Error: No such option '--web.listen-address'.",
    ("probe",): "no account: expected accounts in a file, VAST_API_KEY, VAST_API_KEY_FILE or /no/",
    ("probe", "--output", "x"): "Error: No such option '--output'.",
    ("demo", "--instances", "-1"): "Error: Invalid value for '--instances': -1 is not in the range",
    ("demo", "--seed", "one"): "Error: Invalid value for '--seed': 'one' is not a valid integer.",
    ("demo", "--speed", "-1"): "Error: Invalid value for '--speed': -1.0 is not in the range",
    ("demo", "--config.file", "x"): "Error: No such option '--config.file'.",
    ("check-config", "a", "b"): "Error: Got unexpected extra argument (b)",
    ("check-config", "/no/such"): "/no/such: can't be read: No such file or directory",
}


@pytest.mark.parametrize("arguments", BAD_USES, ids=" ".join)
def test_a_wrong_use_is_told_in_one_line_and_ends_with_2(arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(BAD_USES[arguments])


def test_a_wrong_use_of_the_real_program_is_one_line_too(run: Run) -> None:
    done = run("--no-such-flag")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: No such option '--no-such-flag'")
    assert done.stderr.count("\n") == 1


def test_a_good_configuration_is_told_to_be_good_and_what_it_means(write: Write) -> None:
    path = write(
        """
        accounts:
          - {name: research, api_key: a-key-of-nobody, budget: 2000, label_budgets: {train: 1500.5, "": 10}}
          - {name: ops, api_key_env: OPS_KEY}
        collectors: {account: {enabled: false}}
        """
    )
    done = invoke("check-config", str(path), OPS_KEY="another-key", VAST_API_KEY="a-third")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{path}: valid",
        "api: https://console.vast.ai",
        "accounts: research, ops",
        "budget research: 2,000, train: 1,500.5, no label: 10 dollars per month",
        "collector instances: every 1m, stale after 5m",
        *(f"collector {each.name}: off" for each in COLLECTORS if each.name != "instances"),
        "discovery: off",
        "metrics: :10622/metrics",
    ]
    assert done.stderr == f"VAST_API_KEY is ignored: the accounts of {path} are used\n"
    assert not re.search("a-key-of-nobody|another-key|a-third", done.output)


@pytest.mark.parametrize(
    ("settings", "meaning"),
    [
        ("enabled: true", "all exposed TCP ports of all running instances"),
        ("enabled: true, ports: [8000/tcp, 22]", "ports 8000, 22 of all running instances"),
        (
            "enabled: true, ports: [8000], labels: [serving, '']",
            "ports 8000 of running instances with label 'serving', ''",
        ),
    ],
)
def test_what_discovery_would_find_is_told_in_words(write: Write, settings: str, meaning: str) -> None:
    path = write(f"accounts: [{{name: a, api_key: k}}]\ndiscovery: {{{settings}}}")
    assert f"discovery: {meaning}" in invoke("check-config", str(path)).stdout.splitlines()


def test_a_filter_that_matches_nothing_is_told_when_it_is_checked(write: Write) -> None:
    account = "{name: a, api_key: k, select_filters: {gpu_name: {in: [RTX_4090]}}}"
    done = invoke("check-config", str(write(f"accounts: [{account}]")))
    assert done.exit_code == 0
    assert done.stderr.endswith("'RTX_4090': matches nothing; the API writes 'RTX 4090'\n")


def test_the_environment_alone_can_be_checked(run: Run) -> None:
    done = run("check-config", VAST_API_KEY="a-key-of-nobody")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("environment: valid\n")
    assert "accounts: default\n" in done.stdout


def test_a_bad_configuration_is_a_line_for_each_mistake(write: Write) -> None:
    path = write("api: {timeout: 5}\nlog: {level: loud}\n")
    done = invoke("check-config", str(path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert [line.partition(": expected")[0] for line in done.stderr.splitlines()] == [
        f"{path}: api.timeout: 5",
        f"{path}: log.level: 'loud'",
    ]


@pytest.mark.parametrize("command", [(), ("run",)])
def test_run_serves_and_may_be_left_out(
    command: tuple[str, ...], start: Start, write: Write, settings: dict[str, object]
) -> None:
    config = str(write(settings))
    program = start(*command, "--config.file", config, "--web.telemetry-path=/m", "--log.format", "json")
    found = program.line(r'"msg": "serving", "url": "(http://127.0.0.1:\d+)/m"')
    assert requests.get(f"{found[1]}/m", timeout=30).status_code == 200
    assert program.end() == 0
    assert '"msg": "stopped", "signal": "SIGTERM"' in program.errors.splitlines()[-1]


def test_a_port_that_is_taken_is_told_in_one_line_and_ends_with_1(
    run: Run, write: Write, settings: dict[str, object]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("--config.file", str(write(settings)), "--web.listen-address", address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"can't listen on {address}: Address already in use\n"


def test_the_vendors_variables_are_enough(start: Start, vast: SimulatedVast) -> None:
    program = start("--web.listen-address", "127.0.0.1:0", VAST_API_KEY=vast.key, VAST_URL=vast.url)
    program.line("account=default collector=instances outcome=success pages=3 instances=60")


# The demo


def ids(url: str) -> set[str]:
    return set(re.findall(r'vastai_instance_info{account="default",instance_id="(\d+)"', metrics(url)))


def metrics(url: str) -> str:
    return requests.get(f"{url}/metrics", timeout=30).text


def test_demos_with_one_seed_show_the_same_fleet_whatever_proxy_is_set(start: Start) -> None:
    arguments = ("demo", "--web.listen-address", "127.0.0.1:0", "--instances", "20", "--speed", "0")
    demos = [
        start(*arguments, "--seed", "7", HTTP_PROXY="http://127.0.0.1:9"),
        start(*arguments, "--seed", "7"),
        start(*arguments, "--seed", "8"),
    ]
    for demo in demos:
        demo.line("collector=instances outcome=success pages=1 instances=20")
    first, same, other = (ids(demo.url()) for demo in demos)
    assert len(first) == 20
    assert first == same
    assert first != other
    assert [demo.end() for demo in demos] == [0, 0, 0]


def test_a_demo_without_instances_is_a_fleet_of_none(start: Start) -> None:
    demo = start("demo", "--instances", "0", "--web.listen-address", "127.0.0.1:0")
    demo.line("collector=instances outcome=success pages=1 instances=0")
    text = metrics(demo.url())
    assert 'vastai_instances{account="default",status="running"} 0\n' in text
    assert 'vastai_api_instances{account="default"} 0\n' in text
    assert "vastai_instance_info" not in text
