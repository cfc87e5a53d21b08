from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.simulator import DEFAULT_START, Fleet, IncidentType
from exporter.simulator.fleet.instance_row import row

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(3, 60, DEFAULT_START, incidents=False)


def shown(fleet: Fleet, instance_id: int) -> dict[str, object]:
    return row(fleet.instance(instance_id), fleet.now)


def sound(fleet: Fleet) -> Instance:
    """One that runs on a machine about which nothing is odd."""
    running = [i for i in fleet.roster if (i.shown_status, i.intended) == ("running", "running")]
    return next(i for i in running if i.contract.machine.quirk is None and i.contract.machine.has_sensor)


def states(fleet: Fleet, instance_id: int) -> tuple[object, ...]:
    """Actual and intended status, current and next state."""
    fields = shown(fleet, instance_id)
    return tuple(fields[name] for name in ("actual_status", "intended_status", "cur_state", "next_state"))


def later(fleet: Fleet, seconds: float) -> None:
    fleet.advance(fleet.now + seconds)


def test_an_instance_stuck_in_loading_is_not_paid_for_and_gets_out_afterwards(fleet: Fleet) -> None:
    incident = fleet.inject(IncidentType.STUCK_LOADING, duration=1200)
    later(fleet, 1199)
    stuck = shown(fleet, incident.instance_id)
    assert stuck["actual_status"] == "loading"
    assert stuck["intended_status"] == "running"
    assert fleet.instance(incident.instance_id).burn() == stuck["storage_total_cost"]
    later(fleet, 30)
    assert shown(fleet, incident.instance_id)["actual_status"] == "running"


def test_a_lost_host_takes_all_its_instances_offline_free_of_charge_until_it_is_back(fleet: Fleet) -> None:
    incident = fleet.inject(IncidentType.HOST_OFFLINE, duration=600)
    of_host = [i for i in fleet.roster if i.contract.machine.host_id == incident.host_id]
    before = {i.id: i.status for i in of_host}
    assert {shown(fleet, i.id)["actual_status"] for i in of_host} == {"offline"}
    assert all(i.burn() == 0 for i in of_host)
    assert not any(i.lost for i in fleet.roster if i not in of_host)
    later(fleet, 599)
    assert {i.shown_status for i in of_host} == {"offline"}
    later(fleet, 1)
    assert {i.id: i.shown_status for i in of_host} == before


def test_a_host_lost_twice_is_back_when_both_incidents_are_over() -> None:
    fleet = Fleet(3, 200, DEFAULT_START, incidents=False)
    hosts = [i.contract.machine.host_id for i in fleet.roster]
    shared = next(host for host in hosts if hosts.count(host) > 1)
    first, second, *_ = (i for i in fleet.roster if i.contract.machine.host_id == shared)
    fleet.inject(IncidentType.HOST_OFFLINE, first.id, duration=300)
    fleet.inject(IncidentType.HOST_OFFLINE, second.id, duration=600)
    later(fleet, 300)
    assert first.shown_status == second.shown_status == "offline"
    later(fleet, 300)
    assert first.lost is None
    assert second.lost is None


def test_a_silent_instance_is_unknown_and_its_telemetry_stale(fleet: Fleet) -> None:
    incident = fleet.inject(IncidentType.NO_HEARTBEAT, duration=300)
    first = shown(fleet, incident.instance_id)
    later(fleet, 290)
    last = shown(fleet, incident.instance_id)
    assert last["actual_status"] == "unknown"
    assert last["uptime_mins"] is None
    assert [last[name] for name in ("gpu_util", "gpu_temp")] == [
        first[name] for name in ("gpu_util", "gpu_temp")
    ]
    later(fleet, 10)
    assert shown(fleet, incident.instance_id)["actual_status"] == "running"


def test_who_is_outbid_is_wanted_no_longer_at_once_and_runs_on_for_some_seconds(fleet: Fleet) -> None:
    outbid = fleet.inject(IncidentType.OUTBID, duration=600).instance_id
    assert states(fleet, outbid) == ("running", "stopped", "stopped", "stopped")
    later(fleet, 9)
    assert states(fleet, outbid)[0] == "running"
    later(fleet, 21)
    assert states(fleet, outbid) == ("exited", "stopped", "stopped", "stopped")
    assert str(shown(fleet, outbid)["status_msg"]).startswith("success, running")
    assert fleet.instance(outbid).burn() == shown(fleet, outbid)["storage_total_cost"]


def test_who_was_outbid_is_wanted_again_and_then_runs_when_the_competitor_has_left(fleet: Fleet) -> None:
    outbid = fleet.inject(IncidentType.OUTBID, duration=600).instance_id
    later(fleet, 617)
    assert states(fleet, outbid)[1] == "stopped"
    later(fleet, 6)
    assert states(fleet, outbid) == ("exited", "running", "stopped", "running")
    later(fleet, 60)
    assert states(fleet, outbid) == ("running", "running", "running", "running")


def test_a_competitor_who_leaves_at_once_stops_nothing(fleet: Fleet) -> None:
    outbid = fleet.inject(IncidentType.OUTBID, duration=5).instance_id
    later(fleet, 60)
    assert states(fleet, outbid) == ("running", "running", "running", "running")


def test_an_outbid_instance_that_was_destroyed_or_started_meanwhile_is_left_alone(fleet: Fleet) -> None:
    gone = fleet.inject(IncidentType.OUTBID, duration=600).instance_id
    fleet.destroy(gone)
    started = fleet.inject(IncidentType.OUTBID, duration=600).instance_id
    later(fleet, 60)
    fleet.set_status(started, "loading")
    later(fleet, 700)
    assert states(fleet, started) == ("loading", "running", "running", "running")


def test_the_least_bid_is_the_floor_or_a_fifth_above_ones_own(fleet: Fleet) -> None:
    bids = [i for i in fleet.roster if i.contract.is_bid]
    for instance in bids:
        own, floor = instance.contract.dph_base, instance.contract.machine.floor * instance.contract.num_gpus
        assert shown(fleet, instance.id)["min_bid"] == round(max(1.2 * own, floor), 4)
    outbid = fleet.instance(fleet.inject(IncidentType.OUTBID).instance_id)
    floor = outbid.contract.machine.floor * outbid.contract.num_gpus
    assert shown(fleet, outbid.id)["min_bid"] == round(floor, 4)
    assert floor < outbid.contract.dph_base


def test_a_bid_that_is_too_low_is_parked_before_it_ever_ran(fleet: Fleet) -> None:
    before = fleet.ids()
    parked = fleet.inject(IncidentType.UNDERBID, duration=600).instance_id
    assert fleet.ids() == [*before, parked]
    assert states(fleet, parked) == (None, "running", "running", "running")
    later(fleet, 47)
    assert states(fleet, parked)[0] in (None, "created")
    assert states(fleet, parked)[1:] == ("stopped", "stopped", "stopped")
    assert "bid" in str(shown(fleet, parked)["status_msg"])
    assert shown(fleet, parked)["inet_down_billed"] is None
    later(fleet, 550)
    assert states(fleet, parked)[1:] == ("stopped", "stopped", "stopped")


def test_only_a_new_instance_is_underbid(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="rented for it"):
        fleet.inject(IncidentType.UNDERBID, fleet.ids()[0])


def test_a_start_while_others_have_the_gpu_is_queued_until_it_is_free(fleet: Fleet) -> None:
    queued = fleet.inject(IncidentType.QUEUED, duration=1800).instance_id
    later(fleet, 1799)
    assert states(fleet, queued) == ("exited", "running", "stopped", "running")
    assert fleet.instance(queued).burn() == shown(fleet, queued)["storage_total_cost"]
    later(fleet, 31)
    assert states(fleet, queued) == ("running", "running", "running", "running")


def test_a_host_that_gives_up_while_booting_leaves_it_loading_and_wanted_no_longer(fleet: Fleet) -> None:
    failed = fleet.inject(IncidentType.BOOT_FAILURE, duration=1800).instance_id
    later(fleet, 1799)
    assert states(fleet, failed) == ("loading", "stopped", "stopped", "stopped")
    assert "OCI runtime create failed" in str(shown(fleet, failed)["status_msg"])
    later(fleet, 2)
    assert failed not in fleet.ids() or states(fleet, failed)[:2] == ("created", "running")


@pytest.mark.parametrize("incident_type", [IncidentType.BOOT_FAILURE, IncidentType.UNDERBID])
def test_what_never_got_to_run_is_destroyed_or_started_again(incident_type: IncidentType) -> None:
    fleet = Fleet(3, 60, DEFAULT_START, incidents=False)
    failed = [fleet.inject(incident_type, duration=100).instance_id for _ in range(12)]
    later(fleet, 101)
    assert 0 < len(set(failed) & set(fleet.ids())) < len(failed)


def test_a_container_that_crashes_is_wanted_all_the_time_and_comes_back_on_the_gpus_that_it_kept(
    fleet: Fleet,
) -> None:
    crashed = fleet.inject(IncidentType.CRASHED, duration=30).instance_id
    assert states(fleet, crashed) == ("exited", "running", "running", "running")
    later(fleet, 30)
    assert states(fleet, crashed) == ("running", "running", "running", "running")


def test_a_container_that_its_host_has_lost_looks_as_if_its_user_had_stopped_it(fleet: Fleet) -> None:
    lost = fleet.inject(IncidentType.ABANDONED, duration=600).instance_id
    assert states(fleet, lost) == ("exited", "stopped", "stopped", "stopped")
    later(fleet, 600)
    assert states(fleet, lost)[:2] == ("loading", "running")


def test_only_interruptible_instances_are_outbid(fleet: Fleet) -> None:
    on_demand = next(i.id for i in fleet.roster if not i.contract.is_bid)
    with pytest.raises(ValueError, match="not interruptible"):
        fleet.inject(IncidentType.OUTBID, on_demand)


def test_an_overheating_gpu_passes_85_degrees_and_cools_down_afterwards(fleet: Fleet) -> None:
    chosen = sound(fleet).id
    usual = float(str(shown(fleet, chosen)["gpu_temp"]))
    fleet.inject(IncidentType.OVERHEATING, chosen, duration=600)
    later(fleet, 300)
    assert float(str(shown(fleet, chosen)["gpu_temp"])) > 85 > usual
    fleet.clear(IncidentType.OVERHEATING)
    assert float(str(shown(fleet, chosen)["gpu_temp"])) < 85


def test_a_filling_disk_is_full_after_half_its_time_and_emptied_at_its_end(fleet: Fleet) -> None:
    instance = sound(fleet)
    fleet.inject(IncidentType.DISK_FILLING, instance.id, duration=1000)
    seen = []
    for _ in range(10):
        later(fleet, 60)
        util = float(str(shown(fleet, instance.id)["disk_util"]))
        if util >= 0:
            seen.append(util)
    assert seen == sorted(seen)
    assert 0.98 < seen[-1] < 1
    later(fleet, 500)
    assert float(str(shown(fleet, instance.id)["disk_util"])) < 0.95


def test_an_idle_instance_runs_and_costs_but_does_nothing(fleet: Fleet) -> None:
    incident = fleet.inject(IncidentType.IDLE, sound(fleet).id)
    idle = shown(fleet, incident.instance_id)
    assert idle["actual_status"] == "running"
    assert idle["gpu_util"] in (0.0, -1.0)
    assert fleet.instance(incident.instance_id).burn() > 0


def test_an_ending_contract_ends_when_it_says_unless_it_is_extended(fleet: Fleet) -> None:
    ending = fleet.inject(IncidentType.CONTRACT_ENDING, duration=900)
    extended = fleet.inject(IncidentType.CONTRACT_ENDING, duration=900)
    assert shown(fleet, ending.instance_id)["duration"] == 900
    fleet.clear(IncidentType.CONTRACT_ENDING, extended.instance_id)
    end = shown(fleet, extended.instance_id)["end_date"]
    later(fleet, 900)
    assert shown(fleet, ending.instance_id)["actual_status"] == "exited"
    assert float(str(end)) > fleet.now
    assert fleet.incidents == ()


def test_clearing_ends_every_incident(fleet: Fleet) -> None:
    for incident_type in IncidentType:
        fleet.inject(incident_type)
    assert len(fleet.incidents) == len(IncidentType)
    fleet.clear()
    assert fleet.incidents == ()
    assert not any(i.lost for i in fleet.roster)


def test_an_incident_brings_a_stopped_instance_up_first(fleet: Fleet) -> None:
    stopped = next(i for i in fleet.roster if i.status == "exited")
    fleet.inject(IncidentType.IDLE, stopped.id)
    assert stopped.shown_status == "running"


def test_there_is_no_incident_without_an_instance(fleet: Fleet) -> None:
    with pytest.raises(LookupError):
        fleet.inject(IncidentType.IDLE, 1)
    with pytest.raises(LookupError):
        Fleet(1, 0, DEFAULT_START).inject(IncidentType.IDLE)


def test_an_incident_outlives_its_instance_without_harm(fleet: Fleet) -> None:
    incident = fleet.inject(IncidentType.HOST_OFFLINE, duration=100)
    fleet.destroy(incident.instance_id)
    later(fleet, 101)
    assert not any(i.lost for i in fleet.roster)


def test_by_itself_something_goes_wrong_several_times_an_hour() -> None:
    fleet = Fleet(1, 60, DEFAULT_START)
    seen = set()
    for minute in range(240):
        fleet.advance(DEFAULT_START + minute * 60)
        seen |= {(incident.type, incident.instance_id) for incident in fleet.incidents}
    assert len(seen) > 20
    assert {incident_type for incident_type, _ in seen} == set(IncidentType)
