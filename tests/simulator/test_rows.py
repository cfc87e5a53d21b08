from __future__ import annotations

import json

import pytest

from exporter.simulator import DEFAULT_START, Fleet
from exporter.simulator.fleet.instance_row import COLUMNS, STORED, row

# fmt: off
DOCUMENTED = [
    "id", "actual_status", "cur_state", "next_state", "intended_status", "label", "template_id",
    "template_hash_id", "template_name", "image_uuid", "image_args", "image_runtype", "extra_env",
    "onstart", "jupyter_token", "status_msg", "public_ipaddr", "local_ipaddrs", "ssh_host", "ssh_idx",
    "ssh_port", "machine_dir_ssh_port", "machine_id", "start_date", "end_date", "uptime_mins", "duration",
    "cpu_arch", "cpu_cores", "cpu_cores_effective", "cpu_name", "cpu_ram", "cpu_util", "mem_limit",
    "mem_usage", "vmem_usage", "gpu_name", "gpu_arch", "gpu_totalram", "gpu_ram", "gpu_util", "gpu_temp",
    "gpu_frac", "gpu_lanes", "gpu_mem_bw", "bw_nvlink", "disk_name", "disk_space", "disk_bw", "disk_util",
    "disk_usage", "direct_port_count", "direct_port_start", "direct_port_end", "ports", "static_ip",
    "geolocation", "verification", "rentable", "host_id", "min_bid", "is_bid", "dph_base", "dph_total",
    "dlperf", "dlperf_per_dphtotal", "flops_per_dphtotal", "total_flops", "score", "reliability2",
    "os_version", "mobo_name", "pci_gen", "pcie_bw", "num_gpus", "webpage", "search", "instance",
    "storage_cost", "storage_total_cost", "vram_costperhour", "credit_balance", "credit_discount",
    "credit_discount_max", "client_run_time", "host_run_time", "external", "time_remaining",
    "time_remaining_isbid", "country_code", "volume_info",
]
# fmt: on

Row = dict[str, object]


def number(fields: Row, name: str) -> float:
    value = fields[name]
    assert isinstance(value, int | float)
    return value


def prices(fields: Row, name: str) -> dict[str, float]:
    value = fields[name]
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    fleet = Fleet(1, 400, DEFAULT_START)
    fleet.advance(DEFAULT_START + 3600)
    return fleet


@pytest.fixture(scope="module")
def rows(fleet: Fleet) -> list[Row]:
    return [row(instance, fleet.now) for instance in fleet.roster]


@pytest.fixture(scope="module")
def running(rows: list[Row]) -> list[Row]:
    return [fields for fields in rows if fields["actual_status"] == "running"]


@pytest.fixture(scope="module")
def sound(fleet: Fleet, running: list[Row]) -> list[Row]:
    """Those that run on machines about which nothing is odd."""
    odd = {i.id for i in fleet.roster if i.contract.machine.quirk is not None}
    return [fields for fields in running if fields["id"] not in odd]


def test_a_row_has_the_91_documented_fields_and_eight_more(rows: list[Row]) -> None:
    assert len(DOCUMENTED) == 91
    links = ("inet_up", "inet_down")
    traffic = ("inet_up_billed", "inet_down_billed", "inet_up_cost", "inet_down_cost")
    assert list(rows[0]) == [*DOCUMENTED, *links, *traffic, "cuda_max_good", "driver_version"]


def test_all_that_is_stored_can_be_shown() -> None:
    assert set(STORED) <= set(COLUMNS)


def test_rows_are_json_without_nan(rows: list[Row]) -> None:
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_prices_agree_with_each_other(rows: list[Row]) -> None:
    for fields in rows:
        disk = number(fields, "storage_cost") * number(fields, "disk_space") / 720
        assert fields["storage_total_cost"] == pytest.approx(disk)
        assert fields["dph_total"] == pytest.approx(number(fields, "dph_base") + disk)
        search = prices(fields, "search")
        assert search["totalHour"] == fields["dph_total"]
        assert search["totalHour"] == pytest.approx(search["gpuCostPerHour"] + search["diskHour"])
        now = prices(fields, "instance")
        assert now["totalHour"] == pytest.approx(now["gpuCostPerHour"] + now["diskHour"])


def test_what_an_instance_costs_now_follows_its_state(rows: list[Row]) -> None:
    for fields in rows:
        now = prices(fields, "instance")
        if fields["actual_status"] == "offline":
            assert now["totalHour"] == 0
        elif fields["actual_status"] in ("running", "frozen", "rebooting", "unknown"):
            assert now["totalHour"] == pytest.approx(number(fields, "dph_total"))
        else:
            assert now["totalHour"] == fields["storage_total_cost"]


def test_reserved_instances_have_a_balance_a_discount_and_a_runway(rows: list[Row]) -> None:
    reserved = [fields for fields in rows if fields["credit_balance"] is not None]
    assert 0 < len(reserved) < len(rows) / 5
    for fields in reserved:
        assert 0 < number(fields, "credit_discount") <= number(fields, "credit_discount_max")
        if fields["actual_status"] == "running":
            discounted = number(fields, "dph_total") * (1 - number(fields, "credit_discount"))
            assert prices(fields, "instance")["discountedTotalPerHour"] == pytest.approx(discounted)
            assert fields["time_remaining"]
    others = [fields for fields in rows if fields["credit_balance"] is None]
    assert {fields["time_remaining"] for fields in others} == {""}
    assert {fields["credit_discount"] for fields in others} == {None}


def test_duration_is_what_is_left_of_the_contract(fleet: Fleet, rows: list[Row]) -> None:
    for fields in rows:
        assert fields["duration"] == pytest.approx(number(fields, "end_date") - fleet.now)
        assert number(fields, "start_date") <= fleet.now


def test_readings_are_in_the_units_of_the_api(sound: list[Row]) -> None:
    for fields in sound:
        assert -1 <= number(fields, "gpu_util") <= 100
        assert 0 < number(fields, "cpu_util") <= 100
        assert number(fields, "disk_util") == -1 or 0 <= number(fields, "disk_util") <= 1
        assert 0 < number(fields, "vmem_usage") * 1024 < number(fields, "gpu_totalram")
        assert number(fields, "mem_usage") < number(fields, "mem_limit")
        share = number(fields, "cpu_ram") * number(fields, "gpu_frac") * 2**20
        assert number(fields, "mem_limit") * 1.024e9 == pytest.approx(share)
        assert fields["gpu_temp"] is None or 20 < number(fields, "gpu_temp") < 100
        assert number(fields, "gpu_totalram") == number(fields, "gpu_ram") * number(fields, "num_gpus")
        assert number(fields, "uptime_mins") >= 0
    assert max(number(fields, "gpu_util") for fields in sound) > 90
    assert max(number(fields, "cpu_util") for fields in sound) > 30


def test_disk_usage_is_the_used_part_of_the_space_or_unknown_with_it(running: list[Row]) -> None:
    for fields in running:
        if fields["disk_util"] == -1:
            assert fields["disk_usage"] == -1
        else:
            used = number(fields, "disk_space") * number(fields, "disk_util")
            assert fields["disk_usage"] == pytest.approx(used, abs=0.001)


def test_sentinels_and_nulls_occur_as_in_the_real_api(fleet: Fleet, rows: list[Row]) -> None:
    assert any(fields["gpu_temp"] is None for fields in rows)
    assert any(fields["dlperf"] is None for fields in rows)
    assert any(fields["label"] is None for fields in rows)
    assert any(fields["label"] == "" for fields in rows)
    assert any(fields["country_code"] is None for fields in rows)
    assert any(fields["direct_port_start"] == -1 for fields in rows)
    moments = [fleet.now + 300 * slot for slot in range(40)]
    names = ("gpu_util", "disk_util", "disk_usage")
    sound = [i for i in fleet.roster if i.contract.machine.quirk is None and i.shown_status == "running"]
    late = [row(instance, moment, names) for instance in sound[:200] for moment in moments]
    for name in names:
        assert 0 < sum(fields[name] == -1 for fields in late) < len(late) / 20


def test_what_does_not_run_repeats_its_last_readings_and_has_no_uptime(fleet: Fleet) -> None:
    names = (
        "gpu_util",
        "gpu_temp",
        "cpu_util",
        "mem_usage",
        "vmem_usage",
        "disk_util",
        "uptime_mins",
        "ports",
    )
    instance = next(i for i in fleet.roster if i.status == "exited" and i.ever_ran)
    now = row(instance, fleet.now, names)
    assert row(instance, fleet.now + 5000, names) == now
    assert now["gpu_util"] is not None
    assert (now["uptime_mins"], now["ports"]) == (None, None)


def test_what_never_ran_has_no_readings(fleet: Fleet) -> None:
    instance = fleet.rent()
    fields = row(instance, fleet.now)
    fleet.destroy(instance.id)
    assert fields["actual_status"] is None
    for name in ("gpu_util", "gpu_temp", "mem_usage", "mem_limit", "vmem_usage", "disk_util", "disk_usage"):
        assert fields[name] is None


def test_running_instances_live(fleet: Fleet, running: list[Row]) -> None:
    ids = [fields["id"] for fields in running]
    later = [row(i, fleet.now + 120, ("id", "gpu_util")) for i in fleet.roster if i.id in ids]
    moved = sum(a["gpu_util"] != b["gpu_util"] for a, b in zip(running, later, strict=True))
    assert moved > len(running) / 2


def test_rows_carry_what_must_not_be_asked_for(running: list[Row]) -> None:
    tokens = {fields["jupyter_token"] for fields in running}
    assert len(tokens) == len(running)
    for fields in running:
        assert fields["extra_env"]
        assert fields["onstart"]
        assert isinstance(fields["ssh_idx"], str)
        assert str(fields["local_ipaddrs"]).endswith("\n")
        assert "22/tcp" in prices(fields, "ports")


def test_only_the_named_columns_are_given_and_unknown_ones_are_null(fleet: Fleet) -> None:
    instance = next(iter(fleet.roster))
    names = ("id", "gpu_name", "no_such_column")
    fields = row(instance, fleet.now, names)
    assert fields == {
        "id": instance.id,
        "gpu_name": instance.contract.machine.gpu.name,
        "no_such_column": None,
    }
