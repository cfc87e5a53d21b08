"""Users of the web side: who gets in, what the others see, and what guessing costs."""

from __future__ import annotations

import asyncio
import base64
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import bcrypt
import pytest
import requests
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from exporter.web.access import LiveAccess
from exporter.web.app import create_app
from exporter.web.server import BackgroundServer, listen
from exporter.web.users import (
    MOST_REMEMBERED,
    MOST_WAITING,
    PasswordChecks,
    TooManyGuessesError,
    credentials_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.program import Program, Start, Write
    from tests.web.conftest import Fleet

    Hashed = Callable[[str], str]
    Eventually = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.private_parts

ALICE = ("alice", "secret")
OPEN = ("/-/healthy", "/healthz", "/-/ready", "/readyz")
CLOSED = ("/", "/metrics", "/no/such")


def sent(credentials: tuple[str, str]) -> tuple[str, bytes]:
    return credentials[0], credentials[1].encode()


def basic(name: str, password: bytes) -> str:
    return "Basic " + base64.b64encode(name.encode() + b":" + password).decode()


# Passwords


@pytest.fixture
def users(hashed: Hashed) -> dict[str, SecretStr]:
    return {"alice": SecretStr(hashed("secret")), "bob": SecretStr(hashed("another"))}


class Bcrypt:
    """Counts what is asked of bcrypt, and lets it take as long as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[bytes] = []
        real = bcrypt.checkpw

        def check(password: bytes, hashed: bytes) -> bool:
            self.hashes.append(hashed)
            return real(password, hashed)

        monkeypatch.setattr(bcrypt, "checkpw", check)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Bcrypt:
    return Bcrypt(monkeypatch)


@pytest.fixture
def passwords() -> Iterator[PasswordChecks]:
    checks = PasswordChecks()
    yield checks
    checks.close()


def test_only_a_users_own_password_lets_in(passwords: PasswordChecks, users: dict[str, SecretStr]) -> None:
    async def attempts() -> list[bool]:
        names = [ALICE, ("bob", "another"), ("alice", "another"), ("alice", ""), ("carol", "secret")]
        return [await passwords.admits(users, sent(name)) for name in names]

    assert asyncio.run(attempts()) == [True, True, False, False, False]


def test_what_was_right_is_not_asked_of_bcrypt_again_and_what_was_wrong_is(
    passwords: PasswordChecks, users: dict[str, SecretStr], asked: Bcrypt
) -> None:
    async def attempts() -> list[bool]:
        names = [ALICE, ALICE, ALICE, ("alice", "wrong"), ("alice", "wrong")]
        return [await passwords.admits(users, sent(name)) for name in names]

    assert asyncio.run(attempts()) == [True, True, True, False, False]
    assert len(asked.hashes) == 3


def test_a_changed_hash_ends_what_was_remembered(
    passwords: PasswordChecks, users: dict[str, SecretStr], hashed: Hashed
) -> None:
    async def attempts() -> list[bool]:
        before = await passwords.admits(users, sent(ALICE))
        changed = users | {"alice": SecretStr(hashed("new"))}
        gone = {"bob": users["bob"]}
        return [
            before,
            await passwords.admits(changed, sent(ALICE)),
            await passwords.admits(gone, sent(ALICE)),
        ]

    assert asyncio.run(attempts()) == [True, False, False]


@pytest.mark.parametrize("name", ["cheap", "middle", "dear", "nobody"])
@pytest.mark.parametrize("password", [b"secret", b"wrong"])
def test_every_check_is_as_much_work_whoever_it_is_for(
    passwords: PasswordChecks, asked: Bcrypt, name: str, password: bytes
) -> None:
    costs = {"cheap": 4, "middle": 6, "dear": 7}
    users = {
        user: SecretStr(bcrypt.hashpw(b"secret", bcrypt.gensalt(cost)).decode())
        for user, cost in costs.items()
    }

    admitted = asyncio.run(passwords.admits(users, (name, password)))

    assert admitted == (name in users and password == b"secret")
    assert sum(2 ** int(hashed[4:6]) for hashed in asked.hashes) == 2**7


def test_what_is_remembered_is_bounded(passwords: PasswordChecks, hashed: Hashed) -> None:
    crowd = {f"user{number}": SecretStr(hashed("secret")) for number in range(MOST_REMEMBERED + 5)}

    async def attempts() -> None:
        for name in crowd:
            assert await passwords.admits(crowd, (name, b"secret"))

    asyncio.run(attempts())

    assert len(passwords._right) == MOST_REMEMBERED  # noqa: SLF001 - that it is bounded shows nowhere else


def test_a_flood_of_guesses_is_turned_away_and_keeps_nobody_out_who_was_in(
    users: dict[str, SecretStr],
) -> None:
    passwords = PasswordChecks(most_waiting=3)

    async def guess(number: int) -> str:
        try:
            return str(await passwords.admits(users, ("alice", b"guess%d" % number)))
        except TooManyGuessesError:
            return "turned away"

    async def flood() -> tuple[list[str], bool]:
        assert await passwords.admits(users, sent(ALICE))
        guesses = [asyncio.create_task(guess(number)) for number in range(50)]
        await asyncio.sleep(0)
        admitted = await passwords.admits(users, sent(ALICE))  # while all of them wait
        assert not any(task.done() and task.result() == "True" for task in guesses)
        return [await task for task in guesses], admitted

    answers, admitted = asyncio.run(flood())
    passwords.close()

    assert admitted
    assert (answers.count("False"), answers.count("turned away")) == (3, 47)


def test_passwords_are_checked_one_at_a_time(
    passwords: PasswordChecks, users: dict[str, SecretStr], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: threads.add(threading.get_ident()))

    async def guesses() -> None:
        await asyncio.gather(*(passwords.admits(users, ("alice", b"%d" % each)) for each in range(10)))

    asyncio.run(guesses())

    assert len(threads) == 1
    assert threads != {threading.get_ident()}  # nor does anything else wait for it


def test_what_is_remembered_is_of_no_use_to_another_process(users: dict[str, SecretStr]) -> None:
    tokens = set()
    for checks in (PasswordChecks(), PasswordChecks()):
        assert asyncio.run(checks.admits(users, sent(ALICE)))
        tokens |= set(checks._right)  # noqa: SLF001 - that they differ shows nowhere else
        checks.close()

    assert len(tokens) == 2
    assert not any(b"secret" in token for token in tokens)


def test_who_guesses_while_sixteen_wait_is_answered_503_and_the_verdict_is_still_told(
    fleet: Fleet, users: dict[str, SecretStr], write: Write
) -> None:
    assert MOST_WAITING == 16
    path = write({"basic_auth_users": {name: hash_.get_secret_value() for name, hash_ in users.items()}}, "w")
    passwords = PasswordChecks(most_waiting=0)
    app = create_app(
        fleet,
        telemetry_path="/metrics",
        wall_clock=time.time,
        access=LiveAccess(path),
        passwords=passwords,
    )
    with BackgroundServer(app, listen("127.0.0.1", 0)) as server:
        refused = requests.get(f"{server.url}/metrics", auth=ALICE, timeout=30)
        verdict = requests.get(f"{server.url}/-/healthy", auth=ALICE, timeout=30)
    passwords.close()

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (verdict.status_code, verdict.text) == (200, "healthy\n")


@pytest.mark.parametrize(
    "password", [b"a" * 72, b"a" * 200, "päßwörd🔑".encode(), b"with\0null", b":colons:", b""], ids=len
)
def test_any_password_can_be_one(passwords: PasswordChecks, password: bytes) -> None:
    users = {"alice": SecretStr(bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode())}

    assert asyncio.run(passwords.admits(users, ("alice", password)))


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_hashes_of_all_usual_tools_are_understood(
    passwords: PasswordChecks, prefix: str, hashed: Hashed
) -> None:
    users = {"alice": SecretStr(prefix + hashed("secret")[4:])}  # htpasswd writes 2y; the algorithm is one

    assert asyncio.run(passwords.admits(users, sent(ALICE)))


# The header


@given(name=st.text().filter(lambda name: ":" not in name), password=st.binary())
def test_name_and_password_come_out_as_they_went_in(name: str, password: bytes) -> None:
    assert credentials_of(basic(name, password)) == (name, password)


@given(st.text() | st.text().map(lambda text: f"Basic {text}"))
def test_any_other_header_is_none_or_a_name_and_a_password(header: str) -> None:
    found = credentials_of(header)

    assert found is None or (header.lower().startswith("basic ") and ":" not in found[0])


@pytest.mark.parametrize("header", ["", "Basic", "Basic !", "Basic YQ==", "Bearer YTpi", "Basic /zph"])
def test_what_is_not_a_name_and_a_password_is_none(header: str) -> None:
    assert credentials_of(header) is None


# The program


@pytest.fixture
def program(settings: dict[str, object], write: Write, start: Start, hashed: Hashed) -> Program:
    write({"basic_auth_users": {"alice": hashed("secret")}}, "web.yml")
    web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
    return start("--config.file", str(write({**settings, "web": web})))


def test_without_a_password_there_is_nothing_but_the_verdict(program: Program) -> None:
    for path in CLOSED:
        reply = requests.get(program.url() + path, timeout=30)
        assert (reply.status_code, reply.text) == (401, "user name and password required\n"), path
        assert reply.headers["WWW-Authenticate"].startswith('Basic realm="vastai-exporter"')
    for path in OPEN:
        assert requests.get(program.url() + path, timeout=30).text.strip() in {
            "healthy",
            "ready",
            "not ready",
        }, path


def test_a_user_sees_everything_and_may_reload(program: Program) -> None:
    url = program.url()
    assert requests.post(f"{url}/-/reload", timeout=30).status_code == 401
    assert requests.post(f"{url}/-/reload", auth=ALICE, timeout=30).text == "reloaded\n"
    assert requests.get(f"{url}/no/such", auth=ALICE, timeout=30).status_code == 404
    assert "vastai_" in requests.get(f"{url}/metrics", auth=ALICE, timeout=30).text
    assert "research" in requests.get(url, auth=ALICE, timeout=30).text


def test_who_is_unknown_is_not_told_which_account_is_in_trouble(
    settings: dict[str, Any], write: Write, start: Start, hashed: Hashed
) -> None:
    write({"basic_auth_users": {"alice": hashed("secret")}}, "web.yml")
    web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
    slow = settings["api"] | {"min_interval": "60s"}  # so that the first walk takes minutes
    url = start("--config.file", str(write({**settings, "api": slow, "web": web}))).url() + "/-/ready"

    stranger, user = requests.get(url, timeout=30), requests.get(url, auth=ALICE, timeout=30)

    assert (stranger.status_code, stranger.text) == (503, "not ready\n")
    assert user.status_code == 503
    assert "account 'research', collector instances: the first run has not finished" in user.text


def test_users_change_without_a_restart_and_a_mistake_locks_nobody_out(
    program: Program, write: Write, hashed: Hashed
) -> None:
    url = f"{program.url()}/metrics"

    def status(name: str, password: str) -> int:
        return requests.get(url, auth=(name, password), timeout=30).status_code

    assert (status(*ALICE), status("bob", "other")) == (200, 401)

    write({"basic_auth_users": {"bob": hashed("other")}}, "web.yml")
    assert (status(*ALICE), status("bob", "other")) == (401, 200)
    program.line('level=info msg="web configuration reloaded" users=1')
    assert good(url) == 1

    write("basic_auth_users: {bob: other}", "web.yml")
    assert (status("bob", "other"), good(url)) == (200, 0)
    program.line(r'level=error msg="new web configuration rejected" error=".*basic_auth_users.bob: expected')

    write({"tls_server_config": {}, "basic_auth_users": {}}, "web.yml")
    assert status("nobody", "") == 401

    write({"basic_auth_users": {"bob": hashed("other")}}, "web.yml")
    assert (status("bob", "other"), good(url)) == (200, 1)


def test_a_reload_says_what_is_wrong_with_the_users(program: Program, write: Write) -> None:
    url = f"{program.url()}/-/reload"
    path = write("basic_auth_users: {alice: secret}", "web.yml")

    reply = requests.post(url, auth=ALICE, timeout=30)

    assert reply.status_code == 500
    assert reply.text.startswith(f"{path}: basic_auth_users.alice: expected a bcrypt hash")


def good(url: str) -> float:
    text = requests.get(url, auth=("bob", "other"), timeout=30).text
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("vastai_exporter_config_last_reload_successful ")
    ]
    return float(line.split()[1])


def test_configured_headers_are_on_every_reply(
    settings: dict[str, object], write: Write, start: Start, hashed: Hashed
) -> None:
    headers = {
        "X-Frame-Options": "deny",
        "Content-Security-Policy": "default-src 'self'",
        "Strict-Transport-Security": "",
    }
    content = {"basic_auth_users": {"alice": hashed("secret")}, "http_server_config": {"headers": headers}}
    write(content, "web.yml")
    web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
    url = start("--config.file", str(write({**settings, "web": web}))).url()

    for path, auth in (
        ("/", ALICE),
        ("/metrics", ALICE),
        ("/metrics", None),
        ("/-/healthy", None),
        ("/no", ALICE),
    ):
        reply = requests.get(url + path, auth=auth, timeout=30)
        assert {name: reply.headers[name] for name in headers} == headers, path


def test_no_password_and_no_hash_is_in_the_logs(program: Program, hashed: Hashed, write: Write) -> None:
    url = program.url()
    for auth in (ALICE, ("alice", "wrong-guess"), ("intruder", "secret")):
        requests.get(url, auth=auth, timeout=30)
    write({"basic_auth_users": {"carol": hashed("other")}}, "web.yml")
    requests.get(url, auth=ALICE, timeout=30)
    program.end()

    for secret in ("secret", "wrong-guess", "$2b$", base64.b64encode(b"alice:secret").decode()):
        assert secret not in program.errors


def test_it_ends_quietly_while_passwords_are_being_guessed(
    settings: dict[str, object], write: Write, start: Start
) -> None:
    dear = "$2b$14$" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()[7:]  # a second or more for each
    write({"basic_auth_users": {"alice": dear}}, "web.yml")
    web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
    program = start("--config.file", str(write({**settings, "web": web})))
    address = urlsplit(program.url())
    header = basic("alice", b"guess")
    with ExitStack() as crowd:
        for _ in range(6):
            client = crowd.enter_context(socket.create_connection((address.hostname, address.port)))
            client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {header}\r\n\r\n".encode())
        assert requests.get(f"{program.url()}/-/healthy", timeout=30).status_code == 200  # it has read them

        assert program.end() == 0

    assert "level=error" not in program.errors
    assert "Traceback" not in program.errors
    assert program.errors.count("msg=stopped") == 1


# Its peers


def test_curl_gets_in_with_a_password_and_not_without(program: Program) -> None:
    def status(*arguments: str) -> str:
        curl = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
        command = [*curl, *arguments, f"{program.url()}/metrics"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert [status(), status("--user", "alice:wrong"), status("--user", "alice:secret")] == [
        "401",
        "401",
        "200",
    ]


@pytest.mark.peers
def test_a_real_prometheus_scrapes_with_its_basic_auth(
    program: Program, prometheus: Callable[..., str], eventually: Eventually, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("secret")
    target = program.url().removeprefix("http://")

    url = prometheus(target, basic_auth={"username": "alice", "password_file": str(file)})

    def up() -> object:
        reply = requests.get(f"{url}/api/v1/query", params={"query": "up == 1"}, timeout=30)
        return yaml.safe_load(reply.text)["data"]["result"]

    eventually(up)


def test_the_demo_has_the_same_users(start: Start, write: Write, hashed: Hashed) -> None:
    web = write({"basic_auth_users": {"alice": hashed("secret")}}, "web.yml")
    demo = start("demo", "--web.listen-address", "127.0.0.1:0", VASTAI_EXPORTER_WEB_CONFIG_FILE=str(web))
    answers = [requests.get(demo.url() + "/metrics", auth=auth, timeout=30) for auth in (None, ALICE)]
    assert [answer.status_code for answer in answers] == [401, 200]
