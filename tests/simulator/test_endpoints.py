from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.simulator import SimulatedVast, endpoints, json_reply
from exporter.simulator.api.app import build_app
from exporter.simulator.api.endpoint import Host, Question, SimulatedEndpoint
from exporter.simulator.endpoints import find_endpoints
from exporter.web.server import BackgroundServer, listen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.simulator import Reply

MODULE = """
from exporter.simulator.api.endpoint import SimulatedEndpoint
from exporter.simulator.api.replies import json_reply

ENDPOINTS = (SimulatedEndpoint("{path}", lambda question: json_reply({{}})),)
"""


def echo(question: Question) -> Reply:
    return json_reply([question.account.name, question.params, question.path_params, question.body])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Looked at for endpoints too."""
    monkeypatch.setattr(endpoints, "__path__", [*endpoints.__path__, str(tmp_path)])
    find_endpoints.cache_clear()
    yield tmp_path
    find_endpoints.cache_clear()
    sys.modules.pop("exporter.simulator.endpoints.newcomer", None)


def test_a_new_endpoint_costs_one_module(folder: Path) -> None:
    (folder / "newcomer.py").write_text(MODULE.format(path="/api/v0/newcomer/"))
    with SimulatedVast(size=1) as vast:
        headers = {"Authorization": f"Bearer {vast.key}"}
        assert requests.get(vast.url + "/api/v0/newcomer/", headers=headers, timeout=10).json() == {}


def test_no_two_endpoints_have_the_same_path(folder: Path) -> None:
    (folder / "newcomer.py").write_text(MODULE.format(path="/api/v1/instances/"))
    with pytest.raises(ValueError, match="two endpoints have the path /api/v1/instances/"):
        find_endpoints()


def test_paths_that_are_spelt_out_come_before_those_with_place_holders() -> None:
    holders = [endpoint.path.count("{") for endpoint in find_endpoints()]
    assert holders == sorted(holders)
    assert holders[-1] > 0


@pytest.fixture
def url(vast: SimulatedVast) -> Iterator[str]:
    """Where three endpoints of this test are, with the accounts of `vast`."""
    chosen = (
        SimulatedEndpoint("/things/{id}/", echo, method="POST"),
        SimulatedEndpoint("/things/", echo),
        SimulatedEndpoint("/workers/", echo, method="POST", host=Host.RUN),
    )
    with BackgroundServer(build_app(vast, chosen), listen("127.0.0.1", 0)) as server:
        yield server.url


def ask(vast: SimulatedVast, method: str, url: str, **more: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {vast.key}"}
    return requests.request(method, url, headers=headers, timeout=10, **more)  # type: ignore[arg-type]


def test_an_endpoint_gets_the_account_the_query_the_path_and_the_body(vast: SimulatedVast, url: str) -> None:
    reply = ask(vast, "POST", f"{url}/things/5/?a=1", json={"limit": 3})
    assert reply.json() == ["default", {"a": "1"}, {"id": "5"}, {"limit": 3}]
    assert ask(vast, "GET", f"{url}/things/", json={"id": "me"}).json() == ["default", {}, {}, {"id": "me"}]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_a_body_that_is_no_json_is_none(vast: SimulatedVast, url: str, body: bytes) -> None:
    assert ask(vast, "POST", f"{url}/things/5/", data=body).json()[-1] is None


def test_a_large_body_arrives_whole(vast: SimulatedVast, url: str) -> None:
    assert ask(vast, "POST", f"{url}/things/5/", json="x" * 500_000).json()[-1] == "x" * 500_000


def test_an_endpoint_answers_its_own_method_only(vast: SimulatedVast, url: str) -> None:
    assert ask(vast, "GET", f"{url}/things/5/").status_code == 405
    assert ask(vast, "POST", f"{url}/things/").status_code == 405


def test_the_other_host_has_endpoints_that_the_first_has_not(vast: SimulatedVast, url: str) -> None:
    assert ask(vast, "POST", f"{url}/workers/").status_code == 404
    other = url.replace("127.0.0.1", "localhost")
    assert ask(vast, "POST", f"{other}/workers/", json={"id": 1}).json()[-1] == {"id": 1}


def test_the_other_host_has_a_name_of_its_own(vast: SimulatedVast) -> None:
    assert vast.run_url == vast.url.replace("127.0.0.1", "localhost")


def test_the_log_has_the_method_and_the_body(vast: SimulatedVast, url: str) -> None:
    ask(vast, "POST", f"{url}/things/5/", json={"limit": 3})
    request = vast.requests[-1]
    assert (request.method, request.endpoint, request.body) == ("POST", "/things/{id}/", {"limit": 3})
