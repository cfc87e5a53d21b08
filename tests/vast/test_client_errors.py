"""What can go wrong with a request: which error it is, its words, and whether it is tried again."""

from __future__ import annotations

import gzip
import json
import re
import socket
import tracemalloc
from time import sleep
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest

from exporter.vast.client import ATTEMPTS, LARGEST_REPLY
from exporter.vast.errors import ApiError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.vast.endpoints import Endpoint
    from tests.support.scripted_api import Api, ClientSetup, Play, Proxy

pytestmark = pytest.mark.private_parts

#: What no error may show: the key, what the query held, and what a row did.
QUERY, ROW = "needle-of-the-query", "needle-of-a-row"
PARAMS = {"select_filters": json.dumps({"label": {"eq": QUERY}})}
ROWS = {"instances": [{"id": 1, "label": ROW}]}
CHUNKED = {"Transfer_Encoding": "chunked"}
LATE = "no complete reply within 0.1 s"
AUTH = {"success": False, "error": "auth_error", "msg": "Invalid user key"}


class Case(NamedTuple):
    """A reply, and the error that it means."""

    name: str
    play: Callable[[Api], Play]
    reason: str
    words: str
    tries: int = ATTEMPTS


def whole(content: object, status: int = 200, **headers: str) -> Callable[[Api], Play]:
    return lambda api: api.reply(content, status, **headers)


CASES = [
    Case("unknown key", whole(AUTH, 404), "auth", "HTTP 404 (auth_error: Invalid user key)", 1),
    Case("no permission", whole({"detail": "Forbidden"}, 403), "auth", "HTTP 403 (Forbidden)", 1),
    Case("no permission, by 401", whole({"msg": "Not allowed"}, 401), "auth", "HTTP 401 (Not allowed)", 1),
    *(
        Case(f"{words} with {status}", whole({"success": False, "msg": words}, status), "auth", told, 1)
        for words, status, told in (
            ("Invalid user key", 401, "HTTP 401 (Invalid user key)"),
            ("Invalid user key", 404, "HTTP 404 (Invalid user key)"),
            (
                "Session expired. Please log in again.",
                404,
                "HTTP 404 (Session expired. Please log in again.)",
            ),
            ("This action requires login.", 200, "HTTP 200 (This action requires login.)"),
            (
                "Two Factor Authentication is needed",
                401,
                "HTTP 401 (Two Factor Authentication is needed)",
            ),
        )
    ),
    Case(
        "no key, as volumes says it",
        whole({"detail": "Authentication credentials were not provided."}, 401),
        "auth",
        "HTTP 401 (Authentication credentials were not provided.)",
        1,
    ),
    Case(
        "unknown key in plain text",
        whole(b"Invalid user key", 401),
        "auth",
        "HTTP 401, 16 bytes that are not a JSON object",
        1,
    ),
    *(
        Case(
            f"a firewall's page with {status}",
            whole(b"<html>Forbidden. Please log in again.", status),
            "bad_reply",
            f"HTTP {status}, 37 bytes of HTML, not from the API",
        )
        for status in (401, 403)
    ),
    Case("an empty 401", whole(b"", 401), "client_error", "HTTP 401, empty reply, not from the API"),
    Case(
        "a 403 in plain text",
        whole(b"Forbidden", 403),
        "client_error",
        "HTTP 403, 9 bytes that are not a JSON object, not from the API",
    ),
    Case("a 403 without words", whole({}, 403), "client_error", "HTTP 403, not from the API"),
    *(
        Case(f"{status} is tried again", whole(b"", status), "client_error", f"HTTP {status}, empty reply")
        for status in (408, 421, 425)
    ),
    Case("auth_error with 200", whole(AUTH), "auth", "HTTP 200 (auth_error: Invalid user key)", 1),
    Case("auth_error with 500", whole(AUTH, 500), "auth", "HTTP 500 (auth_error: Invalid user key)", 1),
    Case(
        "429 in plain text",
        whole(b"API requests too frequent", 429),
        "rate_limited",
        "too many requests: HTTP 429, 25 bytes that are not a JSON object",
    ),
    Case(
        "429 in plain text with a threshold",
        whole(b"API requests too frequent: endpoint threshold=2.5", 429),
        "rate_limited",
        "too many requests, threshold 2.5 s: HTTP 429",
    ),
    Case(
        "429 in JSON",
        whole({"error": "rate_limit_exceeded", "msg": "Slow down, please"}, 429),
        "rate_limited",
        "too many requests: HTTP 429 (rate_limit_exceeded: Slow down, please)",
    ),
    Case(
        "the quota of a day is not asked for again",
        whole({"error": "search_quota_exceeded", "msg": "Daily search quota exceeded"}, 429),
        "rate_limited",
        "daily quota exhausted: HTTP 429 (search_quota_exceeded: Daily search quota exceeded)",
        1,
    ),
    Case(
        "bad token",
        whole({"error": "invalid_token", "msg": "Token is bad"}, 400),
        "client_error",
        "HTTP 400 (invalid_token: Token is bad)",
        1,
    ),
    Case(
        "gone",
        whole({"error": "deprecated_endpoint"}, 410),
        "client_error",
        "HTTP 410 (deprecated_endpoint)",
        1,
    ),
    Case("not found", whole(b"<h1>Not found", 404), "client_error", "HTTP 404, 13 bytes of HTML", 1),
    *(
        Case(str(status), whole(b"", status), "server_error", f"HTTP {status}, empty reply")
        for status in (500, 502, 503, 504, 599)
    ),
    Case("HTML", whole(b"\n<!DOCTYPE html>"), "bad_reply", "HTTP 200, 16 bytes of HTML"),
    Case("list", whole([ROWS]), "bad_reply", "HTTP 200, 56 bytes that are not a JSON object"),
    Case("null", whole(None), "bad_reply", "HTTP 200, 4 bytes that are not a JSON object"),
    Case("text", whole(ROW), "bad_reply", "HTTP 200, 17 bytes that are not a JSON object"),
    Case("no success", whole({"success": False, **ROWS}), "bad_reply", "HTTP 200"),
    Case(
        "no success, with words",
        whole({"success": False, "msg": "a\r\nb\x00é"}),
        "bad_reply",
        "HTTP 200 (a b)",
    ),
    Case("nothing", whole(b""), "bad_reply", "HTTP 200, empty reply"),
    Case("204", lambda api: api.head(204), "bad_reply", "HTTP 204, empty reply"),
    Case("another success", whole({}, 206), "bad_reply", "HTTP 206"),
    Case(
        "not UTF-8 where it matters",
        whole(b'{"label": \xff\xfe}'),
        "bad_reply",
        "HTTP 200, 13 bytes that are not a JSON object",
    ),
    Case("another protocol", lambda api: api.head(101), "bad_reply", "HTTP 101, empty reply"),
    Case("half of it", whole(b'{"label": "'), "bad_reply", "HTTP 200, 11 bytes that are not a JSON object"),
    Case("deep", whole(100_000 * b"["), "bad_reply", "HTTP 200, 100000 bytes that are not a JSON object"),
    Case(
        "deep beside a huge number",
        whole(b"[" + 5000 * b"1" + b"," + 100_000 * b"["),
        "bad_reply",
        "HTTP 200, 105002 bytes that are not a JSON object",
    ),
    Case(
        "bad gzip",
        whole(ROW.encode(), Content_Encoding="gzip"),
        "bad_reply",
        "the reply can't be decompressed",
    ),
    Case("no HTTP", lambda api: api.break_off(b"+OK POP3 ready\r\n"), "bad_reply", "the reply is not HTTP"),
    Case("endless header", lambda api: api.flood(b"", 1000 * b"x"), "bad_reply", "the reply is not HTTP"),
    Case(
        "endless body",
        lambda api: api.flood(api.head(**CHUNKED), b"10000\r\n" + 0x10000 * b" " + b"\r\n"),
        "bad_reply",
        "HTTP 200 with more than 8 MiB",
    ),
    Case(
        "redirect to another host",
        whole(b"", 302, Location=f"http://user@elsewhere.test:80/{QUERY}?{QUERY}=1"),
        "bad_reply",
        "HTTP 302, redirect to another origin (http://elsewhere.test), not followed",
    ),
    Case(
        "redirect to nowhere",
        whole(b"", 302, Location="http://[::1/"),
        "bad_reply",
        "HTTP 302 with an invalid Location header",
    ),
    Case("redirect without a place", whole(b"", 302), "bad_reply", "HTTP 302, empty reply"),
    Case(
        "shorter than it says",
        lambda api: api.break_off(api.head(Content_Length="100") + ROW.encode()),
        "network",
        "the connection failed: the reply was cut off",
    ),
    Case(
        "chunks without end",
        lambda api: api.break_off(api.head(**CHUNKED) + b"f\r\n" + ROW.encode() + b"\r\n"),
        "network",
        "the connection failed: the reply was cut off",
    ),
    Case(
        "reset in the body",
        lambda api: api.reset(api.head(Content_Length="100") + ROW.encode()),
        "network",
        "the connection failed: Connection reset by peer",
    ),
    Case("reset", lambda api: api.reset(), "network", "the connection failed: Connection reset by peer"),
    Case(
        "two lengths",
        lambda api: api.head(Content_Length="1", content_length="2"),
        "bad_reply",
        "the reply is not HTTP",
    ),
    Case(
        "a chunk of no length",
        lambda api: api.break_off(api.head(**CHUNKED) + b"length\r\n"),
        "network",
        "the connection failed: the reply was cut off",
    ),
    Case("closed", lambda api: api.break_off(), "network", "the connection failed: closed without a reply"),
    Case("silence", lambda api: api.hang(), "timeout", LATE),
    Case("silence in the headers", lambda api: api.hang(b"HTTP/1.1 200 OK\r\nA: b"), "timeout", LATE),
    Case("silence in the body", lambda api: api.hang(api.head(Content_Length="100")), "timeout", LATE),
    Case("a drop at a time in the headers", lambda api: api.drip(b"HTTP/1.1 200 OK\r\nA:"), "timeout", LATE),
    Case("hint by hint", lambda api: api.drip(b"", b"HTTP/1.1 103 Hints\r\n\r\n"), "timeout", LATE),
    Case("header by header", lambda api: api.drip(b"HTTP/1.1 100 Go on\r\n", b"A: b\r\n"), "timeout", LATE),
    Case(
        "a drop at a time in the body", lambda api: api.drip(api.head(Content_Length="999")), "timeout", LATE
    ),
    Case("chunk by chunk", lambda api: api.drip(api.head(**CHUNKED), b"1\r\n \r\n"), "timeout", LATE),
    Case("to the end", lambda api: api.drip(api.head(Connection="close")), "timeout", LATE),
]


def caught(setup: ClientSetup, endpoint: Endpoint) -> ApiError:
    with pytest.raises(ApiError) as raised:
        setup.client().ask(endpoint, PARAMS)
    shown = f"{raised.value} {raised.value!r}"
    assert not [secret for secret in (setup.key, QUERY, ROW, "select_filters") if secret in shown]
    return raised.value


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_thing_that_goes_wrong_has_its_reason_its_words_and_the_status_of_the_reply(
    case: Case, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.otherwise = case.play(api)
    setup.timeout = 0.1 if case.reason == "timeout" else 30.0
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == (case.reason, case.words)
    status = re.search(r"HTTP ([0-9]{3})", case.words)
    assert error.status == (int(status[1]) if status else None)
    assert len(setup.attempts) == case.tries


@pytest.mark.parametrize(
    ("reply", "status", "word"),
    [
        ({"success": False, "error": "no_such_user", "msg": "No such user."}, 404, "no_such_user"),
        ({"success": False, "error": "team_required"}, 400, "team_required"),
        (AUTH, 404, "auth_error"),
        ({"error": "rate_limit_exceeded"}, 429, "rate_limit_exceeded"),
        ({"error": "busy"}, 503, "busy"),
        ({"error": "busy", "success": False}, 200, "busy"),
        ({"msg": "no_such_user"}, 404, ""),
        ({"error": {"code": "no_such_user"}}, 404, ""),
        ({"error": None}, 404, ""),
        (["no_such_user"], 404, ""),
        (b"no_such_user", 404, ""),
        (b"", 404, ""),
    ],
)
def test_an_error_tells_the_word_that_the_api_has_for_it(
    reply: object, status: int, word: str, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.otherwise = api.reply(reply, status)
    error = caught(setup, endpoint)
    assert (error.status, error.error) == (status, word)


def test_where_there_was_no_reply_there_is_neither_status_nor_word(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.otherwise = api.reset()
    error = caught(setup, endpoint)
    assert (error.status, error.error) == (None, "")


def test_the_cases_cover_every_reason_that_a_single_request_can_have() -> None:
    beyond_one_request = {"incomplete", "internal"}
    assert {case.reason for case in CASES} == set(get_args(Reason)) - beyond_one_request


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_a_reply_that_repeats_key_and_query_does_not_get_them_into_the_error(
    status: int, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    message = f"no {setup.key} for http://x/api?select_filters={QUERY}&api_key={setup.key} here"
    api.otherwise = api.reply({"success": False, "msg": message}, status)
    assert "no <key> for http://x/api here" in str(caught(setup, endpoint))


def test_a_long_message_is_cut_short(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    api.otherwise = api.reply({"msg": 10_000 * "a"}, 400)
    assert len(str(caught(setup, endpoint))) < 250


def test_nobody_at_the_port_is_a_network_failure(
    setup: ClientSetup, endpoint: Endpoint, closed_port: int
) -> None:
    setup.url = f"http://127.0.0.1:{closed_port}"
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("network", "the connection failed: Connection refused")
    assert [attempt.code for attempt in setup.attempts] == ATTEMPTS * ["error"]


@pytest.mark.parametrize("host", ["vast.invalid", f"{70 * 'a'}.test"])
def test_a_name_without_address_is_a_network_failure(
    setup: ClientSetup, endpoint: Endpoint, host: str
) -> None:
    setup.url = f"http://{host}"
    error = caught(setup, endpoint)
    assert error.reason == "network"
    assert str(error).startswith("the connection failed: ")


def test_an_address_of_version_6_is_no_name(setup: ClientSetup, endpoint: Endpoint, closed_port: int) -> None:
    setup.url = f"http://[::1]:{closed_port}"
    error = caught(setup, endpoint)
    assert error.reason == "network"
    assert "Name" not in str(error)


def test_a_name_that_takes_too_long_to_look_up_is_too_late(
    api: Api, setup: ClientSetup, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def slowly(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the function has it
        sleep(0.2)
        return look_up(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    setup.timeout = 0.1
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("timeout", LATE)
    assert not api.asked


def test_a_certificate_that_is_not_trusted_is_a_network_failure(
    tls: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    setup.url = tls.url
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("network", "the connection failed: TLS: self-signed certificate")
    assert not tls.asked


def test_a_certificate_for_another_host_is_a_network_failure(
    trusted_tls: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    setup.url = f"https://localhost:{trusted_tls.port}"
    error = caught(setup, endpoint)
    assert error.reason == "network"
    assert str(error).startswith("the connection failed: TLS: Hostname mismatch")


def test_no_tls_where_it_should_be_is_a_network_failure(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    def in_plain_text(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    api.greeting = in_plain_text
    setup.url = f"https://127.0.0.1:{api.port}"
    error = caught(setup, endpoint)
    assert error.reason == "network"
    assert str(error).startswith("the connection failed: TLS: ")


def test_a_handshake_that_never_ends_is_too_late(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    api.greeting = api.drip(b"\x16\x03\x03\x40\x00")  # the head of a record of 16 KiB
    setup.url, setup.timeout = f"https://127.0.0.1:{api.port}", 0.1
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("timeout", LATE)


@pytest.mark.parametrize("closing", ["close", "keep-alive"])
def test_a_reply_that_drips_through_tls_is_cut_in_time(
    trusted_tls: Api, setup: ClientSetup, endpoint: Endpoint, closing: str
) -> None:
    trusted_tls.otherwise = trusted_tls.drip(trusted_tls.head(Connection=closing, Content_Length="9999"))
    setup.url, setup.timeout = trusted_tls.url, 0.1
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("timeout", LATE)


def test_a_connection_that_nobody_accepts_is_too_late(
    setup: ClientSetup, endpoint: Endpoint, full_port: int
) -> None:
    setup.url, setup.timeout = f"http://127.0.0.1:{full_port}", 0.1
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("timeout", LATE)


def test_a_proxy_that_refuses_is_a_network_failure(
    setup: ClientSetup, endpoint: Endpoint, proxy: Proxy
) -> None:
    proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    setup.url = "https://vast.test"
    error = caught(setup, endpoint)
    words = "the connection to the proxy failed: Tunnel connection failed: 407 Proxy Authentication Required"
    assert (error.reason, str(error)) == ("network", words)


def test_a_proxy_that_is_not_there_is_a_network_failure(
    setup: ClientSetup, endpoint: Endpoint, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{setup.key}@127.0.0.1:{closed_port}")
    setup.url = "https://vast.test"
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("network", "the connection to the proxy failed: Connection refused")


def test_a_proxy_of_a_kind_that_we_cannot_use_is_a_network_failure(
    setup: ClientSetup, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://user:{setup.key}@127.0.0.1:1080")
    setup.url = "https://vast.test"
    error = caught(setup, endpoint)
    words = "the connection failed: a SOCKS proxy needs the Python package PySocks"
    assert (error.reason, str(error)) == ("network", words)


def test_a_proxy_that_never_comes_to_the_point_is_too_late(
    api: Api, setup: ClientSetup, endpoint: Endpoint, proxy: Proxy
) -> None:
    proxy.answer = api.drip(b"HTTP/1.1 200 Yes\r\n", b"A: b\r\n")
    setup.url, setup.timeout = "https://vast.test", 0.1
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("timeout", LATE)


def test_a_reply_that_drips_through_a_proxy_is_cut_in_time(
    trusted_tls: Api, setup: ClientSetup, endpoint: Endpoint, proxy: Proxy
) -> None:
    trusted_tls.otherwise = trusted_tls.drip(trusted_tls.head(Content_Length="9999"))
    setup.url, setup.timeout = "https://vast.test", 0.5
    error = caught(setup, endpoint)
    assert (error.reason, str(error)) == ("timeout", "no complete reply within 0.5 s")
    proxy.settle()
    assert set(proxy.asked) == {"vast.test:443"}


@pytest.fixture
def bomb(api: Api) -> bytes:
    """A reply of 1 MiB that would unpack to 1 GiB."""
    body = 64 * gzip.compress(bytes(2**24))
    return api.reply(body, Content_Encoding="gzip")


@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_reply_that_unpacks_to_gigabytes_is_refused_within_little_memory(
    status: int, api: Api, setup: ClientSetup, endpoint: Endpoint, bomb: bytes
) -> None:
    api.otherwise = bomb.replace(b"200", str(status).encode(), 1)
    tracemalloc.start()
    try:
        error = caught(setup, endpoint)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (error.reason, str(error)) == ("bad_reply", f"HTTP {status} with more than 8 MiB")
    assert peak < 4 * LARGEST_REPLY


def test_huge_numbers_cost_themselves_only(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    body = b'{"huge": %s, "large": %s, "small": 7, "half": 0.5}' % (5000 * b"9", 50 * b"1")
    api.otherwise = api.reply(body)
    found: dict[str, Any] = setup.client().ask(endpoint)
    assert found == {"huge": float("inf"), "large": int(50 * "1"), "small": 7, "half": 0.5}


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (b'{"label": "caf\xe9", "id": 7}', "caf\ufffd"),
        (b'{"label": "\xff\xfe", "id": 7}', "\ufffd\ufffd"),
        (b'{"label": "a\tb\nc\x00", "id": 7}', "a\tb\nc\x00"),
        (b'{"label": "\\ud83d", "id": 7}', "\ud83d"),
        (b'\xef\xbb\xbf{"label": "\xc3\xa9\xa9", "id": 7}', "\xe9\ufffd"),
    ],
)
def test_a_bad_byte_costs_its_own_text_only(
    body: bytes, label: str, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.otherwise = api.reply(body)
    assert setup.client().ask(endpoint) == {"label": label, "id": 7}
    assert len(setup.attempts) == 1
