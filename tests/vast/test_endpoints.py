"""What an endpoint is: a path whose parts may vary, and all that its pace goes by."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.vast.endpoints import Endpoint

LOGS = Endpoint("/api/v0/workergroups/{group}/logs/{day}/", 1.0)


def test_a_path_without_parts_is_filled_with_nothing() -> None:
    assert Endpoint("/api/v0/users/current/", 1.0).filled() == "/api/v0/users/current/"


def test_parts_take_the_place_of_their_names() -> None:
    assert LOGS.filled(group=17, day="today") == "/api/v0/workergroups/17/logs/today/"


@pytest.mark.parametrize(
    ("part", "written"),
    [
        ("a b", "a%20b"),
        ("a/../b", "a%2F..%2Fb"),
        ("?x=1#y", "%3Fx%3D1%23y"),
        ("50%", "50%25"),
        ("{day}", "%7Bday%7D"),
        ("caf\xe9", "caf%C3%A9"),
        ("-_.~", "-_.~"),
    ],
)
def test_a_part_never_reaches_beyond_its_place(part: str, written: str) -> None:
    assert LOGS.filled(group=part, day=1) == f"/api/v0/workergroups/{written}/logs/1/"


@given(st.text(min_size=1))
def test_whatever_a_part_is_it_comes_back_out_of_the_url(part: str) -> None:
    url = urlsplit("https://console.vast.ai" + LOGS.filled(group=part, day=1) + "?limit=1")
    segments = url.path.split("/")
    assert [unquote(segment) for segment in segments] == [
        "",
        "api",
        "v0",
        "workergroups",
        part,
        "logs",
        "1",
        "",
    ]
    assert (url.query, url.fragment) == ("limit=1", "")


def test_a_part_that_is_left_out_is_an_error() -> None:
    with pytest.raises(KeyError, match="day"):
        LOGS.filled(group=17)


def test_endpoints_are_the_same_if_all_that_is_said_of_them_is() -> None:
    one = Endpoint("/api/v0/bundles/", 1.0, "POST")
    assert one == Endpoint("/api/v0/bundles/", 1.0, method="POST", host="api")
    assert (
        len({one, Endpoint("/api/v0/bundles/", 1.0), Endpoint("/api/v0/bundles/", 1.0, "POST", "run")}) == 3
    )
