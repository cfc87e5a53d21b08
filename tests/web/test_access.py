"""What a change of the web configuration may do while the process runs: it never opens what was closed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import yaml

from exporter.web.access import LiveAccess

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.program import Certificates, Start, Write

    Hashed = Callable[[str], str]

ALICE = ("alice", "secret")


@pytest.fixture
def whole(certificates: Certificates, hashed: Hashed) -> str:
    """All that can be asked of clients; what asks for it stands last, where it is lost first."""
    tls = {
        **certificates.server(),
        "client_ca_file": certificates.ca_file,
        "client_auth_type": "RequireAndVerifyClientCert",
        "min_version": "TLS13",
    }
    users = {"alice": hashed("secret"), "bob": hashed("other")}
    return yaml.safe_dump({"tls_server_config": tls, "basic_auth_users": users}, sort_keys=False)


def test_however_much_of_the_file_is_written_nobody_gets_in_who_did_not_before(
    whole: str, write: Write
) -> None:
    live = LiveAccess(write(whole, "web.yml"))
    users = live.now().config.basic_auth_users
    context = live.now().context

    for length in range(len(whole)):
        write(whole[:length], "web.yml")
        now = live.now()

        assert now.config.basic_auth_users
        assert now.config.basic_auth_users.items() <= users.items()
        assert now.context is not None
        assert context is not None
        assert now.context.verify_mode == context.verify_mode
        assert now.context.minimum_version == context.minimum_version


def without_users(web: dict[str, dict[str, str]]) -> None:
    del web["basic_auth_users"]


def without_certificates(web: dict[str, dict[str, str]]) -> None:
    del web["tls_server_config"]["client_auth_type"], web["tls_server_config"]["client_ca_file"]


def with_optional_certificates(web: dict[str, dict[str, str]]) -> None:
    web["tls_server_config"]["client_auth_type"] = "VerifyClientCertIfGiven"


def with_older_tls(web: dict[str, dict[str, str]]) -> None:
    del web["tls_server_config"]["min_version"]


def without_tls(web: dict[str, dict[str, str]]) -> None:
    del web["tls_server_config"]


OPENED: dict[Callable[[dict[str, dict[str, str]]], None], str] = {
    without_users: "basic_auth_users: removing all users requires a restart",
    without_certificates: (
        "tls_server_config.client_auth_type: weakening RequireAndVerifyClientCert requires a restart"
    ),
    with_optional_certificates: (
        "tls_server_config.client_auth_type: weakening RequireAndVerifyClientCert requires a restart"
    ),
    with_older_tls: "tls_server_config.min_version: lowering TLS13 requires a restart",
    without_tls: "tls_server_config: enabling or disabling TLS requires a restart",
}


@pytest.mark.parametrize("opened", OPENED, ids=lambda change: change.__name__)
def test_a_file_that_asks_less_of_clients_is_refused_until_it_asks_for_it_again(
    opened: Callable[[dict[str, dict[str, str]]], None],
    whole: str,
    write: Write,
    caplog: pytest.LogCaptureFixture,
) -> None:
    read: list[bool] = []
    path = write(whole, "web.yml")
    live = LiveAccess(path, on_read=read.append)
    before = live.now()
    web = yaml.safe_load(whole)
    opened(web)

    write(web, "web.yml")
    assert live.now() is before
    assert read == [False]
    assert live.mistakes == (f"{path}: {OPENED[opened]}",)
    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (logging.ERROR, "new web configuration rejected")
    assert line.__dict__["fields"] == {"error": f"{path}: {OPENED[opened]}"}

    write(whole, "web.yml")
    assert live.now().config == before.config
    assert read == [False, True]
    assert not live.mistakes


def test_what_asks_more_of_clients_counts_at_once(whole: str, write: Write) -> None:
    web = yaml.safe_load(whole)
    for change in (without_users, without_certificates, with_older_tls):
        change(web)
    live = LiveAccess(write(web, "web.yml"))

    write(whole, "web.yml")

    assert live.now().config.basic_auth_users
    assert live.now().config.tls_server_config is not None
    assert not live.mistakes


def test_to_begin_with_tls_needs_a_restart(whole: str, write: Write) -> None:
    web = yaml.safe_load(whole)
    without_tls(web)
    path = write(web, "web.yml")
    live = LiveAccess(path)

    write(whole, "web.yml")

    assert live.now().context is None
    assert live.mistakes == (f"{path}: tls_server_config: enabling or disabling TLS requires a restart",)


def test_who_is_removed_while_another_stays_is_out_at_once(whole: str, write: Write) -> None:
    live = LiveAccess(write(whole, "web.yml"))
    web = yaml.safe_load(whole)
    del web["basic_auth_users"]["alice"]

    write(web, "web.yml")

    assert list(live.now().config.basic_auth_users) == ["bob"]


def test_a_file_that_asks_nothing_is_warned_of_at_the_start(
    whole: str, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    LiveAccess(None)
    LiveAccess(write(whole, "web.yml"))
    assert not caplog.records

    path = write("", "web.yml")
    LiveAccess(path)

    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (
        logging.WARNING,
        "the web configuration requires neither a user nor a client certificate",
    )
    assert line.__dict__["fields"] == {"file": str(path)}


def test_a_program_whose_file_has_lost_its_users_lets_nobody_in_and_says_so(
    settings: dict[str, object], write: Write, start: Start, hashed: Hashed
) -> None:
    path = write({"basic_auth_users": {"alice": hashed("secret")}}, "web.yml")
    web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
    program = start("--config.file", str(write({**settings, "web": web})))
    url = program.url()
    text = Path(path).read_text()

    write("", "web.yml")
    assert requests.get(f"{url}/metrics", timeout=30).status_code == 401
    program.line('level=error msg="new web configuration rejected" error=".*removing all users requires')
    metrics = requests.get(f"{url}/metrics", auth=ALICE, timeout=30).text
    assert "\nvastai_exporter_config_last_reload_successful 0\n" in metrics
    reply = requests.post(f"{url}/-/reload", auth=ALICE, timeout=30)
    assert (reply.status_code, reply.text) == (
        500,
        f"{path}: basic_auth_users: removing all users requires a restart\n",
    )

    write(text, "web.yml")
    metrics = requests.get(f"{url}/metrics", auth=ALICE, timeout=30).text
    assert "\nvastai_exporter_config_last_reload_successful 1\n" in metrics
