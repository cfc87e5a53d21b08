from __future__ import annotations

import pytest

from exporter.simulator import DEFAULT_START, Fleet, IncidentType
from exporter.simulator.fleet.instance_row import row


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(3, 60, DEFAULT_START, incidents=False)


def shown(fleet: Fleet, instance_id: int) -> dict[str, object]:
    return row(fleet.instance(instance_id), fleet.now)


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


def test_an_outbid_instance_is_stopped_while_the_least_bid_is_above_its_own(fleet: Fleet) -> None:
    incident = fleet.inject(IncidentType.OUTBID, duration=600)
    outbid = shown(fleet, incident.instance_id)
    assert (outbid["actual_status"], outbid["intended_status"]) == ("stopped", "running")
    assert (outbid["cur_state"], outbid["next_state"], outbid["is_bid"]) == ("stopped", "stopped", True)
    assert fleet.instance(incident.instance_id).contract.dph_base < float(str(outbid["min_bid"]))
    later(fleet, 601)
    back = shown(fleet, incident.instance_id)
    assert back["actual_status"] == "loading"
    assert float(str(back["min_bid"])) <= fleet.instance(incident.instance_id).contract.dph_base


def test_only_interruptible_instances_are_outbid(fleet: Fleet) -> None:
    on_demand = next(i.id for i in fleet.roster if not i.contract.is_bid)
    with pytest.raises(ValueError, match="not interruptible"):
        fleet.inject(IncidentType.OUTBID, on_demand)


def test_an_overheating_gpu_passes_85_degrees_and_cools_down_afterwards(fleet: Fleet) -> None:
    chosen = next(i.id for i in fleet.roster if i.contract.machine.has_sensor and i.status == "running")
    usual = float(str(shown(fleet, chosen)["gpu_temp"]))
    fleet.inject(IncidentType.OVERHEATING, chosen, duration=600)
    later(fleet, 300)
    assert float(str(shown(fleet, chosen)["gpu_temp"])) > 85 > usual
    fleet.clear(IncidentType.OVERHEATING)
    assert float(str(shown(fleet, chosen)["gpu_temp"])) < 85


def test_a_filling_disk_is_full_after_half_its_time_and_emptied_at_its_end(fleet: Fleet) -> None:
    incident = fleet.inject(IncidentType.DISK_FILLING, duration=1000)
    instance = fleet.instance(incident.instance_id)
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
    incident = fleet.inject(IncidentType.IDLE)
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
