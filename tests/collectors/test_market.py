"""The market: what is searched for, which offers compare, what moving saves, and what is stale or used up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.collectors import instances
from exporter.collectors.base import Run, Store
from exporter.collectors.instance_record import Instance, current_status
from exporter.collectors.market import COLLECTOR, ENDPOINT, Kind, kinds_of, quantile
from exporter.config.models import CollectorSettings, Limits
from exporter.metrics.fields import Problems
from exporter.vast.errors import ApiError, AuthError, ServerError
from exporter.vast.pace import MARGIN
from tests.support.members import rented
from tests.support.scripted_api import Api, ClientSetup, VirtualTime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.collectors.base import Progress

PRICE = "vastai_market_gpu_price_dollars_per_hour"
OFFERS = "vastai_market_offers"
SAVING = "vastai_market_saving_dollars_per_hour"
EXHAUSTED = "vastai_market_quota_exhausted"
HOUR, DAY = 3600, 86_400
#: A minute after midnight UTC.
MORNING = 20_000 * DAY + 60.0


def offer(price: float | None = 0.8, machine: int = 100, **what: Any) -> dict[str, Any]:  # noqa: ANN401
    """An offer of two GPUs; `price` is for both."""
    return {
        "gpu_name": "RTX 4090",
        "num_gpus": 2,
        "machine_id": machine,
        "verification": "verified",
        "dph_base": price,
        "min_bid": price,
        "storage_total_cost": 0.01,
        **what,
    }


class Renter:
    """A fleet, and the market's replies to what is asked for it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.time = VirtualTime()
        self.setup = ClientSetup(url=api.url, time=self.time, wall_clock=MORNING)
        self.client = self.setup.client()
        self.fleet = [rented()]
        self.most = 20
        self.store = Store()
        self.problems = Problems()

    def run(self, *replies: bytes) -> list[Progress]:
        self.api.replies.clear()
        self.api.replies += replies
        self.api.asked.clear()
        return list(COLLECTOR.collect(self._run()))

    def offered(self, *rows: object) -> list[Progress]:
        return self.run(self.api.reply({"offers": list(rows)}))

    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(each.body) for each in self.api.asked]

    def samples(self, metric: str) -> dict[tuple[str, ...], float]:
        """What may be shown now, by the values of the labels."""
        parts = self.store.snapshot.fresh(self.time(), COLLECTOR.stale_after)
        text = b"".join(chunk for part in parts for name, chunk in part.lines.text.items() if name == metric)
        return {
            tuple(sample.labels.values()): sample.value
            for family in parse_text(text.decode())
            for sample in family.samples
        }

    def _run(self) -> Run:
        return Run(
            account="",
            client=self.client,
            filters={},
            settings=CollectorSettings.model_validate({"interval": "15m", "stale_after": "1h"}),
            limits=Limits(market=self.most),
            store=self.store,
            clock=self.time,
            wall_clock=lambda: self.setup.wall_clock,
            report=self._report,
            fleet=lambda: self.fleet,
        )

    def _report(self, problems: Problems) -> None:
        self.problems.unreadable.update(problems.unreadable)


@pytest.fixture
def renter() -> Iterator[Renter]:
    with Api() as api:
        yield Renter(api)


def test_an_empty_fleet_asks_nothing_and_is_no_failure(renter: Renter) -> None:
    renter.fleet = []
    assert renter.run() == []
    assert renter.asked() == []
    assert renter.samples(EXHAUSTED) == {(): 0}


def test_a_search_asks_for_the_cheapest_of_what_is_rented(renter: Renter) -> None:
    renter.offered()
    assert renter.asked() == [
        {
            "gpu_name": {"eq": "RTX 4090"},
            "num_gpus": {"eq": 2},
            "rentable": {"eq": True},
            "rented": {"eq": False},
            "verified": {"eq": True},
            "type": "on-demand",
            "order": [["dph_total", "asc"]],
            "limit": 64,
        }
    ]
    assert [(each.method, each.path) for each in renter.api.asked] == [("POST", ENDPOINT.path)]


def test_each_model_number_and_rental_type_is_one_search_whatever_the_account(renter: Renter) -> None:
    renter.fleet = [
        rented(1),
        rented(2, account="studio"),
        rented(3, gpus=1),
        rented(4, gpu_name="H200"),
        rented(5, rental="interruptible"),
        rented(6, rental="reserved"),
        rented(7, gpus=0.5),
        rented(8, gpus=None),
        rented(9, gpu_name=""),
    ]
    found = {(each.kind, each.verified) for each in kinds_of(renter.fleet, 20)}
    assert found == {
        (Kind("RTX 4090", 2, "on_demand"), True),
        (Kind("RTX 4090", 1, "on_demand"), True),
        (Kind("H200", 2, "on_demand"), True),
        (Kind("RTX 4090", 2, "interruptible"), True),
        (Kind("RTX 4090", 2, "reserved"), True),
    }
    renter.run(*5 * [renter.api.reply({"offers": []})])
    assert sorted(each["type"] for each in renter.asked()) == [
        "bid",
        "on-demand",
        "on-demand",
        "on-demand",
        "reserved",
    ]


def test_of_too_many_those_are_asked_that_burn_the_most_together(renter: Renter) -> None:
    renter.fleet = [
        rented(1, gpu_name="L40S", burn=3),
        rented(2, gpu_name="H200", burn=2),
        rented(3, gpu_name="H200", burn=2),
        rented(4, gpu_name="RTX 3090", burn=1),
    ]
    assert [each.kind.gpu_name for each in kinds_of(renter.fleet, 2)] == ["H200", "L40S"]


def test_searches_keep_to_ten_a_minute(renter: Renter) -> None:
    renter.fleet = [rented(gpus=number) for number in range(1, 4)]
    renter.run(*3 * [renter.api.reply({"offers": []})])
    assert renter.time.waits == pytest.approx(2 * [6 * MARGIN])
    assert 60 / (6 * MARGIN) < 10


def test_prices_are_per_gpu_with_quantiles_between_offers(renter: Renter) -> None:
    renter.offered(offer(2.0), offer(0.8), offer(1.0), offer(1.2), offer(1.6))
    kind = ("RTX 4090", "2", "on_demand")
    assert renter.samples(PRICE) == {(*kind, "min"): 0.4, (*kind, "p25"): 0.5, (*kind, "median"): 0.6}
    assert renter.samples(OFFERS) == {kind: 5}


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=64).map(sorted), st.floats(0, 1))
def test_a_quantile_lies_among_the_values_and_does_not_fall(values: list[float], share: float) -> None:
    assert quantile(values, 0) == values[0]
    assert quantile(values, 1) == pytest.approx(values[-1])
    assert quantile(values, share / 2) <= quantile(values, share) * (1 + 1e-9)


def test_no_offer_is_a_count_of_0_and_no_price(renter: Renter) -> None:
    renter.offered()
    assert renter.samples(OFFERS) == {("RTX 4090", "2", "on_demand"): 0}
    assert renter.samples(PRICE) == renter.samples(SAVING) == {}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"gpu_name": "N/A", "num_gpus": 0, "min_bid": None}, id="a disk"),
        pytest.param({"gpu_name": "RTX 3090"}, id="another model"),
        pytest.param({"num_gpus": 4}, id="another number"),
        pytest.param({"verification": "unverified"}, id="not verified"),
        pytest.param({"verification": "deverified"}, id="no longer verified"),
        pytest.param({"machine_id": 7}, id="a machine of ours"),
        pytest.param({"dph_base": None}, id="without a price"),
        pytest.param({"dph_base": 0}, id="for nothing"),
    ],
)
def test_what_is_not_comparable_does_not_count(renter: Renter, other: dict[str, Any]) -> None:
    renter.offered(offer(0.1) | other, offer(0.8))
    assert renter.samples(OFFERS) == {("RTX 4090", "2", "on_demand"): 1}
    assert renter.samples(SAVING) == {("research", "1"): pytest.approx(0.2)}


def test_where_none_of_ours_is_verified_all_offers_compare(renter: Renter) -> None:
    renter.fleet = [rented(verified=False)]
    renter.offered(offer(0.6, verification="unverified"))
    assert "verified" not in renter.asked()[0]
    assert renter.samples(SAVING) == {("research", "1"): pytest.approx(0.4)}


def test_where_one_of_ours_is_verified_only_verified_offers_compare(renter: Renter) -> None:
    renter.fleet = [rented(1), rented(2, verified=False, gpu_price=0.6)]
    renter.offered(offer(0.6, verification="unverified"), offer(0.8))
    assert renter.samples(SAVING) == {
        ("research", "1"): pytest.approx(0.2),
        ("research", "2"): pytest.approx(0.4),
    }


def test_a_machine_of_another_account_of_ours_is_ours_too(renter: Renter) -> None:
    renter.fleet = [rented(1), rented(2, account="studio", gpu_name="H200", machine_id="8")]
    renter.run(*2 * [renter.api.reply({"offers": [offer(0.2, machine=8), offer(0.9, machine=9)]})])
    assert renter.samples(SAVING) == {("research", "1"): pytest.approx(0.1)}


def test_a_price_below_the_market_saves_nothing(renter: Renter) -> None:
    renter.fleet = [rented(gpu_price=0.3)]
    renter.offered(offer(0.8))
    assert renter.samples(SAVING) == {("research", "1"): 0}


def test_what_is_not_paid_for_saves_nothing_that_could_be_told(renter: Renter) -> None:
    renter.fleet = [rented(gpu_price=None)]
    renter.offered(offer(0.8))
    assert renter.samples(SAVING) == {}
    assert len(renter.samples(PRICE)) == 3


@pytest.mark.parametrize(
    ("rental", "row", "price"),
    [
        ("on_demand", {"dph_base": 0.8, "min_bid": 0.2, "discounted_dph_total": 0.3}, 0.4),
        ("interruptible", {"dph_base": 0.8, "min_bid": 0.2, "discounted_dph_total": 0.3}, 0.1),
        ("reserved", {"dph_base": 0.8, "min_bid": 0.2, "discounted_dph_total": 0.31}, 0.15),
        ("reserved", {"dph_base": 0.8, "discounted_dph_total": 0.01}, None),
        ("reserved", {"dph_base": 0.8, "discounted_dph_total": 0.5, "storage_total_cost": None}, None),
    ],
)
def test_the_price_is_that_of_the_rental_type(
    renter: Renter, rental: str, row: dict[str, Any], price: float | None
) -> None:
    renter.fleet = [rented(rental=rental)]
    renter.offered(offer() | row)
    found = renter.samples(PRICE).get(("RTX 4090", "2", rental, "min"))
    assert found == (None if price is None else pytest.approx(price))


def test_odd_rows_cost_nothing_but_themselves_and_are_counted(renter: Renter) -> None:
    renter.offered(7, None, offer(0.8), offer([]), offer(num_gpus="2", dph_base="1.0"), offer(machine_id={}))  # type: ignore[arg-type]
    assert renter.samples(OFFERS) == {("RTX 4090", "2", "on_demand"): 3}
    assert dict(renter.problems.unreadable) == {"offers": 2, "dph_base": 1, "min_bid": 1, "machine_id": 1}


def test_a_search_that_fails_leaves_the_others_and_the_run_has_failed(renter: Renter) -> None:
    renter.fleet = [rented(number, gpus=number, burn=-number) for number in (1, 2, 3)]
    good = [renter.api.reply({"offers": [offer(0.5 * gpus, num_gpus=gpus)]}) for gpus in (1, 2, 3)]
    renter.run(*good)
    assert len(renter.samples(OFFERS)) == 3
    bad = renter.api.reply({}, 503)
    for _ in range(5):  # the second, whatever is tried, for longer than it may be shown
        renter.time.now += HOUR / 4
        with pytest.raises(ServerError):
            renter.run(good[0], bad, bad, bad, good[2])
    assert {number for _, number, _ in renter.samples(OFFERS)} == {"1", "3"}
    assert {number for _, number in renter.samples(SAVING)} == {"1", "3"}


@pytest.mark.parametrize("reply", [{"success": True}, {"offers": None}, {"offers": {}}])
def test_a_reply_without_offers_is_a_failure(renter: Renter, reply: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="no list of offers"):
        renter.run(renter.api.reply(reply))
    assert renter.samples(EXHAUSTED) == {}


def test_a_key_that_may_not_search_is_not_tried_for_each_kind(renter: Renter) -> None:
    renter.fleet = [rented(gpus=number) for number in (1, 2, 3)]
    with pytest.raises(AuthError):
        renter.run(renter.api.reply({"msg": "no permission"}, 403))
    assert len(renter.asked()) == 1


def test_what_is_no_longer_rented_leaves_with_the_next_run(renter: Renter) -> None:
    renter.offered(offer())
    renter.fleet = [rented(gpu_name="H200")]
    renter.offered(offer(gpu_name="H200"))
    assert set(renter.samples(OFFERS)) == {("H200", "2", "on_demand")}


QUOTA = {"success": False, "error": "search_quota_exceeded", "msg": "Daily search quota exceeded"}


@pytest.mark.parametrize(
    "headers", [{"X_RateLimit_Reset": str(20_001 * DAY)}, {}, {"X_RateLimit_Reset": "soon"}]
)
def test_a_quota_that_is_used_up_ends_the_searches_until_midnight_and_is_shown(
    renter: Renter, headers: dict[str, str]
) -> None:
    renter.fleet = [rented(gpus=number, burn=-number) for number in (1, 2, 3)]
    progress = renter.run(
        renter.api.reply({"offers": [offer(num_gpus=1)]}), renter.api.reply(QUOTA, 429, **headers)
    )
    assert (len(progress), len(renter.asked())) == (1, 2)
    assert renter.samples(EXHAUSTED) == {(): 1}
    assert set(renter.samples(OFFERS)) == {("RTX 4090", "1", "on_demand")}
    renter.setup.wall_clock += DAY - 61
    assert renter.run() == []
    assert renter.asked() == []
    renter.setup.wall_clock += 2
    renter.run(*3 * [renter.api.reply({"offers": []})])
    assert len(renter.asked()) == 3
    assert renter.samples(EXHAUSTED) == {(): 0}


def test_while_there_is_no_quota_prices_become_stale_and_the_quota_does_not(renter: Renter) -> None:
    renter.offered(offer())
    renter.run(renter.api.reply(QUOTA, 429))
    for _ in range(5):
        renter.time.now += 900
        renter.run()
    assert renter.samples(OFFERS) == renter.samples(SAVING) == {}
    assert renter.samples(EXHAUSTED) == {(): 1}


@pytest.mark.parametrize(
    ("said", "price"),
    [
        ({}, 0.25),
        ({"instance": {"discountedTotalPerHour": 0.41}}, 0.2),
        ({"instance": {"discountedTotalPerHour": 0}}, 0.25),
        ({"actual_status": "frozen"}, 0.25),
        ({"actual_status": "exited"}, None),
        ({"actual_status": "offline"}, None),
        ({"actual_status": None}, None),
        ({"num_gpus": 0}, None),
        ({"num_gpus": None}, None),
        ({"storage_total_cost": None}, None),
        ({"dph_total": None}, None),
    ],
)
def test_what_a_gpu_of_ours_costs_is_without_the_disk_and_known_only_while_it_is_paid_for(
    said: dict[str, Any], price: float | None
) -> None:
    row = {"actual_status": "running", "num_gpus": 2, "dph_total": 0.51, "storage_total_cost": 0.01} | said
    record = instances.FIELDS.read(row, Problems())
    found = Instance(record.numbers, record.texts, current_status(record, row), None).gpu_price()
    assert found == (None if price is None else pytest.approx(price))
