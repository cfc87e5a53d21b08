"""Every metric of an instance: what the API's fields say, and the sample that comes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from exporter.collectors.instances import COLUMNS, ROWS

if TYPE_CHECKING:
    from tests.support.pipeline import Account, Exporter

#: A metric behind vastai_instance_, fields of a running instance, and the sample; None is none.
CASES: list[tuple[str, dict[str, Any], float | None]] = [
    ("info", {}, 1),
    ("status", {}, 1),
    ("status", {"actual_status": None}, 1),
    ("status", {"actual_status": True}, None),
    ("status_since_timestamp_seconds", {}, 1_768_478_400),
    ("status_since_timestamp_seconds", {"actual_status": None}, 1_768_478_400),
    ("status_since_timestamp_seconds", {"actual_status": []}, None),
    ("num_gpus", {"num_gpus": 8}, 8),
    ("num_gpus", {"num_gpus": "8"}, 8),
    ("num_gpus", {"num_gpus": 0}, 0),
    ("gpu_frac_ratio", {"gpu_frac": 0.125}, 0.125),
    ("gpu_util_ratio", {"gpu_util": 97}, 0.97),
    ("gpu_util_ratio", {"gpu_util": 29.0}, 0.29),
    ("gpu_util_ratio", {"gpu_util": 0}, 0),
    ("gpu_util_ratio", {"gpu_util": "0.0"}, 0),
    ("gpu_util_ratio", {"gpu_util": -1}, None),
    ("gpu_util_ratio", {"gpu_util": "-1.0"}, None),
    ("gpu_util_ratio", {"gpu_util": 97, "gpu_temp": 0}, None),
    ("gpu_util_ratio", {"gpu_util": 100.5}, None),
    ("gpu_temp_celsius", {"gpu_temp": 71, "gpu_util": 0}, 71),
    ("gpu_temp_celsius", {"gpu_temp": 0, "gpu_util": 0}, None),
    ("gpu_temp_celsius", {"gpu_temp": -1, "gpu_util": 50}, None),
    ("gpu_temp_celsius", {"gpu_temp": 255, "gpu_util": 50}, None),
    ("gpu_temp_celsius", {"gpu_temp": 71, "gpu_util": None}, None),
    ("telemetry_missing", {"gpu_temp": 44.5, "gpu_util": 49.5}, 0),
    ("telemetry_missing", {"gpu_util": 49.5}, 0),
    ("telemetry_missing", {"gpu_temp": 255, "gpu_util": 0}, 0),
    ("telemetry_missing", {"gpu_temp": 0, "gpu_util": 0}, 1),
    ("telemetry_missing", {"gpu_temp": 44.5, "gpu_util": None}, 1),
    ("telemetry_missing", {"gpu_temp": 44.5, "gpu_util": -1}, 1),
    ("telemetry_missing", {"actual_status": "exited", "gpu_temp": 0, "gpu_util": 0}, None),
    ("state", {"cur_state": "stopped", "next_state": "running"}, 1),
    ("state", {"cur_state": None, "next_state": " "}, None),
    ("vmem_usage_bytes", {"vmem_usage": 557 / 1024, "gpu_util": 1}, 557 * 2**20),
    ("vmem_usage_bytes", {"vmem_usage": 557 / 1024, "gpu_util": 0, "gpu_temp": 0}, None),
    ("gpu_ram_bytes", {"gpu_ram": 24564}, 25_757_220_864),
    ("gpu_totalram_bytes", {"gpu_totalram": 16222}, 17_009_999_872),
    ("cpu_util_ratio", {"cpu_util": 19.98, "gpu_util": 5}, 0.1998),
    ("cpu_util_ratio", {"cpu_util": 0.0, "gpu_util": 5}, 0),
    ("cpu_util_ratio", {"cpu_util": 0.0, "gpu_util": None}, None),
    ("cpu_util_ratio", {"cpu_util": 1.24, "gpu_util": 0, "gpu_temp": 0}, 0.0124),
    ("cpu_util_ratio", {"cpu_util": -1, "gpu_util": 5}, None),
    ("cpu_cores", {"cpu_cores": 64}, 64),
    ("cpu_cores_effective", {"cpu_cores_effective": 10.7}, 10.7),
    ("cpu_ram_bytes", {"cpu_ram": 257776}, 270_297_726_976),
    ("mem_usage_bytes", {"mem_usage": 0.00996352}, 10_202_644.48),
    ("mem_limit_bytes", {"mem_limit": 15.71815424}, 16_095_389_941.76),
    ("disk_space_bytes", {"disk_space": 10.08}, 10_080_000_000),
    ("disk_space_bytes", {"disk_space": -1}, None),
    ("disk_usage_bytes", {"disk_usage": 0.054}, 54_000_000),
    ("disk_usage_bytes", {"disk_usage": 0}, 0),
    ("disk_usage_bytes", {"disk_usage": -1.0}, None),
    ("disk_util_ratio", {"disk_util": 0.97}, 0.97),
    ("disk_util_ratio", {"disk_util": -1}, None),
    ("inet_up_bytes_per_second", {"inet_up": 800}, 100_000_000),
    ("inet_down_bytes_per_second", {"inet_down": 812.5}, 101_562_500),
    ("inet_up_billed_bytes_total", {"inet_up_billed": 16_358_262.6}, 16_358_262_600),
    ("inet_up_billed_bytes_total", {"inet_up_billed": -1}, None),
    ("inet_down_billed_bytes_total", {"inet_down_billed": 1_782_579}, 1_782_579_000),
    ("inet_up_cost_dollars_per_byte", {"inet_up_cost": 0.02}, 2e-11),
    ("inet_down_cost_dollars_per_byte", {"inet_down_cost": 0}, 0),
    ("dph_total_dollars_per_hour", {"dph_total": 0.5438}, 0.5438),
    ("dph_base_dollars_per_hour", {"dph_base": "0.40"}, 0.4),
    ("storage_total_cost_dollars_per_hour", {"storage_total_cost": 0.0021}, 0.0021),
    ("min_bid_dollars_per_hour", {"min_bid": 0.31}, 0.31),
    ("burn_dollars_per_hour", {"dph_total": 0.5, "instance": {"discountedTotalPerHour": 0.4}}, 0.4),
    ("burn_dollars_per_hour", {"dph_total": 0.5}, 0.5),
    ("credit_balance_dollars", {"credit_balance": 4792.99}, 4792.99),
    ("credit_balance_dollars", {"credit_balance": 0}, 0),
    ("credit_discount_ratio", {"credit_discount": 0.0742}, 0.0742),
    ("credit_discount_max_ratio", {"credit_discount_max": 0.4}, 0.4),
    ("start_timestamp_seconds", {"start_date": 1761008995.5}, 1761008995.5),
    ("start_timestamp_seconds", {"start_date": 1761008995500}, None),
    ("end_timestamp_seconds", {"end_date": 2034617753}, 2034617753),
    ("end_timestamp_seconds", {"end_date": 0}, None),
    ("end_timestamp_seconds", {"end_date": -1}, None),
    ("uptime_seconds", {"uptime_mins": 90.5}, 5430),
    ("uptime_seconds", {"uptime_mins": -1}, None),
    ("reliability_ratio", {"reliability2": 0.9987}, 0.9987),
    ("dlperf", {"dlperf": 58.125}, 58.125),
    ("total_flops", {"total_flops": 82.5}, 82_500_000_000_000),
    ("gpu_mem_bw_bytes_per_second", {"gpu_mem_bw": 1008}, 1_008_000_000_000),
    ("pcie_bw_bytes_per_second", {"pcie_bw": 25.5}, 25_500_000_000),
    ("bw_nvlink_bytes_per_second", {"bw_nvlink": 0}, 0),
    ("disk_bw_bytes_per_second", {"disk_bw": 3500.5}, 3_500_500_000),
    ("gpu_lanes", {"gpu_lanes": 16}, 16),
    ("pci_gen", {"pci_gen": 4.0}, 4),
    ("is_bid", {"is_bid": True}, 1),
    ("is_bid", {"is_bid": False}, 0),
    ("rentable", {"rentable": 1}, 1),
    ("static_ip", {"static_ip": "0"}, 0),
    ("external", {"external": True}, 1),
    ("external", {"external": 2}, None),
]
#: A running instance of which the API says everything: each metric's first case.
WHOLE: dict[str, Any] = {}
for _, fields_, expected_ in reversed(CASES):
    WHOLE |= fields_ if expected_ is not None else {}
WHOLE |= {"actual_status": "running", "gpu_temp": 71}
#: Each field of each metric, but for those whose null says something.
SIMPLE = [
    (row.name, field.name)
    for row in ROWS
    for field in row.fields
    if field.name not in {"actual_status", "gpu_temp"} and row.name != "vastai_instance_telemetry_missing"
]
TELEMETRY = [
    "vastai_instance_telemetry_missing",
    "vastai_instance_gpu_util_ratio",
    "vastai_instance_gpu_temp_celsius",
    "vastai_instance_vmem_usage_bytes",
    "vastai_instance_cpu_util_ratio",
    "vastai_instance_mem_usage_bytes",
]
GPU_BILLED = ["running", "frozen", "rebooting", "unknown"]
STORAGE_BILLED = [None, "created", "loading", "stopped", "exited", "Running", "shelved", "unreadable", "7", 7]


@pytest.mark.parametrize(("metric", "fields", "expected"), CASES)
def test_a_metric_is_what_the_field_says_in_the_base_unit(
    account: Account, metric: str, fields: dict[str, Any], expected: float | None
) -> None:
    account.walk([{"id": 1, "actual_status": "running", **fields}])
    assert account.values(1).get(f"vastai_instance_{metric}") == (
        None if expected is None else pytest.approx(expected, rel=1e-12)
    )


def test_every_row_of_the_table_has_its_case() -> None:
    assert {row.name for row in ROWS} == {f"vastai_instance_{metric}" for metric, _, _ in CASES}


def test_of_a_whole_row_every_metric_is_shown_and_nothing_is_unreadable(account: Account) -> None:
    account.walk([{"id": 1, **WHOLE}])
    assert account.values(1).keys() == {row.name for row in ROWS}
    assert not account.unreadable


def test_of_a_row_that_says_nothing_only_that_it_is_there_is_shown(account: Account) -> None:
    account.walk([{"id": 1}, {"id": 2, **dict.fromkeys(COLUMNS[1:])}])
    there = {
        "vastai_instance_info": 1.0,
        "vastai_instance_status": 1.0,
        "vastai_instance_status_since_timestamp_seconds": 1_768_478_400.0,
    }
    assert account.values(1) == there
    assert account.values(2) == there
    assert not account.unreadable


@pytest.mark.parametrize(("metric", "field"), SIMPLE)
def test_null_in_a_field_is_never_a_zero(account: Account, metric: str, field: str) -> None:
    account.walk([{"id": 1, **WHOLE}, {"id": 2, **WHOLE, field: None}])
    unchanged = {f"vastai_instance_{name}" for name in ("info", "status", "state", "burn_dollars_per_hour")}
    needs_gpu_util = {"vastai_instance_cpu_util_ratio"} if field == "gpu_util" else set()
    assert metric in account.values(1)
    assert (metric in account.values(2)) == (metric in unchanged | needs_gpu_util)
    assert 0 not in {account.values(2).get(name) for name in unchanged}


@pytest.mark.parametrize("metric", TELEMETRY)
@pytest.mark.parametrize("status", [None, "", "loading", "exited", "offline", "unknown", "RUNNING", False])
def test_live_telemetry_is_shown_only_while_running(
    account: Account, whole_row: dict[str, Any], metric: str, status: object
) -> None:
    account.walk([{"id": 1, **whole_row}, {"id": 2, **whole_row, "actual_status": status}])
    assert metric in account.values(1)
    assert metric not in account.values(2)


def test_what_is_no_telemetry_is_shown_in_every_state(account: Account, whole_row: dict[str, Any]) -> None:
    account.walk([{"id": 1, **whole_row}, {"id": 2, **whole_row, "actual_status": "exited"}])
    assert account.values(1).keys() - account.values(2).keys() == set(TELEMETRY)


@pytest.mark.parametrize("status", GPU_BILLED)
@pytest.mark.parametrize(
    ("discounted", "expected"),
    [
        ({"discountedTotalPerHour": 0.4}, 0.4),
        ({"discountedTotalPerHour": "0.4"}, 0.4),
        ({"discountedTotalPerHour": 0}, 0.5),
        ({"discountedTotalPerHour": -1}, 0.5),
        ({"discountedTotalPerHour": None}, 0.5),
        ({"discountedTotalPerHour": "much"}, 0.5),
        ({}, 0.5),
        (None, 0.5),
        ([], 0.5),
    ],
)
def test_while_the_gpu_is_paid_for_burn_is_the_discounted_price_or_else_the_price(
    account: Account, status: str, discounted: object, expected: float
) -> None:
    prices = {"dph_total": 0.5, "storage_total_cost": 0.01, "instance": discounted}
    account.walk([{"id": 1, "actual_status": status, **prices}])
    assert account.values(1)["vastai_instance_burn_dollars_per_hour"] == expected


@pytest.mark.parametrize("status", STORAGE_BILLED)
def test_in_any_other_state_burn_is_the_price_of_the_disk(account: Account, status: object) -> None:
    prices = {"dph_total": 0.5, "storage_total_cost": 0.01, "instance": {"discountedTotalPerHour": 0.4}}
    account.walk([{"id": 1, "actual_status": status, **prices}])
    assert account.values(1)["vastai_instance_burn_dollars_per_hour"] == 0.01


def test_nothing_is_burnt_while_the_host_is_offline(account: Account) -> None:
    account.walk([{"id": 1, "actual_status": "offline", "dph_total": 0.5, "storage_total_cost": 0.01}])
    assert account.values(1)["vastai_instance_burn_dollars_per_hour"] == 0


@pytest.mark.parametrize("status", ["running", "stopped", None, 3.5, {}])
def test_burn_is_absent_where_its_price_or_the_status_is_not_known(account: Account, status: object) -> None:
    account.walk([{"id": 1, "actual_status": status}])
    assert "vastai_instance_burn_dollars_per_hour" not in account.values(1)


@pytest.mark.parametrize(
    ("fields", "rental"),
    [
        ({}, "on_demand"),
        ({"is_bid": False, "credit_balance": 0}, "on_demand"),
        ({"credit_balance": -1}, "on_demand"),
        ({"credit_balance": "lots"}, "on_demand"),
        ({"is_bid": "perhaps"}, "on_demand"),
        ({"credit_balance": 0.01}, "reserved"),
        ({"is_bid": False, "credit_balance": "4.5"}, "reserved"),
        ({"is_bid": True}, "interruptible"),
        ({"is_bid": True, "credit_balance": 4.5}, "interruptible"),
    ],
)
def test_how_an_instance_is_rented_is_told_by_its_bid_and_its_prepaid_credit(
    account: Account, fields: dict[str, Any], rental: str
) -> None:
    account.walk([{"id": 1, **fields}])
    assert account.labels(1, "vastai_instance_info")["rental"] == rental


def test_what_describes_an_instance_stands_on_its_info(account: Account, whole_row: dict[str, Any]) -> None:
    account.walk([{"id": 1, **whole_row, "machine_id": 12345.0, "host_id": "678"}])
    assert account.labels(1, "vastai_instance_info") == {
        "label": "llama-70b",
        "gpu_name": "RTX 4090",
        "image": "vllm/vllm-openai:v0.6.3",
        "template": "vLLM",
        "machine_id": "12345",
        "host_id": "678",
        "geolocation": "Norway, NO",
        "verification": "verified",
        "rental": "reserved",
    }


def test_a_label_that_is_not_text_is_empty_or_its_digits_and_counted_where_it_is_neither(
    account: Account,
) -> None:
    sent: list[object] = [None, "", 0, 12, 1.5, True, [], {"a": "b"}]
    account.walk([{"id": number, "label": label} for number, label in enumerate(sent, start=1)])
    found = [account.labels(number, "vastai_instance_info")["label"] for number in range(1, 9)]
    assert found == ["", "", "0", "12", "1.5", "", "", ""]
    assert account.unreadable == {"label": 3}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("running", "running"),
        (" running\n", "running"),
        (None, "provisioning"),
        ("", "provisioning"),
        (" ", "provisioning"),
        ("hibernating", "hibernating"),
        (7, "7"),
    ],
)
def test_a_status_is_passed_on_whatever_it_is_and_none_is_provisioning(
    account: Account, sent: object, shown: str
) -> None:
    account.walk([{"id": 1, "actual_status": sent, "intended_status": "running"}])
    assert account.labels(1, "vastai_instance_status") == {"status": shown, "intended_status": "running"}
    assert not account.unreadable


@pytest.mark.parametrize("sent", [None, "", " ", []])
def test_an_intention_that_is_not_known_is_empty(account: Account, sent: object) -> None:
    account.walk([{"id": 1, "actual_status": "running", "intended_status": sent}])
    assert account.labels(1, "vastai_instance_status")["intended_status"] == ""


def test_an_unreadable_status_costs_what_depends_on_it_and_nothing_else(
    exporter: Exporter, account: Account, whole_row: dict[str, Any]
) -> None:
    account.walk([{"id": 1, **whole_row}, {"id": 2, **whole_row, "actual_status": ["running"]}])
    assert account.values(1).keys() - account.values(2).keys() == {
        "vastai_instance_status",
        "vastai_instance_status_since_timestamp_seconds",
        "vastai_instance_burn_dollars_per_hour",
        *TELEMETRY,
    }
    assert account.unreadable == {"actual_status": 1}
    labels = frozenset({("account", "research"), ("status", "unreadable")})
    assert exporter.samples()["vastai_instances", labels] == 1


SINCE = "vastai_instance_status_since_timestamp_seconds"


def test_the_time_of_a_status_is_kept_while_it_lasts_and_new_when_it_changes(
    exporter: Exporter, account: Account
) -> None:
    start = exporter.wall_clock()
    seen = []
    for status in ["loading", "loading", "running", " running ", "loading"]:
        account.walk([{"id": 1, "actual_status": status}])
        seen.append(account.values(1)[SINCE] - start)
        exporter.wall_clock.advance(60)
    assert seen == [0, 0, 120, 120, 240]


def test_the_time_of_a_status_is_kept_when_its_instance_comes_to_stand_on_another_page(
    exporter: Exporter, account: Account
) -> None:
    start = exporter.wall_clock()
    rows = [{"id": number, "actual_status": "running"} for number in range(1, 7)]
    for pages in ([rows[:3], rows[3:]], [rows[:1], rows[1:5], rows[5:]], [rows[3:5], rows[5:]], [rows[4:]]):
        account.walk(*pages)
        exporter.wall_clock.advance(60)
    assert [account.values(number)[SINCE] - start for number in (5, 6)] == [0, 0]


def test_the_time_of_a_status_begins_anew_for_an_instance_that_was_gone(
    exporter: Exporter, account: Account
) -> None:
    start = exporter.wall_clock()
    for rows in ([{"id": 1}, {"id": 2}], [{"id": 2}], [{"id": 1}, {"id": 2}]):
        account.walk(rows)
        exporter.wall_clock.advance(60)
    assert (account.values(1)[SINCE] - start, account.values(2)[SINCE] - start) == (120, 0)


def test_the_time_of_a_status_is_kept_through_a_walk_that_fails(exporter: Exporter, account: Account) -> None:
    start = exporter.wall_clock()
    rows = [{"id": 1, "actual_status": "running"}, {"id": 2, "actual_status": "running"}]
    account.walk(rows)
    exporter.wall_clock.advance(60)
    account.broken_walk(rows[:1])
    assert [account.values(number)[SINCE] - start for number in (1, 2)] == [0, 0]


def test_a_status_that_is_called_unreadable_has_a_time_of_its_own(
    exporter: Exporter, account: Account
) -> None:
    account.walk([{"id": 1, "actual_status": []}])
    exporter.wall_clock.advance(60)
    account.walk([{"id": 1, "actual_status": "unreadable"}])
    assert account.values(1)[SINCE] == exporter.wall_clock()


def test_nothing_is_shown_before_the_first_whole_walk(exporter: Exporter, account: Account) -> None:
    walk = account.pages([{"id": 1}], [{"id": 2}])
    next(walk)
    assert b"instances" not in exporter.scrape()
    account.broken_walk([{"id": 1}], [{"id": 2}])
    assert b"instances" not in exporter.scrape()
    account.walk([{"id": 1}], [{"id": 2}])
    assert account.values(1)
    assert account.values(2)


def test_later_a_page_is_shown_as_soon_as_it_is_read(account: Account) -> None:
    account.walk([{"id": 1, "num_gpus": 1}], [{"id": 2, "num_gpus": 1}])
    walk = account.pages([{"id": 1, "num_gpus": 4}], [{"id": 2, "num_gpus": 4}])
    next(walk)
    assert [account.values(number)["vastai_instance_num_gpus"] for number in (1, 2)] == [4, 1]


def test_a_walk_that_fails_leaves_what_was_known(account: Account) -> None:
    account.walk([{"id": 1, "num_gpus": 1}], [{"id": 2, "num_gpus": 1}])
    account.broken_walk([{"id": 1, "num_gpus": 4}])
    assert [account.values(number)["vastai_instance_num_gpus"] for number in (1, 2)] == [4, 1]


def test_a_row_that_can_not_be_used_is_left_out_and_counted(account: Account) -> None:
    ids = [1, None, "x", True, 1, "2", 2.5, -1]
    account.walk([{}, *({"id": value} for value in ids)])
    assert account.unreadable == {"id": 7}
    assert account.values(1)
    assert account.values(2)


@pytest.mark.parametrize("total", [True, [], "many", float("nan")])
def test_a_total_that_can_not_be_read_is_counted_and_not_shown(
    exporter: Exporter, account: Account, total: object
) -> None:
    account.walk([{"id": 1}], total=total)
    assert account.unreadable == {"total_instances": 1}
    assert b"vastai_api_instances" not in exporter.scrape()


def test_the_total_is_the_one_that_the_api_named_last(exporter: Exporter, account: Account) -> None:
    first, second = account.pages([{"id": 1}], [{"id": 2}], total="7")
    assert (first.pages, first.objects, first.total) == (1, 1, 7)
    assert (second.pages, second.objects, second.total) == (2, 2, 7)
    assert b'vastai_api_instances{account="research"} 7\n' in exporter.scrape()


def test_a_walk_tells_of_the_total_as_far_as_it_is_known(account: Account) -> None:
    account.walk([{"id": 1}], total=7)
    (progress,) = account.walk([{"id": 1}], total=[])
    assert progress.total == 7


def test_the_same_columns_are_asked_for_on_every_page(exporter: Exporter, account: Account) -> None:
    account.walk([{"id": 1}], [{"id": 2}])
    asked = [parse_qs(urlsplit(path).query)["select_cols"][0] for path in exporter.api.asked]
    assert [json.loads(columns) for columns in asked] == 2 * [list(COLUMNS)]


def test_the_filters_of_the_account_are_asked_for_on_every_page(exporter: Exporter, account: Account) -> None:
    account.filters = {"label": {"in": ["caf\xe9", 'say "hi"']}, "num_gpus": {"gte": 2}}
    account.walk([{"id": 1}], [{"id": 2}])
    asked = [parse_qs(urlsplit(path).query)["select_filters"][0] for path in exporter.api.asked]
    assert [json.loads(filters) for filters in asked] == 2 * [account.filters]


def test_a_page_on_the_way_without_a_usable_row_leaves_the_others(account: Account) -> None:
    rows = [{"id": 1, "num_gpus": 1}, {"id": 2, "num_gpus": 1}]
    account.walk(rows)
    first, second, third = account.pages([{"id": None}], [{"id": 2, "num_gpus": 4}], [{}])
    assert [each.objects for each in (first, second, third)] == [0, 1, 1]
    assert account.values(1) == {}
    assert account.values(2)["vastai_instance_num_gpus"] == 4
    assert account.unreadable == {"id": 2}


def test_a_walk_tells_how_many_pages_there_will_be(account: Account) -> None:
    assert [each.total_pages for each in account.walk([{"id": 1}], total=25)] == [1]
    assert [each.total_pages for each in account.walk([{"id": 1}], total=26)] == [2]
    assert [each.total_pages for each in account.walk([{"id": 1}], total=0)] == [1]
