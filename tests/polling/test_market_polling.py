"""The market beside the instances of all accounts, against a living API on a real socket."""

from __future__ import annotations

import json
import re
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.logs import Redactor
from exporter.polling.fleet import LOOK
from exporter.polling.loop import Loop
from exporter.polling.poller import Poller
from exporter.simulator import INSTANCES, ManualClock, SimulatedVast, json_reply
from exporter.simulator.endpoints.bundles import BUNDLES
from exporter.simulator.fleet.offers import offers_at
from exporter.vast.errors import Stopped
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.simulator import Reply

KEYS = {"one": "the-key-of-one", "two": "the-key-of-two"}
REFUSED = json_reply({"success": False, "msg": "Not permitted"}, 403)


@pytest.fixture
def vast() -> Iterator[SimulatedVast]:
    clock = ManualClock()
    with SimulatedVast(size=12, key=KEYS["one"], clock=clock, thresholds=False, incidents=False) as served:
        served.add_account("two", KEYS["two"], size=12, seed=2)
        yield served


@pytest.fixture
def new_poller(vast: SimulatedVast) -> Callable[..., Poller]:
    """Makes a poller of both accounts, of which nothing runs by itself."""

    def make(limits: dict[str, Any] | None = None, **collectors: Any) -> Poller:  # noqa: ANN401
        api = {"url": vast.url, "min_interval": "0s", "timeout": "5s"}
        config = CONFIG.model_validate(
            {"api": api, "limits": limits or {}, "collectors": {"market": {"enabled": True}, **collectors}}
        )
        accounts = tuple(AccountKey(name, Key(value=key), {}) for name, key in KEYS.items())
        return Poller(Loaded(config, accounts, ()), redact=Redactor())

    return make


def loops(poller: Poller) -> dict[tuple[str, str], Loop]:
    return {loop.job.id: loop for loop in poller.loops}


def run_all(poller: Poller) -> list[bool]:
    """Run each collector once, in their order: the market is the last."""
    return [loop.run_once() for loop in poller.loops]


def text(poller: Poller) -> str:
    return b"".join(poller.exposition.body(openmetrics=False, gzip=False).pieces).decode()


def searched(vast: SimulatedVast) -> int:
    return sum(asked.endpoint == BUNDLES for asked in vast.requests)


def kinds(poller: Poller) -> set[tuple[str, ...]]:
    names = r'gpu_name="([^"]*)",num_gpus="([^"]*)",rental="([^"]*)"'
    return set(re.findall(rf"vastai_market_offers{{{names}}}", text(poller)))


def test_the_market_is_asked_once_for_the_fleets_of_all_accounts(
    vast: SimulatedVast, new_poller: Callable[..., Poller]
) -> None:
    poller = new_poller()
    assert all(run_all(poller))
    fleets = [vast.fleet_of("default"), vast.fleet_of("two")]
    rented = {
        (
            instance.contract.machine.gpu.name,
            str(instance.contract.num_gpus),
            "interruptible" if instance.contract.is_bid else "reserved" if instance.reserve else "on_demand",
        )
        for fleet in fleets
        for instance in fleet.roster
    }
    assert kinds(poller) <= rented
    assert len(kinds(poller)) == min(len(rented), 20) == searched(vast)
    accounts = set(re.findall(r'vastai_market_saving_dollars_per_hour{account="([^"]+)"', text(poller)))
    assert accounts == set(KEYS)


def test_the_limit_counts_combinations(vast: SimulatedVast, new_poller: Callable[..., Poller]) -> None:
    assert all(run_all(new_poller(limits={"market": 3})))
    assert searched(vast) == 3


def test_prices_and_savings_follow_from_what_is_paid_and_what_is_offered(
    vast: SimulatedVast, new_poller: Callable[..., Poller]
) -> None:
    """By the simulator's own books: on demand, running, on a verified machine."""
    poller = new_poller()
    run_all(poller)
    shown, now = text(poller), vast.clock()
    rented = [one for name in ("default", "two") for one in vast.fleet_of(name).roster]
    ours = {one.contract.machine.machine_id for one in rented}
    checked = []
    for one in vast.fleet_of("default").roster:
        contract, machine = one.contract, one.contract.machine
        saving = re.search(rf'saving_\S+{{account="one",instance_id="{one.id}"}} (\S+)', shown)
        if contract.is_bid or one.reserve or machine.verification != "verified" or saving is None:
            continue
        offered = sorted(
            offer.gpu_price(now)
            for offer in offers_at(vast.fleet.seed, now)
            if (offer.machine.gpu, offer.num_gpus) == (machine.gpu, contract.num_gpus)
            and offer.machine.verification == "verified"
            and offer.machine.machine_id not in ours
        )
        if len(offered) > 60:
            continue  # more than come
        kind = f'gpu_name="{machine.gpu.name}",num_gpus="{contract.num_gpus}",rental="on_demand"'
        assert f"vastai_market_offers{{{kind}}} {len(offered)}\n" in shown
        for stat, price in (("min", offered[0]), ("median", median(offered))):
            line = re.search(rf'vastai_market_gpu_price_\S+{{{kind},stat="{stat}"}} (\S+)', shown)
            assert line
            assert float(line[1]) == pytest.approx(price, abs=1e-5)
        expected = max(0.0, contract.dph_base - offered[0] * contract.num_gpus)
        assert float(saving[1]) == pytest.approx(expected, abs=1e-4)
        checked.append(expected)
    assert any(checked)


def test_a_failure_of_the_market_touches_nothing_else_and_says_what_the_key_lacks(
    vast: SimulatedVast, new_poller: Callable[..., Poller]
) -> None:
    vast.faults.always(BUNDLES, REFUSED)
    poller = new_poller()
    assert run_all(poller) == [True, True, True, True, False]
    market = loops(poller)["", "market"]
    assert market.runs.error == "HTTP 403 (Not permitted): the key may lack the permission misc"
    assert 'vastai_collector_failures_total{account="",collector="market",reason="auth"} 1' in text(poller)
    assert "vastai_market_" not in text(poller)
    assert 'vastai_instance_info{account="two",' in text(poller)


def test_an_account_that_fails_leaves_the_market_of_the_others(
    vast: SimulatedVast, new_poller: Callable[..., Poller]
) -> None:
    vast.faults.always(INSTANCES, REFUSED, account="two")
    poller = new_poller()
    run_all(poller)
    assert loops(poller)["", "market"].runs.success
    assert set(re.findall(r'vastai_market_saving_dollars_per_hour{account="([^"]+)"', text(poller))) == {
        "one"
    }


def test_the_first_run_waits_until_each_account_has_been_asked_for_its_instances(
    vast: SimulatedVast, new_poller: Callable[..., Poller], monkeypatch: pytest.MonkeyPatch
) -> None:
    poller = new_poller()
    waits: list[float] = []

    def wait(loop: Loop, seconds: float) -> None:
        assert loop.job.collector.name == "market"
        waits.append(seconds)
        assert searched(vast) == 0
        loops(poller)[["one", "two"][len(waits) - 1], "instances"].run_once()

    monkeypatch.setattr(Loop, "_wait", wait)
    assert loops(poller)["", "market"].run_once()
    assert waits == [LOOK, LOOK]
    assert searched(vast) > 0


def test_a_stop_ends_the_wait_for_the_instances(new_poller: Callable[..., Poller]) -> None:
    market = loops(new_poller())["", "market"]
    market.stop()
    with pytest.raises(Stopped):
        market.run_once()


def test_without_instances_nothing_is_searched(
    vast: SimulatedVast, new_poller: Callable[..., Poller]
) -> None:
    poller = new_poller(instances={"enabled": False})
    assert all(run_all(poller))
    assert searched(vast) == 0


def test_a_quota_that_is_used_up_is_no_failure_and_is_shown(
    vast: SimulatedVast, new_poller: Callable[..., Poller]
) -> None:
    vast.accounts["default"].search_quota = 2
    poller = new_poller()
    assert all(run_all(poller))
    assert searched(vast) == 3
    assert loops(poller)["", "market"].run_once()
    assert searched(vast) == 3
    assert "vastai_market_quota_exhausted 1\n" in text(poller)
    assert len(kinds(poller)) == 2


def test_models_are_called_as_the_api_calls_them(
    vast: SimulatedVast, new_poller: Callable[..., Poller]
) -> None:
    bodies: list[dict[str, Any]] = []

    def keep(_: object, due: Reply) -> Reply:
        bodies.append(json.loads(due.body))
        return due

    vast.faults.always(BUNDLES, keep)
    run_all(new_poller())
    offers = [body["offers"] for body in bodies]
    assert any(" " in row["gpu_name"] for rows in offers for row in rows)
    assert all(len({(row["gpu_name"], row["num_gpus"]) for row in rows}) <= 1 for rows in offers)
