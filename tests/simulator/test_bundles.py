from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.simulator import DEFAULT_START, Account, Fleet
from exporter.simulator.api.endpoint import Question
from exporter.simulator.api.query import QueryError
from exporter.simulator.endpoints.bundles import BUNDLES, search_offers

if TYPE_CHECKING:
    from exporter.simulator import ManualClock, SimulatedVast


@pytest.fixture
def account() -> Account:
    return Account("", Fleet(1, 5, DEFAULT_START, incidents=False), None)


def search(account: Account, **body: object) -> list[dict[str, Any]]:
    offers = json.loads(search_offers(Question(account, {}, {}, body)).body)["offers"]
    assert isinstance(offers, list)
    return offers


CHEAPEST = [["dph_total", "asc"]]


def test_never_more_than_64_offers_come(account: Account) -> None:
    assert len(search(account)) == len(search(account, limit=1000)) == 64
    assert len(search(account, limit=3)) == 3


def test_a_model_and_a_number_of_gpus_are_found_cheapest_first(account: Account) -> None:
    filters = {"gpu_name": {"in": ["RTX 4090"]}, "num_gpus": {"eq": 1}, "rentable": {"eq": True}}
    found = search(account, order=CHEAPEST, type="on-demand", verified={"eq": True}, **filters)
    prices = [offer["dph_total"] for offer in found]
    assert len(found) > 20
    assert {(offer["gpu_name"], offer["num_gpus"], offer["is_bid"]) for offer in found} == {
        ("RTX 4090", 1, False)
    }
    assert prices == sorted(prices)
    assert 0.2 < prices[0] < 0.5


@pytest.mark.parametrize("wanted", [True, False])
def test_verified_filters_by_the_word_of_the_row(account: Account, wanted: bool) -> None:  # noqa: FBT001
    found = {offer["verification"] for offer in search(account, verified={"eq": wanted})}
    assert found
    assert all((word == "verified") == wanted for word in found)


def test_numbers_that_are_texts_are_understood(account: Account) -> None:
    assert search(account, num_gpus={"eq": "1"}) == search(account, num_gpus={"eq": 1}) != []


@pytest.mark.parametrize("spelling", ["on-demand", "ondemand"])
def test_both_spellings_of_on_demand_are_understood(account: Account, spelling: str) -> None:
    assert search(account, type=spelling) == search(account)


def test_bids_are_cheaper(account: Account) -> None:
    bids, others = (search(account, order=CHEAPEST, type=rental) for rental in ("bid", "on-demand"))
    assert bids[1]["dph_base"] < others[1]["dph_base"]
    assert bids[1]["is_bid"] is True


def test_disk_is_offered_without_any_gpu(account: Account) -> None:
    (disk,) = search(account, resource_type={"eq": "disk"})
    assert (disk["gpu_name"], disk["num_gpus"], disk["min_bid"]) == ("N/A", 0, None)


def test_one_offer_is_found_by_its_number(account: Account) -> None:
    first = search(account)[0]
    assert search(account, ask_contract_id={"eq": first["ask_contract_id"]}) == [first]


def test_more_storage_costs_more(account: Account) -> None:
    one = {"ask_contract_id": {"eq": search(account)[0]["ask_contract_id"]}}
    small, large = (search(account, allocated_storage=gb, **one)[0] for gb in (0, 100))
    assert small["dph_total"] == small["dph_base"] < large["dph_total"]


def test_prices_and_offers_change_with_the_time_only(account: Account) -> None:
    before = search(account, order=CHEAPEST)
    assert search(account, order=CHEAPEST) == before
    account.fleet.advance(DEFAULT_START + 6 * 3600)
    after = search(account, order=CHEAPEST)
    assert {offer["id"] for offer in after} != {offer["id"] for offer in before}


@pytest.mark.parametrize(
    "body",
    [
        {"type": "free"},
        {"gpu_name": "RTX 4090"},
        {"gpu_name": {"like": "RTX"}},
        {"num_gpus": {"gt": "one"}},
        {"order": "dph_total"},
        {"order": [["dph_total"]]},
        {"limit": "many"},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(account: Account, body: dict[str, object]) -> None:
    with pytest.raises(QueryError):
        search(account, **body)


def test_a_search_has_a_body(account: Account) -> None:
    with pytest.raises(QueryError, match="Invalid json body"):
        search_offers(Question(account, {}, {}))


def test_the_quota_of_a_day_lasts_until_midnight(account: Account) -> None:
    account.search_quota = 2
    assert all(search(account) for _ in range(2))
    refused = search_offers(Question(account, {}, {}, {}))
    assert (refused.status, json.loads(refused.body)["error"]) == (429, "search_quota_exceeded")
    midnight = int(refused.headers["x-ratelimit-reset"])
    assert 0 < midnight - account.fleet.now <= 86400
    assert midnight % 86400 == 0
    account.fleet.advance(midnight)
    assert search(account)


def test_ten_searches_are_answered_within_a_minute(vast: SimulatedVast, monotonic: ManualClock) -> None:
    def post() -> int:
        headers = {"Authorization": f"Bearer {vast.key}"}
        url = vast.url + BUNDLES
        return requests.post(url, json={"limit": 1}, headers=headers, timeout=10).status_code

    assert [post() for _ in range(11)] == [200] * 10 + [429]
    monotonic.advance(59)
    assert post() == 429
    monotonic.advance(1)
    assert post() == 200
