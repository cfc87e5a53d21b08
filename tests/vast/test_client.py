"""What goes out to the API, on which connections, how often, and where the key never goes."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from exporter.collectors import instances
from exporter.vast.client import ATTEMPTS, REDIRECTS, Client
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import ApiError, AuthError, BadReplyError, RateLimitedError, ServerError
from exporter.vast.pace import LONGEST_WAIT
from exporter.vast.pages import compact_json, walk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scripted_api import Api, Asked, ClientSetup, Play, Proxy, VirtualTime


SEARCH = Endpoint("/api/v0/bundles/", 1.0, "POST")
WORKERS = Endpoint("/get_endpoint_workers/", 1.0, "POST", "run")

pytestmark = pytest.mark.private_parts


def page(first: int, last: int, token: str | None) -> dict[str, Any]:
    rows = [{"id": number} for number in range(first, last + 1)]
    return {"success": True, "instances": rows, "total_instances": 1, "next_token": token}


def test_a_page_is_asked_for_as_the_api_documents_it(api: Api, setup: ClientSetup) -> None:
    api.replies += [api.reply(page(1, 25, "a+/=& token")), api.reply(page(26, 26, None))]
    filters = {"gpu_name": {"in": ["RTX 4090"]}}
    list(walk(setup.client(), instances.LISTING, {"select_filters": compact_json(filters)}))
    first, second = api.asked
    assert first.path == second.path == "/api/v1/instances/"
    assert {name: json.loads(value) for name, value in first.params.items()} == {
        "limit": 25,
        "order_by": [{"col": "id", "dir": "asc"}],
        "select_cols": list(instances.COLUMNS),
        "select_filters": filters,
    }
    assert second.params == {**first.params, "after_token": "a+/=& token"}


def test_a_request_carries_the_key_in_its_header_and_nowhere_else(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    setup.client().ask(endpoint, {"limit": "25"})
    asked = api.asked[0]
    assert asked.headers["authorization"] == f"Bearer {setup.key}"
    assert asked.headers["user-agent"] == "vastai-exporter/0"
    assert asked.headers["accept"] == "application/json"
    assert "gzip" in asked.headers["accept-encoding"]
    assert asked.target == "/api/v1/things/?limit=25"


@pytest.mark.parametrize("params", [None, {}])
def test_without_parameters_there_is_no_query(
    params: dict[str, str] | None, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    setup.client().ask(endpoint, params)
    assert api.asked[0].target == endpoint.path


def test_a_get_has_no_body(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    setup.client().ask(endpoint)
    (asked,) = api.asked
    assert (asked.method, asked.body) == ("GET", b"")
    assert not asked.headers.keys() & {"content-type", "content-length", "transfer-encoding"}


BODY = {"q": {"gpu_name": {"in": ["RTX 4090"]}, "label": "caf\xe9 \ud83d"}, "limit": 64}


def test_a_post_sends_its_body_as_json(api: Api, setup: ClientSetup) -> None:
    api.otherwise = api.reply({"offers": []})
    assert setup.client().ask(SEARCH, {"a": "b"}, body=BODY) == {"offers": []}
    (asked,) = api.asked
    assert (asked.method, asked.target) == ("POST", "/api/v0/bundles/?a=b")
    assert json.loads(asked.body) == BODY
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["content-length"] == str(len(asked.body))
    assert asked.headers["authorization"] == f"Bearer {setup.key}"


@pytest.mark.parametrize(("body", "sent"), [({}, b"{}"), ([], b"[]"), ("", b'""'), (None, b"")])
def test_an_empty_body_is_sent_and_none_is_not(
    body: object, sent: bytes, api: Api, setup: ClientSetup
) -> None:
    setup.client().ask(SEARCH, body=body)
    assert (api.asked[0].method, api.asked[0].body) == ("POST", sent)


def test_nothing_of_a_post_is_left_in_the_next_get(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    client = setup.client()
    client.ask(SEARCH, body=BODY)
    client.ask(endpoint)
    asked = api.asked[1]
    assert (asked.method, asked.target, asked.body) == ("GET", endpoint.path, b"")
    assert not asked.headers.keys() & {"content-type", "content-length"}
    assert api.connections == 1


def test_a_post_is_tried_again_and_redirected_with_its_body(api: Api, setup: ClientSetup) -> None:
    api.replies += [api.reply(b"", 503), api.reset(), api.reply(b"", 308, Location="/moved/")]
    setup.client().ask(SEARCH, body=BODY)
    assert [(asked.method, asked.path) for asked in api.asked] == [
        *3 * [("POST", "/api/v0/bundles/")],
        ("POST", "/moved/"),
    ]
    assert [json.loads(asked.body) for asked in api.asked] == 4 * [BODY]


def test_a_path_is_filled_for_the_request_and_not_for_who_counts_it(api: Api, setup: ClientSetup) -> None:
    logs = Endpoint("/api/v0/groups/{group}/logs/", 1.0)
    client = setup.client()
    for group in (7, "a b/c?d=%2F"):
        client.ask(logs, {"limit": "1"}, group=group)
    assert [asked.target for asked in api.asked] == [
        "/api/v0/groups/7/logs/?limit=1",
        "/api/v0/groups/a%20b%2Fc%3Fd%3D%252F/logs/?limit=1",
    ]
    assert {attempt.endpoint for attempt in setup.attempts} == {logs}


def test_requests_that_differ_in_a_part_of_the_path_only_share_a_pace(
    setup: ClientSetup, time: VirtualTime
) -> None:
    logs = Endpoint("/api/v0/groups/{group}/logs/", 1.0)
    client = setup.client()
    for group in range(3):
        client.ask(logs, group=group)
    assert time.waits == pytest.approx([1.1, 1.1])


def test_each_host_of_the_api_is_asked_for_what_is_its_own(
    api: Api, second_api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    setup.run_url = second_api.url
    second_api.otherwise = second_api.reply({"workers": []})
    client = setup.client()
    assert [client.ask(endpoint), client.ask(WORKERS, body={})] == [{}, {"workers": []}]
    assert [asked.target for asked in api.asked] == [endpoint.path]
    assert [(asked.method, asked.target) for asked in second_api.asked] == [("POST", WORKERS.path)]
    assert second_api.asked[0].headers["authorization"] == f"Bearer {setup.key}"


def test_each_host_of_the_api_has_a_connection_of_its_own_that_is_kept(
    api: Api, second_api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    setup.run_url = second_api.url
    client = setup.client()
    for _ in range(3):
        client.ask(endpoint)
        client.ask(WORKERS)
    assert (len(api.asked), api.connections) == (3, 1)
    assert (len(second_api.asked), second_api.connections) == (3, 1)


def test_each_host_of_the_api_is_reached_in_its_own_way(
    trusted_tls: Api,
    second_api: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    proxy: Proxy,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port}")
    setup.url, setup.run_url = "https://vast.test", second_api.url
    client = setup.client()
    for _ in range(2):
        client.ask(endpoint)
        client.ask(WORKERS)
    assert proxy.asked == ["vast.test:443"]
    assert (len(trusted_tls.asked), len(second_api.asked)) == (2, 2)


def test_after_its_connection_was_closed_a_client_makes_another(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    client = setup.client()
    client.close()
    for _ in range(2):
        client.ask(endpoint)
        client.ask(endpoint)
        client.close()
        api.settle()  # the API sees the end of the connection
    client.close()
    assert (len(api.asked), api.connections) == (4, 2)
    assert {attempt.code for attempt in setup.attempts} == {"200"}


A = b'{"a": 1}'
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW_DEFLATE = RAW.compress(A) + RAW.flush()
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + A
CHUNKS = b"4;note=x\r\n" + A[:4] + b"\r\n0004\r\n" + A[4:] + b"\r\n0\r\nTrailer: x\r\n\r\n"


def encoded(encoding: str, body: bytes) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


ODD_REPLIES = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" + FINAL,
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + FINAL,
    "102, 103 and 199": b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 199 X\r\n\r\n"
    + FINAL,
    "203": FINAL.replace(b"200 OK", b"203 Changed"),
    "no words": FINAL.replace(b" OK", b""),
    "a length said twice in a line": FINAL.replace(b"8", b"8, 8"),
    "a length said in two lines": FINAL.replace(b"Content", b"Content-Length: 8\r\nContent"),
    "bare line feeds": FINAL.replace(b"\r\n", b"\n"),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + CHUNKS,
    "chunks and a length": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNKS,
    "gzip": encoded("gzip", gzip.compress(A)),
    "GZIP": encoded("GZIP", gzip.compress(A)),
    "x-gzip": encoded("x-gzip", gzip.compress(A)),
    "gzip in two members": encoded("gzip", gzip.compress(A[:3]) + gzip.compress(A[3:])),
    "deflate": encoded("deflate", zlib.compress(A)),
    "deflate without a header": encoded("deflate", RAW_DEFLATE),
    "one in the other": encoded("deflate, gzip", gzip.compress(zlib.compress(A))),
    "identity": encoded("identity", A),
}


@pytest.mark.parametrize("reply", ODD_REPLIES.values(), ids=ODD_REPLIES)
def test_a_reply_is_read_in_every_form_that_http_allows(
    reply: bytes, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.otherwise = reply
    setup.timeout = 5.0
    client = setup.client()
    assert [client.ask(endpoint) for _ in range(3)] == 3 * [{"a": 1}]
    assert (len(api.asked), api.connections) == (3, 1)


def test_a_base_url_may_have_a_path(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    setup.url += "/through/here"
    setup.client().ask(endpoint)
    assert api.asked[0].path == "/through/here/api/v1/things/"


def test_a_netrc_does_not_replace_the_key(
    api: Api, setup: ClientSetup, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    setup.client().ask(endpoint)
    assert api.asked[0].headers["authorization"] == f"Bearer {setup.key}"


def test_a_rotated_key_is_used_for_the_next_request(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    client = setup.client()
    client.ask(endpoint)
    setup.key = "the-next-key"
    client.ask(endpoint)
    assert [asked.headers["authorization"] for asked in api.asked] == [
        "Bearer a-key-that-nobody-may-see",
        "Bearer the-next-key",
    ]


def test_without_a_key_there_is_no_request(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    def none() -> str:
        raise AuthError("no key")

    client = Client(setup.options(), key=none, wait=setup.time.wait, observe=setup.attempts.append)
    with pytest.raises(AuthError, match="no key"):
        client.ask(endpoint)
    assert not api.asked
    assert not setup.attempts


def test_cookies_are_not_kept(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    api.replies.append(api.reply({}, Set_Cookie="session=of-the-key-before; Path=/"))
    client = setup.client()
    for _ in range(2):
        client.ask(endpoint)
    assert "cookie" not in api.asked[1].headers


def test_a_whole_walk_takes_one_connection(api: Api, setup: ClientSetup) -> None:
    api.replies += [api.reply(page(n, n, f"token {n}" if n < 40 else None)) for n in range(1, 41)]
    list(walk(setup.client(), instances.LISTING))
    assert (len(api.asked), api.connections) == (40, 1)


def test_a_connection_outlives_refusals_and_redirects(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.replies += [
        api.reply({"error": "busy"}, 503),
        api.reply(b"slow down", 429),
        api.reply(b"elsewhere", 302, Location="/api/v1/things/?a=b"),
    ]
    assert setup.client().ask(endpoint) == {}
    assert (len(api.asked), api.connections) == (4, 1)


@pytest.mark.parametrize("closing", ["close", "keep-alive"])
def test_a_connection_that_the_server_has_closed_costs_no_failure(
    closing: str, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    whole = api.reply({}, Connection=closing)
    api.otherwise = api.break_off(whole)
    client = setup.client()
    for _ in range(3):
        assert client.ask(endpoint) == {}
        api.settle()
    assert [attempt.code for attempt in setup.attempts] == ["200", "200", "200"]


def test_every_attempt_is_told_of(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    api.replies += [api.reply(b"", 502), api.reset()]
    setup.client().ask(endpoint)
    assert [(attempt.endpoint, attempt.code) for attempt in setup.attempts] == [
        (endpoint, "502"),
        (endpoint, "error"),
        (endpoint, "200"),
    ]


def test_a_failed_page_is_asked_again_from_its_cursor(api: Api, setup: ClientSetup) -> None:
    api.replies += [
        api.reply(page(1, 25, "cursor")),
        api.reply(b"<html>", 502),
        api.reset(),
        api.reply(page(26, 30, None)),
    ]
    pages = list(walk(setup.client(), instances.LISTING))
    assert [asked.params.get("after_token") for asked in api.asked] == [None, "cursor", "cursor", "cursor"]
    assert [(each.after, len(each.rows)) for each in pages] == [(None, 25), (25, 5)]


@pytest.mark.parametrize(("jitter", "waits"), [(0.0, [0.5, 1.0]), (0.999, [0.9995, 1.999])])
def test_the_waits_between_tries_grow_and_are_jittered(
    jitter: float, waits: list[float], api: Api, setup: ClientSetup, endpoint: Endpoint, time: VirtualTime
) -> None:
    api.otherwise = api.reply(b"", 503)
    setup.jitter, setup.min_interval = jitter, 0.0
    with pytest.raises(ServerError):
        setup.client().ask(endpoint)
    assert time.waits == pytest.approx(waits)


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7.5 ", 7.5),
        ("0", 0.0),
        ("61", LONGEST_WAIT),
        (40 * "9", LONGEST_WAIT),
        (400 * "9", LONGEST_WAIT),
        (format_datetime(datetime.fromtimestamp(NOW + 9, UTC), usegmt=True), 9.0),
        (format_datetime(datetime.fromtimestamp(NOW - 9, UTC), usegmt=True), 0.0),
        (format_datetime(datetime.fromtimestamp(NOW + 9999, UTC), usegmt=True), LONGEST_WAIT),
        ("Fri, 99 Foo 2026", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("1e9", 0.0),
        ("\u00b2", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute(
    value: str, seconds: float, api: Api, setup: ClientSetup, endpoint: Endpoint, time: VirtualTime
) -> None:
    setup.wall_clock, setup.min_interval = NOW, 0.0
    api.otherwise = api.reply(b"slow down", 429, Retry_After=value)
    client = setup.client()
    passed: list[float] = []
    for _ in range(2):  # what the last try of the first one was told holds for the second
        with pytest.raises(RateLimitedError):
            client.ask(endpoint)
        passed.append(time.now - 1000.0)
    assert passed == pytest.approx([2 * seconds, 5 * seconds] if seconds else [0.5 + 1.0, 2 * (0.5 + 1.0)])


def test_a_threshold_in_a_429_raises_the_pace_at_once_and_for_good(
    api: Api, setup: ClientSetup, endpoint: Endpoint, time: VirtualTime
) -> None:
    api.replies.append(api.reply(b"API requests too frequent: endpoint threshold=5.0", 429))
    client = setup.client()
    for _ in range(2):
        client.ask(endpoint)
    assert time.now == pytest.approx(1000.0 + 5.5 + 5.5)


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail":"API requests too frequent endpoint threshold=3.0"}',
        b'{"error":"rate_limit_exceeded","msg":"API requests too frequent endpoint threshold = 3"}',
        b"API requests too frequent: endpoint threshold=3.0\n",
    ],
)
def test_the_threshold_is_found_in_every_form_of_a_429(
    body: bytes, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.otherwise = api.reply(body, 429)
    with pytest.raises(RateLimitedError) as raised:
        setup.client().ask(endpoint)
    assert raised.value.threshold == 3.0


def test_a_redirect_on_the_same_host_is_followed_with_key_and_query(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.replies += [
        api.reply(b"", 308, Location="/moved/?limit=25"),
        api.reply(b"", 301, Location=f"{api.url}/again/"),
    ]
    api.otherwise = api.reply({"found": True})
    assert setup.client().ask(endpoint, {"limit": "25"}) == {"found": True}
    assert [asked.target for asked in api.asked] == [
        "/api/v1/things/?limit=25",
        "/moved/?limit=25",
        "/again/?limit=25",  # the server has left it out: without it all columns would come
    ]
    assert {asked.headers["authorization"] for asked in api.asked} == {f"Bearer {setup.key}"}


@pytest.mark.parametrize("new_connection", [True, False])
def test_the_pace_counts_from_when_a_request_left(
    new_connection: bool,  # noqa: FBT001 - one of two cases
    api: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    time: VirtualTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look_up = socket.getaddrinfo

    def slowly(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the function has it
        time.now += 20.0
        return look_up(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    api.otherwise = api.reply({}, Connection="close" if new_connection else "keep-alive")
    client = setup.client()
    client.ask(endpoint)
    assert time.now == 1020.0
    client.ask(endpoint)
    assert time.waits == pytest.approx([1.1])


def test_redirects_keep_the_pace(api: Api, setup: ClientSetup, endpoint: Endpoint, time: VirtualTime) -> None:
    api.replies += [api.reply(b"", 301, Location=endpoint.path) for _ in range(REDIRECTS)]
    setup.client().ask(endpoint)
    assert time.waits == pytest.approx(REDIRECTS * [1.1])
    assert [attempt.code for attempt in setup.attempts] == [*REDIRECTS * ["301"], "200"]


def test_redirects_in_a_circle_come_to_an_end(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    api.otherwise = api.reply(b"", 301, Location=endpoint.path)
    with pytest.raises(BadReplyError, match="more than 3 redirects") as raised:
        setup.client().ask(endpoint)
    assert raised.value.status == 301
    assert len(api.asked) == ATTEMPTS * (REDIRECTS + 1)


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.2:{port}/", "http://127.0.0.1:{other}/", "https://127.0.0.1:{port}/", "//evil.test/"],
)
def test_a_redirect_to_another_host_port_or_scheme_is_not_followed(
    place: str, api: Api, setup: ClientSetup, endpoint: Endpoint, second_api: Api
) -> None:
    setup.run_url = second_api.url  # not even if it is the API's own
    location = place.format(port=api.port, other=second_api.port)
    api.otherwise = api.reply(b"", 302, Location=location)
    with pytest.raises(BadReplyError, match="redirect to another origin"):
        setup.client().ask(endpoint)
    assert {asked.target for asked in api.asked} == {endpoint.path}
    assert second_api.connections == 0


def test_a_redirect_from_https_to_http_is_not_followed(
    trusted_tls: Api, api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    trusted_tls.otherwise = trusted_tls.reply(b"", 301, Location=f"http://127.0.0.1:{trusted_tls.port}/")
    setup.url = trusted_tls.url
    with pytest.raises(BadReplyError, match="redirect to another origin"):
        setup.client().ask(endpoint)
    assert not api.asked


def test_tls_is_verified_and_kept_alive(trusted_tls: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    setup.url = trusted_tls.url
    client = setup.client()
    for _ in range(3):
        client.ask(endpoint)
    assert (len(trusted_tls.asked), trusted_tls.connections) == (3, 1)


def test_a_proxy_leads_to_the_api_and_never_sees_the_key(
    trusted_tls: Api, setup: ClientSetup, endpoint: Endpoint, proxy: Proxy
) -> None:
    setup.url = "https://vast.test"
    client = setup.client()
    for _ in range(2):
        client.ask(endpoint, {"limit": "25"})
    assert proxy.asked == ["vast.test:443"]
    assert [asked.headers["authorization"] for asked in trusted_tls.asked] == 2 * [f"Bearer {setup.key}"]
    assert setup.key.encode() not in proxy.words
    assert b"limit" not in proxy.words


def test_nothing_on_this_machine_is_asked_for_through_a_proxy(
    api: Api, setup: ClientSetup, endpoint: Endpoint, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port}")
    setup.client().ask(endpoint)
    assert len(api.asked) == 1


@pytest.mark.parametrize("order", ["dead first", "dead last"])
def test_each_address_of_a_name_has_its_share_of_the_time(
    order: str,
    api: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    full_port: int,
) -> None:
    # What a broken IPv6 looks like: a first address that never answers.
    def addresses(*_: object, **__: object) -> list[tuple[Any, ...]]:
        alive = [api.port] * 39  # so many that the share of the dead one is short, and what is left is long
        ports = [full_port, *alive] if order == "dead first" else [*alive, full_port]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    setup.timeout = 20.0
    setup.client().ask(endpoint)
    assert [attempt.code for attempt in setup.attempts] == ["200"]


def test_a_server_that_has_been_too_slow_once_is_asked_again_on_a_new_connection(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    setup.timeout = 0.5
    client = setup.client()

    def answer(_asked: Asked) -> Play:
        if client.options.timeout > setup.timeout:
            return api.reply({})
        client.options = replace(client.options, timeout=30.0)  # for the next request; this one's time runs
        return api.drip(api.head(Content_Length="100"))

    api.answer = answer
    assert client.ask(endpoint) == {}
    assert (len(api.asked), api.connections) == (2, 2)


def test_the_last_error_is_the_one_that_is_raised(api: Api, setup: ClientSetup, endpoint: Endpoint) -> None:
    api.replies += [api.reply(b"", 503), api.reply(b"<html>"), api.reply({"error": "auth_error"}, 404)]
    with pytest.raises(ApiError) as raised:
        setup.client().ask(endpoint)
    assert raised.value.reason == "auth"


def test_a_bare_list_is_a_reply_only_where_it_is_declared_as_one(
    api: Api, setup: ClientSetup, endpoint: Endpoint
) -> None:
    api.otherwise = api.reply(b'[{"id": 1}]')
    declared = replace(endpoint, bare_list="workers")
    assert setup.client().ask(declared) == {"workers": [{"id": 1}]}
    with pytest.raises(BadReplyError, match="not a JSON object"):
        setup.client().ask(endpoint)
    api.otherwise = api.reply(b'"some text"')
    with pytest.raises(BadReplyError, match="not a JSON object"):
        setup.client().ask(declared)
