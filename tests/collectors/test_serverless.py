"""Serverless endpoints and their workers: each shape of a reply, what can't be had, and what stays."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from exporter.collectors.serverless import COLLECTOR, ENDPOINTS, STATES, WORKERS_OF_ONE
from exporter.vast.errors import ApiError, BadReplyError, ClientError, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.pipeline import Account, Exporter

ENDPOINT: dict[str, Any] = {
    "id": 7,
    "endpoint_name": "llama",
    "endpoint_state": "active",
    "min_load": 10.0,
    "target_util": 0.9,
    "cold_workers": 2,
    "max_workers": 16,
    "api_key": "key-of-the-endpoint",
}
OTHER = ENDPOINT | {"id": 9, "endpoint_name": "embed"}
WORKER: dict[str, Any] = {
    "id": 101,
    "status": "idle",
    "cur_load": 40.5,
    "perf": 100.0,
    "reqs_working": 3,
    "url": "https://203.0.113.7:20101",
}
NOT_READY = {"error_msg": "authenticate_endpoint_apikey: endpoint 7 not found"}


def listed(*rows: object) -> dict[str, object]:
    return {"success": True, "results": list(rows)}


def values(exporter: Exporter, endpoint: int = 7) -> dict[str, float]:
    """Return the values of an endpoint by metric; of those by state, the states that are above 0."""
    found = {}
    for (name, labels), value in exporter.samples().items():
        own = dict(labels)
        if name.startswith("vastai_endpoint_") and own.get("endpoint_id") == str(endpoint):
            rest = {own[key] for key in ("status", "instance_id", "state") if key in own}
            if "status" not in own or value:
                found[":".join((name.removeprefix("vastai_endpoint_"), *rest))] = value
    return found


def answer(exporter: Exporter, *replies: tuple[int, object]) -> None:
    exporter.api.replies.clear()
    exporter.api.replies += [(status, json.dumps(content).encode()) for status, content in replies]


def collect(account: Account, *replies: tuple[int, object]) -> None:
    run = account.start(COLLECTOR)
    answer(account._exporter, *replies)  # noqa: SLF001 - the parts of one fixture
    list(run)


OF_ENDPOINT = {
    "info:active": 1.0,
    "min_load": 10.0,
    "target_util_ratio": 0.9,
    "cold_workers": 2.0,
    "max_workers": 16.0,
}
NOBODY = {"load": 0.0, "perf": 0.0, "requests_working": 0.0}


@pytest.mark.parametrize("reply", [[WORKER], {"workers": [WORKER]}])
def test_workers_come_as_a_list_or_in_an_object(exporter: Exporter, account: Account, reply: object) -> None:
    collect(account, (200, listed(ENDPOINT)), (200, reply))
    assert values(exporter) == OF_ENDPOINT | {
        "workers:idle": 1.0,
        "instance:101": 1.0,
        "load": 40.5,
        "perf": 100.0,
        "requests_working": 3.0,
    }


@pytest.mark.parametrize("reply", [NOT_READY, [], {"workers": []}])
def test_an_endpoint_that_is_not_ready_has_no_workers(
    exporter: Exporter, account: Account, reply: object
) -> None:
    collect(account, (200, listed(ENDPOINT)), (200, reply))
    assert values(exporter) == OF_ENDPOINT | NOBODY
    states = {dict(labels).get("status") for name, labels in exporter.samples() if name.endswith("_workers")}
    assert states >= set(STATES)


@pytest.mark.parametrize(
    "reply", ["authenticate_endpoint_apikey: invalid api_key", {}, {"workers": None}, {"workers": {}}, 7]
)
def test_any_other_reply_says_nothing_of_workers(exporter: Exporter, account: Account, reply: object) -> None:
    with pytest.raises(BadReplyError):
        collect(account, (200, listed(ENDPOINT)), *[(200, reply)] * 3)
    assert values(exporter) == OF_ENDPOINT


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (200, listed()),
        (400, {"success": False, "error": "invalid_args", "msg": "No endpoints for user found"}),
    ],
)
def test_an_account_without_endpoints_is_a_good_answer_after_which_none_is_shown(
    exporter: Exporter, account: Account, status: int, reply: object
) -> None:
    collect(account, (200, listed(ENDPOINT)), (200, [WORKER]))
    collect(account, (status, reply))
    assert values(exporter) == {}


def test_another_error_is_no_empty_account(exporter: Exporter, account: Account) -> None:
    collect(account, (200, listed(ENDPOINT)), (200, [WORKER]))
    with pytest.raises(ClientError):
        collect(account, (400, {"error": "invalid_args", "msg": "something else"}))
    assert values(exporter)["instance:101"] == 1


def test_workers_are_added_up_by_state_and_capacity_is_that_of_those_that_are_ready(
    exporter: Exporter, account: Account
) -> None:
    workers = [
        WORKER,
        WORKER | {"id": 102, "status": "IDLE", "cur_load": None},
        WORKER | {"id": 103, "status": "stopped", "cur_load": 0.0, "reqs_working": 0},
        WORKER | {"id": 104, "status": "update_draining", "cur_load": 1.0, "reqs_working": None},
        WORKER | {"id": 105, "status": None, "cur_load": -1.0},
    ]
    collect(account, (200, listed(ENDPOINT)), (200, workers))
    found = values(exporter)
    states = {"workers:idle": 2, "workers:stopped": 1, "workers:update_draining": 1, "workers:unknown": 1}
    assert {name: value for name, value in found.items() if name.startswith("workers:")} == states
    assert (found["load"], found["perf"], found["requests_working"]) == (41.5, 200.0, 9.0)


def test_a_sum_of_what_no_worker_tells_is_no_sample(exporter: Exporter, account: Account) -> None:
    collect(account, (200, listed(ENDPOINT)), (200, [{"id": 101, "status": "idle"}]))
    assert values(exporter) == OF_ENDPOINT | {"workers:idle": 1.0, "instance:101": 1.0}


def test_rows_without_an_id_or_with_that_of_another_are_left_out_and_counted(
    exporter: Exporter, account: Account
) -> None:
    workers = [WORKER, WORKER | {"status": "error"}, WORKER | {"id": None}, "no row"]
    collect(account, (200, listed(ENDPOINT, {"id": 0}, ENDPOINT)), (200, workers))
    assert values(exporter)["workers:idle"] == 1
    assert "workers:error" not in values(exporter)
    assert account.unreadable == {"id": 5}


def test_values_that_cant_be_read_are_counted_by_field(account: Account) -> None:
    worker = WORKER | {"cur_load": "much", "status": []}
    collect(account, (200, listed(ENDPOINT | {"max_workers": "many"})), (200, [worker]))
    assert account.unreadable == {"max_workers": 1, "cur_load": 1, "status": 1}


def test_where_the_workers_of_one_endpoint_cant_be_had_the_others_are_there_and_what_was_known_stays(
    exporter: Exporter, account: Account
) -> None:
    collect(account, (200, listed(ENDPOINT, OTHER)), (200, [WORKER]), (200, [WORKER | {"id": 202}]))
    exporter.clock.advance(COLLECTOR.stale_after - 1)
    busy = WORKER | {"id": 202, "cur_load": 90.0}
    renamed = ENDPOINT | {"max_workers": 20}
    with pytest.raises(ServerError):
        collect(account, (200, listed(renamed, OTHER)), *[(500, {})] * 3, (200, [busy]))
    assert (values(exporter)["load"], values(exporter)["max_workers"]) == (40.5, 20)
    assert values(exporter, 9)["load"] == 90
    exporter.clock.advance(2)
    assert values(exporter) == OF_ENDPOINT | {"max_workers": 20}
    assert values(exporter, 9)["load"] == 90


def asked(account: Account, *replies: tuple[int, object]) -> int:
    """Return how often workers were asked for by a run, which may fail."""
    api = account._exporter.api  # noqa: SLF001 - the parts of one fixture
    api.asked.clear()
    with suppress(ApiError):
        collect(account, *replies)
    return api.asked.count(WORKERS_OF_ONE.path)


def test_a_host_that_asks_for_a_slower_pace_is_left_alone_for_this_run(account: Account) -> None:
    both = (200, listed(ENDPOINT, OTHER))
    assert asked(account, both, *[(429, {})] * 3) == 3


def test_an_endpoint_whose_workers_cant_be_had_keeps_no_other_from_being_read(
    exporter: Exporter, account: Account
) -> None:
    both = (200, listed(ENDPOINT, OTHER))
    assert asked(account, both, *[(401, {"error": "auth_error", "msg": "no"})]) == 1
    assert asked(account, both, (200, [WORKER | {"id": 202}]), (401, {"error": "auth_error"})) == 2
    assert values(exporter, 9)["instance:202"] == 1
    assert values(exporter) == OF_ENDPOINT


def test_an_endpoint_that_is_gone_takes_its_workers_with_it(exporter: Exporter, account: Account) -> None:
    third = ENDPOINT | {"id": 8}
    workers = [(200, [WORKER | {"id": number}]) for number in (1, 2, 3)]
    collect(account, (200, listed(third, OTHER, ENDPOINT)), *workers)
    with pytest.raises(ServerError):
        collect(account, (200, listed(ENDPOINT, OTHER)), *[(500, {})] * 6)
    assert values(exporter, 8) == {}
    assert (values(exporter)["instance:1"], values(exporter, 9)["instance:3"]) == (1, 1)


def test_no_secret_of_an_endpoint_and_no_address_of_a_worker_is_kept(
    exporter: Exporter, account: Account
) -> None:
    collect(account, (200, listed(ENDPOINT)), (200, [WORKER]))
    kept = repr(account.stores[COLLECTOR.name].snapshot) + exporter.scrape().decode()
    assert "llama" in kept
    assert "key-of-the-endpoint" not in kept
    assert "203.0.113.7" not in kept


def test_names_are_labels_as_their_users_wrote_them(exporter: Exporter, account: Account) -> None:
    collect(account, (200, listed(ENDPOINT | {"endpoint_name": 'a "b" \\ \n c'})), (200, []))
    (labels,) = (dict(labels) for name, labels in exporter.samples() if name == "vastai_endpoint_info")
    assert labels["endpoint_name"] == 'a "b" \\ \n c'


def test_what_it_asks_is_the_list_and_the_workers_of_each(exporter: Exporter, account: Account) -> None:
    collect(account, (200, listed(OTHER, ENDPOINT)), (200, []), (200, []))
    assert exporter.api.asked == [ENDPOINTS.path, WORKERS_OF_ONE.path, WORKERS_OF_ONE.path]
    assert (WORKERS_OF_ONE.method, WORKERS_OF_ONE.host) == ("POST", "run")


def test_progress_tells_how_many_replies_there_will_be(account: Account) -> None:
    run = account.start(COLLECTOR, listed(ENDPOINT, OTHER))
    account._exporter.api.replies += [(200, b"[]")] * 2  # noqa: SLF001 - the parts of one fixture
    told: list[Mapping[str, object]] = [
        {"pages": each.pages, "objects": each.objects, "of": each.total_pages} for each in run
    ]
    assert told == [{"pages": number, "objects": 2, "of": 3} for number in (1, 2, 3)]
