"""Nothing that the API sends and nobody asked for, and no key, is in anything that the program shows."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.collectors.instances import COLUMNS
from exporter.simulator import INSTANCES, USER, Reply, SimulatedVast, json_reply
from exporter.simulator.endpoints.backups import BACKUPS
from exporter.simulator.endpoints.notifications import INBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.program import Program, Run, Start, Write

#: The most that the API gives.
ROWS_A_PAGE = 25
#: Shorter texts, such as "ubuntu", are words that may stand anywhere.
LEAST = 7
#: What the user's reply has that is no secret: the names of rights.
PUBLIC = {"rights"}
PAGES = ("/metrics", "/", "/-/healthy", "/-/ready", "/nowhere")
OPENMETRICS = {"Accept": "application/openmetrics-text"}
KEY_IN_ENVIRONMENT = "the-key-in-the-environment"


def texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value.strip()


def whole(vast: SimulatedVast, endpoint: str) -> dict[str, object]:
    """Return what the API sends to those who don't say what they want."""
    headers = {"Authorization": f"Bearer {vast.key}"}
    reply: dict[str, object] = requests.get(vast.url + endpoint, headers=headers, timeout=30).json()
    return reply


def listed(vast: SimulatedVast, endpoint: str, name: str) -> list[dict[str, object]]:
    found = whole(vast, endpoint)[name]
    assert isinstance(found, list)
    assert found
    return found


def rows(vast: SimulatedVast) -> list[dict[str, object]]:
    return listed(vast, INSTANCES, "instances")


def private(vast: SimulatedVast) -> set[str]:
    """Return every text that the API sends in fields that are not exported, and every key."""
    exported = {text for row in rows(vast) for name in COLUMNS for text in texts(row.get(name))}
    fields = [value for row in rows(vast) for name, value in row.items() if name not in COLUMNS]
    fields += [value for name, value in whole(vast, USER).items() if name not in PUBLIC]
    fields += [
        [row["event_id"], row["subject"], row["message"]] for row in listed(vast, INBOX, "notifications")
    ]
    fields += [row["info"] for row in listed(vast, BACKUPS, "backups")]
    keys = {str(account.key) for account in vast.accounts.values()}
    return {text for text in texts(fields) if len(text) >= LEAST} - exported | keys


@pytest.fixture
def vast() -> Iterator[SimulatedVast]:
    with SimulatedVast(size=60, thresholds=False) as served:
        served.add_account("batch", KEY_IN_ENVIRONMENT, size=10, seed=2)
        yield served


@pytest.fixture
def secrets(vast: SimulatedVast) -> set[str]:
    found = private(vast)
    assert len(found) > 100
    return found


@pytest.fixture
def config(vast: SimulatedVast, write: Write) -> str:
    accounts = [
        {"name": "research", "api_key_file": str(write(vast.key + "\n", "key"))},
        {"name": "batch", "api_key_env": "BATCH_KEY"},
    ]
    settings = {
        "api": {"url": vast.url, "min_interval": "0s", "timeout": "20s"},
        "accounts": accounts,
        "collectors": {
            "instances": {"interval": "1s"},
            "notifications": {"enabled": True, "interval": "1s"},
            "backups": {"enabled": True},
        },
        "web": {"listen_address": "127.0.0.1:0"},
    }
    return str(write(settings))


@pytest.fixture
def discovering(config: str) -> str:
    """The configuration with discovery switched on, by which addresses are received."""
    path = Path(config)
    path.write_text(path.read_text() + "discovery: {enabled: true}\n")
    return config


@pytest.fixture
def begin(start: Start, config: str) -> Callable[[], Program]:
    return lambda: start("--config.file", config, "--log.level", "debug", BATCH_KEY=KEY_IN_ENVIRONMENT)


def shown(program: Program) -> dict[str, str]:
    """Return all that a program shows while it runs, and its log; it is ended."""
    url = program.url()
    found = {page: requests.get(url + page, timeout=30).text for page in PAGES}
    found["openmetrics"] = requests.get(url + "/metrics", headers=OPENMETRICS, timeout=30).text
    found["reload"] = requests.post(url + "/-/reload", timeout=30).text
    found["process list"] = Path(f"/proc/{program.process.pid}/cmdline").read_text()
    assert program.end() == 0
    return found | {"log": program.errors}


def leaks(shown: Mapping[str, str], secrets: set[str]) -> list[tuple[str, str]]:
    return [(place, secret) for place, text in shown.items() for secret in secrets if secret in text]


def finished(program: Program, outcome: str = "success") -> None:
    """Wait for one run of each collector of each account, or of those that fail."""
    collectors = ("instances", "account", *(("notifications", "backups") if outcome == "success" else ()))
    for account in ("research", "batch"):
        for collector in collectors:
            program.line(f"account={account} collector={collector} outcome={outcome}")


def test_no_secret_is_asked_for(vast: SimulatedVast, begin: Callable[[], Program]) -> None:
    finished(begin())
    asked = [json.loads(one.params["select_cols"]) for one in vast.requests if one.endpoint == INSTANCES]
    assert {tuple(columns) for columns in asked} == {COLUMNS}
    assert not {"jupyter_token", "extra_env", "onstart", "public_ipaddr", "ssh_host", "ports"} & set(COLUMNS)


def test_no_secret_is_shown_when_all_is_well(begin: Callable[[], Program], secrets: set[str]) -> None:
    program = begin()
    finished(program)
    everything = shown(program)
    assert 'vastai_api_instances{account="research"} 60' in everything["/metrics"]
    assert 'vastai_notifications_total{account="research",type="outbid"} ' in everything["/metrics"]
    assert 'vastai_backup_created_timestamp_seconds{account="research",' in everything["/metrics"]
    assert not leaks(everything, secrets)


@pytest.mark.usefixtures("discovering")
def test_addresses_that_discovery_receives_are_shown_nowhere_else(
    begin: Callable[[], Program], secrets: set[str]
) -> None:
    program = begin()
    finished(program)
    found = requests.get(program.url() + "/sd/instances", timeout=30)
    targets = {target for group in found.json() for target in group["targets"]}
    hosts = {target.rpartition(":")[0] for target in targets}
    assert len(targets) > 60
    assert hosts & secrets
    everything = shown(program)
    assert 'field="public_ipaddr"' in everything["/metrics"]
    assert not leaks(everything, secrets | hosts)


@pytest.mark.usefixtures("discovering")
def test_an_address_or_a_port_that_is_odd_is_counted_and_shown_nowhere(
    vast: SimulatedVast, begin: Callable[[], Program], secrets: set[str]
) -> None:
    some = rows(vast)[:ROWS_A_PAGE]
    odd = {str(row["public_ipaddr"]): row for row in some if row["ports"]}
    for address, row in odd.items():
        row["public_ipaddr"], row["ports"] = {address: row["ports"]}, {address: address}
    vast.faults.always(INSTANCES, json_reply({"instances": some, "next_token": None}))
    program = begin()
    finished(program)
    everything = shown(program)
    counted = 'vastai_unreadable_values_total{account="research",collector="instances",field="public_ipaddr"}'
    assert f"{counted} {len(odd)}\n" in everything["/metrics"]
    assert not leaks(everything, secrets)


def fail(vast: SimulatedVast, replies: Callable[[str], list[Reply]]) -> None:
    """Let each endpoint fail in a way of its own for each account; `replies` gets the account's key."""
    for account, first in zip(vast.accounts.values(), (0, 2), strict=True):
        for endpoint, reply in zip((INSTANCES, USER), replies(str(account.key))[first:], strict=False):
            vast.faults.always(endpoint, reply, account.name)


def test_no_secret_is_shown_when_a_reply_that_is_an_error_holds_it(
    vast: SimulatedVast, begin: Callable[[], Program], secrets: set[str]
) -> None:
    found, user = rows(vast), whole(vast, USER)
    replies = [
        json_reply({"instances": found, "user": user}, 500),
        json_reply([found, user]),
        Reply(body=json.dumps(found).encode()[:-9]),
        Reply(body=b"<html>" + json.dumps([found, user]).encode()),
    ]
    fail(vast, lambda _: replies)
    program = begin()
    finished(program, "failure")
    assert not leaks(shown(program), secrets)


def test_no_text_of_a_notification_is_shown_when_an_error_or_an_odd_place_holds_it(
    vast: SimulatedVast, begin: Callable[[], Program], secrets: set[str]
) -> None:
    found = listed(vast, INBOX, "notifications")
    text = str(found[0]["message"])
    odd = {"instance_id": text, "machine_id": 88, "your_bid": text, "subject": text}
    changed = [row | {"notif_type": text, "created_at": text} for row in found]
    changed += [row | {"event_id": f"{row['event_id']}2", "associated_id": odd} for row in found]
    vast.faults.always(INBOX, json_reply({"notifications": changed}), "default")
    vast.faults.always(INBOX, json_reply({"notifications": found}, 500), "batch")
    program = begin()
    program.line("account=research collector=notifications outcome=success")
    program.line("account=batch collector=notifications outcome=failure")
    assert not leaks(shown(program), secrets)


def echo(key: str, status: int) -> Reply:
    """An error that says the key back."""
    message = f"no {key} for /api?api_key={key}"
    location = f"http://{key}:{key}@vast.invalid/{key}?key={key}"
    content = {"success": False, "error": f"bad {key}", "msg": message}
    return replace(json_reply(content, status), headers={"location": location})


@pytest.mark.parametrize("statuses", [(200, 302, 400, 401), (404, 429, 500, 503)])
def test_no_key_is_shown_when_the_api_says_it_back(
    statuses: tuple[int, ...], vast: SimulatedVast, begin: Callable[[], Program], secrets: set[str]
) -> None:
    fail(vast, lambda key: [echo(key, status) for status in statuses])
    program = begin()
    finished(program, "failure")
    assert not leaks(shown(program), secrets)


def test_no_key_is_shown_when_the_api_says_it_to_another_account(
    vast: SimulatedVast, begin: Callable[[], Program], secrets: set[str]
) -> None:
    program = begin()
    finished(program)
    keys = " ".join(str(account.key) for account in vast.accounts.values())
    vast.faults.always(INSTANCES, json_reply({"error": f"no {keys}"}, 400))
    for account in ("research", "batch"):
        program.line(f"account={account} collector=instances outcome=failure")
    everything = shown(program)
    assert everything["/"].count("HTTP 400 (no ") == 2
    assert not leaks(everything, secrets)


def test_no_secret_is_shown_when_it_comes_unasked_or_in_the_wrong_place(
    vast: SimulatedVast, begin: Callable[[], Program], secrets: set[str]
) -> None:
    some = rows(vast)[: ROWS_A_PAGE - 1]
    for row in some:
        row["gpu_util"], row["dph_total"] = row["jupyter_token"], [row["onstart"]]
    some.insert(0, {"id": some[0]["jupyter_token"]})
    vast.faults.always(INSTANCES, json_reply({"instances": some, "next_token": None}))
    program = begin()
    finished(program)
    everything = shown(program)
    assert (
        'vastai_unreadable_values_total{account="research",field="gpu_util"} 0' not in everything["/metrics"]
    )
    assert not leaks(everything, secrets)


def test_no_secret_is_shown_by_the_other_commands(run: Run, config: str, secrets: set[str]) -> None:
    found: dict[str, str] = {}
    for command in (("check-config", config), ("once", "--config.file", config)):
        done = run(*command, BATCH_KEY=KEY_IN_ENVIRONMENT)
        assert done.returncode == 0
        found |= {command[0]: done.stdout, f"{command[0]}, errors": done.stderr}
    assert not leaks(found, secrets)


def test_addresses_are_shown_by_no_other_command_while_discovery_is_on(
    run: Run, discovering: str, secrets: set[str], tmp_path: Path
) -> None:
    targets = tmp_path / "instances.json"
    for command in (
        ("check-config", discovering),
        ("once", "--config.file", discovering),
        ("once", "--config.file", discovering, "--log.level", "debug", "--sd-output", str(targets)),
    ):
        done = run(*command, BATCH_KEY=KEY_IN_ENVIRONMENT)
        assert done.returncode == 0
        assert not leaks({"output": done.stdout, "errors": done.stderr}, secrets)
    assert leaks({"targets": targets.read_text()}, secrets)


def test_no_key_is_shown_by_a_mistake_in_the_configuration(
    begin: Callable[[], Program], run: Run, write: Write, vast: SimulatedVast, config: str, secrets: set[str]
) -> None:
    program = begin()
    finished(program)
    bad = [
        f"accounts: [{{name: a, api_key: {vast.key}, api_key_env: {KEY_IN_ENVIRONMENT}}}]",
        f"accounts: [{{name: a, api_key: [{vast.key}]}}]",
        f"accounts: {vast.key}",
        f"accounts: [{{name: a, api_key: '{vast.key}\n{vast.key}'}}]",
    ]
    for text in bad:
        write(text)
        program.process.send_signal(signal.SIGHUP)
        reply = requests.post(program.url() + "/-/reload", timeout=30)
        checked = run("check-config", config)
        assert (reply.status_code, checked.returncode) == (500, 2)
        assert not leaks({"reload": reply.text, "check-config": checked.stdout + checked.stderr}, secrets)
    assert program.end() == 0
    assert not leaks({"log": program.errors}, secrets)
