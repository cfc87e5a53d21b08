"""Whatever bytes a reply or a key file holds, they become an object, a key or an error in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import ApiError, AuthError
from exporter.vast.keys import Key
from exporter.vast.pages import LARGEST_ID, compact_json, id_of
from exporter.vast.replies import Reply
from tests.support.odd_json import json_values
from tests.support.scripted_api import KEY, ClientSetup, VirtualTime

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scripted_api import Api

pytestmark = pytest.mark.private_parts

ENDPOINT = Endpoint("/api/v1/things/", 1.0)
NAMES = ("error", "msg", "message", "detail", "success", "instances", "next_token")
JSON = json_values(*NAMES)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), JSON)
TEXTS = st.sampled_from(
    [
        b"",
        b"<html>no</html>",
        b"{",
        b"null",
        b"[" * 5000,
        b"two-factor",
        b"threshold=0.",
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf{}",
    ]
)
BODIES = (
    OBJECTS.map(lambda found: compact_json(found).encode())
    | JSON.map(lambda found: compact_json(found).encode())
    | st.builds(lambda found, at: compact_json(found).encode()[:at], OBJECTS, st.integers(0, 200))
    | st.builds(
        lambda found, bad: compact_json(found).encode().replace(b"e", bad), OBJECTS, st.binary(max_size=3)
    )
    | st.binary(max_size=50)
    | TEXTS
)
VALUES = st.text(max_size=20) | st.sampled_from(
    [
        *(
            "",
            "0",
            "1",
            "9" * 400,
            "-1",
            "1.5",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "Wed, 32 Oct 99999 07:28:00",
        ),
        *(
            "/",
            "//",
            "?",
            "#",
            "/a b",
            "/\xe4",
            "http://[::1/",
            "http://a:b/",
            "https://127.0.0.1",
            "/?x=\x7f",
        ),
        *("gzip", "deflate", "br", "gzip, gzip", "chunked", "identity", "close", "keep-alive", "8, 8"),
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Location", "Retry-After", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Connection"]
    ),
    VALUES,
)
STATUSES = st.sampled_from([200, 203, 204, 301, 302, 307, 308, 400, 401, 403, 404, 408, 410, 429, 500, 503])
#: What an error may say: one short line without the key.
WORDS = re.compile(r"[\x20-\x7e]{1,400}")


@given(status=STATUSES | st.integers(100, 999), headers=HEADERS, body=BODIES, now=st.floats(0, 1e10))
def test_any_reply_is_an_object_or_an_error_in_words(
    status: int, headers: dict[str, str], body: bytes, now: float
) -> None:
    reply = Reply(status, headers, body.replace(b"words", KEY.encode()))
    try:
        target = reply.redirect("https://vast.test/api/?limit=25")
        found = reply.content(key=KEY, now=now)
    except ApiError as error:
        words = str(error)
        assert WORDS.fullmatch(words)
        assert KEY not in words
    else:
        assert isinstance(found, dict)
        assert target is None or target.startswith("https://vast.test/")


@given(status=STATUSES, headers=HEADERS, body=BODIES)
@example(status=302, headers={"Location": "/\xe4"}, body=b"")
@example(status=302, headers={"Location": "/a b"}, body=b"")
def test_any_reply_on_a_connection_is_an_object_or_an_error(
    api: Api, status: int, headers: dict[str, str], body: bytes
) -> None:
    lines = [f"HTTP/1.1 {status} Words", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n"
    outcome(api, head + body)


@given(
    st.lists(
        st.sampled_from(
            [b"HTTP/1.1 200 OK", b"HTTP/1.1 ", b"\r\n", b"\n", b"\r\n\r\n", b"Content-Length: 2", b"{}", b" "]
        )
        | st.binary(max_size=8),
        max_size=12,
    ).map(b"".join)
)
def test_any_bytes_on_a_connection_are_an_object_or_an_error(api: Api, sent: bytes) -> None:
    outcome(api, sent)


def outcome(api: Api, sent: bytes) -> None:
    """Ask, and get this for an answer to each request; then the connection ends."""
    api.otherwise = api.break_off(sent)
    client = ClientSetup(url=api.url, time=VirtualTime()).client()
    try:
        assert isinstance(client.ask(ENDPOINT), dict)
    except ApiError as error:
        words = str(error)
        assert WORDS.fullmatch(words)
        assert KEY not in words
    finally:
        client.close()


@given(st.fixed_dictionaries({}, optional={"id": JSON}))
def test_any_id_is_a_whole_number_in_range_or_none(row: dict[str, object]) -> None:
    found = id_of(row)
    assert found is None or (type(found) is int and 0 < found < LARGEST_ID)


@given(
    st.binary(max_size=60) | st.sampled_from([KEY.encode(), b"\n" + KEY.encode() + b"\r\n", b"a b", b"\0"])
)
def test_any_file_is_a_key_of_one_line_or_an_error_that_does_not_show_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        key = Key(path).read()
    except AuthError as error:
        shown = str(error).replace(str(path), "")
        assert len(content) < 12 or content.decode("latin-1") not in shown
    else:
        assert re.fullmatch(r"[!-~]+", key)
        assert key.encode() == content.strip()
