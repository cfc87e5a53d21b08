from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from exporter.simulator import DEFAULT_START, Fleet
from exporter.simulator.fleet.instance_row import row

HOUR = 3600.0


def rows(fleet: Fleet) -> list[dict[str, object]]:
    return [row(instance, fleet.now) for instance in fleet.roster]


def test_the_same_seed_gives_the_same_rows_whenever_and_however_often_it_is_asked() -> None:
    asked_once, asked_often = Fleet(7, 40, DEFAULT_START), Fleet(7, 40, DEFAULT_START)
    random = Random(3)
    moment = 0.0
    while moment < 12 * HOUR:
        asked_often.advance(DEFAULT_START + moment)
        rows(asked_often)
        asked_often.credit()
        moment += random.uniform(0.1, 900)
    for fleet in (asked_once, asked_often):
        fleet.advance(DEFAULT_START + 12 * HOUR)
    assert rows(asked_once) == rows(asked_often)
    assert asked_once.credit() == asked_often.credit()
    assert asked_once.incidents == asked_often.incidents


def test_another_seed_gives_another_fleet() -> None:
    assert Fleet(1, 10, DEFAULT_START).ids() != Fleet(2, 10, DEFAULT_START).ids()


def test_time_never_goes_back() -> None:
    fleet = Fleet(1, 10, DEFAULT_START)
    fleet.advance(DEFAULT_START + 100)
    before = rows(fleet)
    fleet.advance(DEFAULT_START)
    assert fleet.now == DEFAULT_START + 100
    assert rows(fleet) == before


@pytest.mark.parametrize("seed", range(5))
def test_from_the_first_moment_there_is_a_believable_mix(seed: int) -> None:
    fleet = Fleet(seed, 60, DEFAULT_START)
    states = Counter(instance.shown_status for instance in fleet.roster)
    assert len(fleet.roster) == 60
    assert states["running"] > 30
    assert states["exited"] + states["stopped"] >= 6
    assert len(states) >= 4
    assert len(fleet.incidents) >= 2


@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_small_fleets_live_too(size: int) -> None:
    fleet = Fleet(4, size, DEFAULT_START)
    assert len(fleet.ids()) == size
    fleet.advance(DEFAULT_START + 48 * HOUR)
    assert abs(len(fleet.ids()) - size) <= 3


def test_the_fleet_keeps_its_size_and_its_mix_for_weeks_while_instances_come_and_go() -> None:
    fleet = Fleet(1, 60, DEFAULT_START)
    first = set(fleet.ids())
    for day in range(1, 15):
        fleet.advance(DEFAULT_START + day * 24 * HOUR)
        states = Counter(instance.shown_status for instance in fleet.roster)
        assert 54 <= len(fleet.ids()) <= 66
        assert states["running"] > 25
    assert len(first & set(fleet.ids())) < 30


def test_in_a_fleet_of_sixty_some_status_changes_every_other_minute_or_so() -> None:
    fleet = Fleet(1, 60, DEFAULT_START)
    changed = 0
    before = {i.id: i.shown_status for i in fleet.roster}
    for minute in range(1, 61):
        fleet.advance(DEFAULT_START + minute * 60)
        now = {i.id: i.shown_status for i in fleet.roster}
        changed += before != now
        before = now
    assert changed >= 30


def test_every_documented_status_occurs() -> None:
    fleet = Fleet(1, 200, DEFAULT_START)
    seen: set[str | None] = set()
    for minute in range(6 * 60):
        fleet.advance(DEFAULT_START + minute * 60)
        seen |= {instance.shown_status for instance in fleet.roster}
    assert seen == {
        *(None, "created", "loading", "running", "frozen"),
        *("stopped", "exited", "rebooting", "unknown", "offline"),
    }


def test_ids_ascend_with_time_and_have_eight_digits_and_gaps() -> None:
    fleet = Fleet(1, 500, DEFAULT_START)
    last = fleet.ids()[-1]
    starts = [instance.contract.start_date for instance in fleet.roster]
    assert starts == sorted(starts)
    assert all(10_000_000 <= number < 100_000_000 for number in fleet.ids())
    assert any(b - a > 1 for a, b in pairwise(fleet.ids()))
    assert fleet.rent().id > last
    assert fleet.ids() == sorted(fleet.ids())


def test_no_machine_is_rented_beyond_its_gpus() -> None:
    fleet = Fleet(5, 300, DEFAULT_START)
    for hours in (0, 24):
        fleet.advance(DEFAULT_START + hours * HOUR)
        rented: Counter[int] = Counter()
        sizes = {}
        for instance in fleet.roster:
            machine = instance.contract.machine
            rented[machine.machine_id] += instance.contract.num_gpus
            sizes[machine.machine_id] = machine.num_gpus
        assert all(rented[machine_id] <= sizes[machine_id] for machine_id in rented)


def test_credit_is_spent_at_the_rate_of_what_runs() -> None:
    fleet = Fleet(1, 60, DEFAULT_START, incidents=False)
    fleet.set_autobill(None, None)
    fleet.set_credit(500.0)
    spent = fleet.burn(reserved=False) + fleet.traffic_cost()
    fleet.advance(DEFAULT_START + 1)
    assert fleet.credit() == pytest.approx(500.0 - spent / 3600, abs=1e-6)


def test_what_the_account_spends_stays_in_step_with_the_instances_for_days() -> None:
    fleet = Fleet(2, 120, DEFAULT_START)
    for hours in range(0, 72, 5):
        fleet.advance(DEFAULT_START + hours * HOUR)
        spent = fleet.burn(reserved=False) + fleet.traffic_cost()
        assert fleet.billing.wallet.rate == pytest.approx(spent)


def test_reserved_instances_spend_their_own_credit_and_then_the_accounts() -> None:
    fleet = Fleet(1, 300, DEFAULT_START, incidents=False)
    instance = next(i for i in fleet.roster if i.reserve is not None and i.shown_status == "running")
    assert instance.reserve is not None
    assert fleet.burn() > fleet.burn(reserved=False)
    before = instance.reserve.at(fleet.now)
    fleet.advance(DEFAULT_START + 1)
    assert instance.reserve.at(fleet.now) == pytest.approx(before - instance.burn() / 3600)
    instance.reserve.set(fleet.now, 0.0)
    discounted = instance.burn()
    fleet.advance(DEFAULT_START + 60)
    assert instance.reserve is None
    assert instance.burn() > discounted
    spent = fleet.burn(reserved=False) + fleet.traffic_cost()
    assert fleet.billing.wallet.rate == pytest.approx(spent)


def test_automatic_billing_tops_the_credit_up() -> None:
    fleet = Fleet(1, 10, DEFAULT_START, incidents=False)
    fleet.set_autobill(100.0, 300.0)
    fleet.set_credit(99.0)
    fleet.advance(DEFAULT_START + 61)
    assert 390 < fleet.credit() < 400


def test_without_credit_everything_stops_and_the_disks_are_still_paid_for() -> None:
    fleet = Fleet(1, 30, DEFAULT_START, incidents=False)
    fleet.set_autobill(None, None)
    fleet.set_credit(0.0)
    fleet.advance(DEFAULT_START + 61)
    assert {i.intended for i in fleet.roster} == {"stopped"}
    assert not any(i.shown_status == "running" for i in fleet.roster)
    assert fleet.burn() == pytest.approx(sum(i.contract.storage_total_cost for i in fleet.roster))
    fleet.advance(DEFAULT_START + 24 * HOUR)
    assert not any(i.shown_status == "running" for i in fleet.roster)
    assert fleet.credit() < 0
    fleet.set_credit(1000.0)
    fleet.advance(DEFAULT_START + 36 * HOUR)
    assert any(i.shown_status == "running" for i in fleet.roster)


def test_a_contract_that_has_ended_stops_the_instance_and_deletes_it_later() -> None:
    for seed in range(20):
        fleet = Fleet(seed, 60, DEFAULT_START, incidents=False)
        instance = min(fleet.roster, key=lambda i: i.end_date)
        fleet.advance(instance.end_date - 1)
        if instance.id in fleet.ids():
            break
    fleet.advance(instance.end_date)
    assert (instance.status, instance.intended) == ("exited", "stopped")
    fleet.advance(instance.end_date + 4 * HOUR)
    assert instance.id not in fleet.ids()


def test_a_test_may_set_a_status_rent_and_destroy() -> None:
    fleet = Fleet(1, 5, DEFAULT_START, incidents=False)
    chosen = fleet.ids()[2]
    fleet.set_status(chosen, "hibernating", "running")
    fleet.advance(DEFAULT_START + 2 * HOUR)
    assert fleet.instance(chosen).shown_status == "hibernating"
    fleet.destroy(chosen)
    with pytest.raises(KeyError):
        fleet.instance(chosen)


def test_a_test_may_put_anything_into_a_row_and_take_it_out_again() -> None:
    fleet = Fleet(1, 3, DEFAULT_START)
    instance = fleet.instance(fleet.ids()[0])
    ordinary = row(instance, fleet.now)
    fleet.override(instance.id, gpu_util="97", label=None, brand_new=1)
    changed = row(instance, fleet.now)
    assert (changed["gpu_util"], changed["label"], changed["brand_new"]) == ("97", None, 1)
    assert row(instance, fleet.now, ("id", "gpu_util")) == {"id": instance.id, "gpu_util": "97"}
    fleet.restore(instance.id)
    assert row(instance, fleet.now) == ordinary
