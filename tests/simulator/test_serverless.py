from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.simulator import ManualClock, SimulatedVast
from exporter.simulator.endpoints.serverless import ENDPOINT_JOBS, ENDPOINT_WORKERS
from exporter.simulator.fleet.serverless import ENDPOINTS, endpoint_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def vast(clock: ManualClock) -> Iterator[SimulatedVast]:
    with SimulatedVast(size=200, clock=clock, thresholds=False, incidents=False) as served:
        yield served


def jobs(vast: SimulatedVast, key: str = "") -> requests.Response:
    headers = {"Authorization": f"Bearer {key or vast.key}"}
    return requests.get(vast.url + ENDPOINT_JOBS, headers=headers, timeout=10)


def workers(vast: SimulatedVast, number: object) -> Any:  # noqa: ANN401 - three shapes
    headers = {"Authorization": f"Bearer {vast.key}"}
    url = vast.run_url + ENDPOINT_WORKERS
    reply = requests.post(url, json={"id": number}, headers=headers, timeout=10)
    assert reply.status_code == 200
    return reply.json()


def test_endpoints_are_listed_with_their_keys(vast: SimulatedVast) -> None:
    reply = jobs(vast).json()
    assert reply["success"] is True
    assert {row["endpoint_state"] for row in reply["results"]} == {"active", "suspended"}
    assert len({row["api_key"] for row in reply["results"]}) == len(reply["results"]) == 3


def test_an_account_without_any_is_told_so_with_status_400(vast: SimulatedVast) -> None:
    vast.add_account("empty", "empty-key", size=0)
    reply = jobs(vast, "empty-key")
    assert (reply.status_code, reply.json()["msg"]) == (400, "No endpoints for user found")


def test_workers_are_instances_of_the_fleet_in_one_shape_or_another(vast: SimulatedVast) -> None:
    first, second = workers(vast, ENDPOINTS[0].id), workers(vast, ENDPOINTS[1].id)["workers"]
    for endpoint, rows in ((ENDPOINTS[0], first), (ENDPOINTS[1], second)):
        ids = {i.id for i in vast.fleet.roster if endpoint_of(i.contract) is endpoint}
        assert {row["id"] for row in rows} == ids
        assert ids


@pytest.mark.parametrize("number", [ENDPOINTS[2].id, 1, None, "x"])
def test_an_endpoint_without_workers_is_a_message_with_status_200(
    vast: SimulatedVast, number: object
) -> None:
    assert list(workers(vast, number)) == ["error_msg"]


def test_a_worker_loads_its_model_and_is_then_idle(vast: SimulatedVast, clock: ManualClock) -> None:
    number = workers(vast, ENDPOINTS[0].id)[0]["id"]

    def state() -> str:
        (row,) = (row for row in workers(vast, ENDPOINTS[0].id) if row["id"] == number)
        return str(row["status"])

    seen = []
    for status in ("exited", "loading", "running"):
        vast.fleet.set_status(number, status)
        seen.append(state())
    clock.advance(100)
    assert [*seen, state()] == ["stopped", "loading", "model_loading", "idle"]


def test_the_console_knows_nothing_of_workers(vast: SimulatedVast) -> None:
    headers = {"Authorization": f"Bearer {vast.key}"}
    reply = requests.post(vast.url + ENDPOINT_WORKERS, json={"id": 1}, headers=headers, timeout=10)
    assert reply.status_code == 404


def test_a_key_in_the_body_is_accepted(vast: SimulatedVast) -> None:
    body = {"id": ENDPOINTS[0].id, "api_key": vast.key}
    reply = requests.post(vast.run_url + ENDPOINT_WORKERS, json=body, timeout=10)
    assert reply.status_code == 200
    assert reply.json()
