"""Whatever is asked, and however: what comes back is well formed, is never an error of ours, and ends."""

from __future__ import annotations

import socket
import time
from base64 import b64encode
from contextlib import suppress
from gzip import decompress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import bcrypt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition.body import OPENMETRICS, TEXT
from exporter.web.access import LiveAccess
from exporter.web.app import create_app
from exporter.web.server import BackgroundServer, listen
from exporter.web.users import PasswordChecks
from tests.web.conftest import Fleet, Site, fleet_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = ("/", "/metrics", "/-/healthy", "/-/ready", "/healthz", "/readyz")
ACTIONS = ("/-/reload",)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
#: The parser knows the first three.
STRANGE_METHODS = ("PROPFIND", "PURGE", "QUERY", "FOO", "get")
#: What nothing but a fault of ours would be answered with is missing.
STATUSES = {200, 400, 404, 405, 501}
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10)
LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
#: Ends the connection after whatever came before it.
FAREWELL = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Answer(NamedTuple):
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(site: Site, *pieces: bytes, head: bool = False) -> list[Answer]:
    """Send pieces on a new connection, and return the replies until its end: all are well formed."""
    came, ended = b"", True
    with site.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                client.sendall(piece)
        except ConnectionError:  # it may be closed on what was sent first
            ended = False
        try:
            while piece := client.recv(1 << 20):
                came += piece
        except ConnectionError:
            ended = False
    return list(answers(came, head=head, ended=ended))


def answers(came: bytes, *, head: bool, ended: bool) -> Iterator[Answer]:
    """Read replies one after another; the last may be cut off if the connection was not `ended` but reset."""
    while came:
        start, end, rest = came.partition(b"\r\n\r\n")
        if not end and not ended:
            return
        assert end
        status, *lines = start.decode("ascii").split("\r\n")
        version, code, _ = status.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(headers) == len(lines), "a header is there twice"
        length = 0 if head else int(headers["content-length"])
        if len(rest) < length and not ended:
            return
        assert len(rest) >= length
        yield Answer(int(code), headers, rest[:length])
        came = rest[length:]


def ask(site: Site, method: str, path: str, *headers: bytes) -> Answer:
    """Return the only answer to a request."""
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: a", *headers, b"Connection: close"]
    (answer,) = exchange(site, b"\r\n".join([*lines, b"", b""]), head=method == "HEAD")
    return answer


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Few instances, so that each answer is small."""
    return fleet_of(3, tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever was sent, nothing is to be logged: not that it came, and nothing of it."""
    yield
    assert not caplog.get_records("call")


pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.private_parts]


# Methods and paths


@given(method=st.sampled_from(METHODS), path=st.sampled_from(PAGES))
def test_a_page_can_be_got_and_nothing_else(site: Site, method: str, path: str) -> None:
    answer = ask(site, method, path)

    if method in {"GET", "HEAD"}:
        assert answer.status == 200
        assert bool(answer.body) == (method == "GET")
    else:
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@given(method=st.sampled_from(METHODS), path=st.sampled_from(ACTIONS))
def test_an_action_can_be_posted_and_nothing_else(site: Site, method: str, path: str) -> None:
    answer = ask(site, method, path)

    if method == "POST":
        assert answer.status == 200
    else:
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"


@given(method=st.sampled_from(STRANGE_METHODS), path=st.sampled_from((*PAGES, *ACTIONS, "/no/such")))
def test_a_method_that_http_does_not_have_is_not_implemented(site: Site, method: str, path: str) -> None:
    assert ask(site, method, path).status == 501


PATH = st.text("abcXYZ019-._~!$&'()*+,;=:@/", max_size=30)
ESCAPES = st.integers(0, 255).map("%{:02x}".format)
NEAR = st.sampled_from([*PAGES, *ACTIONS, "/metric", "/-", "/..", "//", "/%2e", "/%2Fmetrics", "/%00", "/%"])


@given(
    path=st.tuples(st.just("/") | NEAR, st.lists(PATH | ESCAPES | NEAR, max_size=5).map("".join)).map("".join)
)
@example(path="/metrics/")
def test_other_paths_are_not_found(site: Site, path: str) -> None:
    known = unquote(path) in {*PAGES, *ACTIONS}

    assert known or ask(site, "GET", path).status == 404


@given(query=st.text("abc019=&;%+?/'\"<>", max_size=50), page=st.sampled_from(PAGES))
def test_a_query_changes_nothing(site: Site, query: str, page: str) -> None:
    assert ask(site, "GET", f"{page}?{query}").status == 200


@given(
    method=(st.sampled_from((*METHODS, *STRANGE_METHODS)) | VISIBLE).filter(lambda method: method != "HEAD"),
    target=st.text(st.characters(min_codepoint=1, max_codepoint=255)),
)
@example(method="CONNECT", target="a:80")
@example(method="OPTIONS", target="*")
@example(method="GET", target="http://[::1/")
@example(method="GET", target="/\x80")
def test_any_request_line_is_answered_or_refused(site: Site, method: str, target: str) -> None:
    came = exchange(site, f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"), FAREWELL)

    assert {answer.status for answer in came} <= STATUSES


# Formats

WEIGHTS = st.sampled_from(["", ";q=0", ";q=1", ";q=0.5", ";q=0.001", ";q=9", ";q=-1", ";q=nan", ";q=", ";q"])
BLANKS = st.sampled_from(["", " ", "\t"])


def preferences(*names: str) -> st.SearchStrategy[str]:
    """Headers like Accept: some elements with weights, in good form and in bad."""
    name = st.sampled_from(names) | VISIBLE
    return st.lists(st.tuples(BLANKS, name, BLANKS, WEIGHTS).map("".join), max_size=6).map(",".join)


ACCEPT = preferences(
    "*/*",
    "text/plain",
    "text/plain;version=0.0.4",
    "application/openmetrics-text",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=0.0.1",
    "application/openmetrics-text;version=2.0.0",
    "text/html",
)
ACCEPT_ENCODING = preferences("gzip", "x-gzip", "identity", "*", "br", "deflate", "zstd")


@given(accept=ACCEPT, encoding=ACCEPT_ENCODING)
def test_the_metrics_are_what_their_headers_say_and_can_be_read(
    site: Site, accept: str, encoding: str
) -> None:
    lines = f"Accept: {accept}".encode(), f"Accept-Encoding: {encoding}".encode()

    _, headers, body = ask(site, "GET", "/metrics", *lines)

    text = (decompress(body) if headers.get("content-encoding") == "gzip" else body).decode()
    assert headers["content-type"] in {TEXT, OPENMETRICS}
    parse = parse_openmetrics if headers["content-type"] == OPENMETRICS else parse_text
    names = {family.name for family in parse(text)}
    assert {"vastai_instance_info", "vastai_account_credit_dollars", "vastai_collector_success"} <= names


# Headers and bodies

NAMES = ["Host", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Range", "Trailer"]
VALUES = [
    "0",
    "1",
    "-1",
    "9" * 30,
    "chunked",
    "100-continue",
    "close",
    "keep-alive",
    "upgrade",
    "websocket",
    "h2c",
]
HEADER = st.tuples(
    st.sampled_from(NAMES).map(str.encode) | st.binary(min_size=1, max_size=10),
    st.just(b": "),
    (st.sampled_from(VALUES) | LATIN).map(lambda value: value.encode("latin-1")),
)


@given(
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from((*PAGES, *ACTIONS)),
    headers=st.lists(HEADER.map(b"".join) | st.just(b"Host: a"), max_size=6),
    body=st.binary(max_size=200),
)
def test_any_headers_and_any_body_are_answered_or_refused(
    site: Site, method: str, path: str, headers: list[bytes], body: bytes
) -> None:
    head = b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *headers, b"", b""])
    came = exchange(site, head + body, b"\r\n\r\n" + FAREWELL, FAREWELL)

    assert {answer.status for answer in came} <= STATUSES


# Bytes

GOOD = (
    b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
)
BYTES = st.lists(st.sampled_from(GOOD) | st.binary(max_size=20), max_size=5).map(b"".join)


@given(sent=BYTES)
def test_any_bytes_are_answered_or_refused(site: Site, sent: bytes) -> None:
    came = exchange(site, sent, b"\r\n\r\n" + FAREWELL, FAREWELL)

    assert {answer.status for answer in came} <= STATUSES


@given(requests=st.lists(st.sampled_from(GOOD[:2]), max_size=8), data=st.data())
def test_however_requests_are_cut_up_each_has_its_answer(
    site: Site, requests: list[bytes], data: st.DataObject
) -> None:
    sent = b"".join([*requests, FAREWELL])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=10)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]

    came = exchange(site, *pieces)

    assert [answer.status for answer in came] == [404 if b"nothing" in one else 200 for one in requests] + [
        200
    ]


# Users


@pytest.fixture
def guarded(fleet: Fleet, tmp_path: Path) -> Iterator[Site]:
    """Served to one user only."""
    hashed = bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode()
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{alice: '{hashed}'}}\n")
    passwords = PasswordChecks()
    app = create_app(
        fleet,
        telemetry_path="/metrics",
        wall_clock=time.time,
        access=LiveAccess(path),
        passwords=passwords,
    )
    with BackgroundServer(app, listen("127.0.0.1", 0)) as server:
        yield Site(server)
    passwords.close()


CREDENTIALS = st.tuples(st.binary(max_size=80), st.binary(max_size=80)).map(b":".join)


@given(
    authorization=st.one_of(
        LATIN,
        CREDENTIALS.map(lambda pair: f"Basic {b64encode(pair).decode()}"),
        st.binary(max_size=80).map(lambda it: f"Basic {b64encode(b'alice:' + it).decode()}"),
    ),
    path=st.sampled_from(["/", "/metrics", "/-/reload", "/nothing"]),
)
@example(authorization=f"Basic {b64encode(b'alice:password').decode()}", path="/metrics")
@example(authorization=f"Basic {b64encode(b'alice:pass' + bytes(1) + b'word').decode()}", path="/metrics")
def test_nothing_but_the_password_opens(guarded: Site, authorization: str, path: str) -> None:
    right = f"Basic {b64encode(b'alice:password').decode()}"

    answer = ask(guarded, "GET", path, b"Authorization: " + authorization.encode("latin-1"))

    assert answer.status == (200 if authorization == right else 401)
    assert (b"vastai_instance_info" in answer.body) == (authorization == right)


# At last


@given(st.lists(BYTES, max_size=10))
def test_no_connection_is_left(site: Site, sent: list[bytes]) -> None:
    for one in sent:
        with site.connect() as client, suppress(ConnectionError):
            client.sendall(one)

    wait_until(lambda: site.connections == 0)
