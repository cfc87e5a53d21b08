"""The exporter's own metrics: there from the start, counted once, right in both formats."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import exporter
from exporter.collectors import COLLECTORS, account, instances
from exporter.exposition.self_metrics import BUCKETS, Runs, Telemetry
from exporter.vast.client import Attempt
from exporter.vast.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = {"account": "research", "collector": "instances"}
REASONS = "auth rate_limited client_error server_error timeout network bad_reply incomplete internal"
ENDPOINTS = {"/api/v1/instances/", "/api/v0/users/current/"}


def samples(
    telemetry: Telemetry, name: str, form: str = "text", **labels: str
) -> dict[tuple[str, ...], float]:
    """Return the values of the series `name` with some labels, by the values of its other labels."""
    openmetrics = form == "openmetrics"
    parse = parse_openmetrics if openmetrics else parse_text
    text = telemetry.lines(openmetrics=openmetrics, process=False).decode() + "# EOF\n" * openmetrics
    return {
        tuple(value for label, value in sample.labels.items() if label not in labels): sample.value
        for family in parse(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def runs(telemetry: Telemetry) -> Runs:
    """How the instances of `research` are doing; their interval is a minute."""
    telemetry.add("research", account.COLLECTOR, 300.0)
    return telemetry.add("research", instances.COLLECTOR, 60.0)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vastai_collector_success", 0),
        ("vastai_collector_last_success_timestamp_seconds", 0),
        ("vastai_collector_interval_seconds", 60),
        ("vastai_collector_overruns_total", 0),
    ],
)
def test_a_collector_is_there_from_the_start(telemetry: Telemetry, name: str, value: float) -> None:
    assert samples(telemetry, name, **RUN) == {(): value}


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", ["duration_seconds", "pages", "objects"])
def test_what_tells_of_a_successful_run_is_absent_before_the_first(telemetry: Telemetry, name: str) -> None:
    assert samples(telemetry, f"vastai_collector_{name}") == {}


@pytest.mark.usefixtures("runs")
def test_every_reason_of_a_failure_is_there_from_the_start(telemetry: Telemetry) -> None:
    found = samples(telemetry, "vastai_collector_failures_total", **RUN)
    assert found == {(reason,): 0 for reason in REASONS.split()}
    assert set(get_args(Reason)) == set(REASONS.split())


@pytest.mark.usefixtures("runs")
def test_every_field_is_there_from_the_start(telemetry: Telemetry) -> None:
    found = samples(telemetry, "vastai_unreadable_values_total", account="research")
    assert found == {(field,): 0 for collector in COLLECTORS for field in collector.fields}
    asked = {*instances.COLUMNS, "total_instances", *account.READS}
    assert {field for (field,) in found} == asked


@pytest.mark.usefixtures("runs")
def test_every_endpoint_is_there_from_the_start(telemetry: Telemetry) -> None:
    found = samples(telemetry, "vastai_api_requests_total", account="research", code="200")
    assert found == {(endpoint,): 0 for endpoint in ENDPOINTS}
    found = samples(telemetry, "vastai_api_request_duration_seconds_count")
    assert found == {(endpoint,): 0 for endpoint in ENDPOINTS}


def test_a_successful_run_is_told_of_by_all_its_numbers(telemetry: Telemetry, runs: Runs) -> None:
    runs.succeeded(at=1_768_478_400.25, duration=2.5, pages=3, objects=60)
    for name, value in {
        "success": 1.0,
        "last_success_timestamp_seconds": 1_768_478_400.25,
        "duration_seconds": 2.5,
        "pages": 3,
        "objects": 60,
    }.items():
        assert samples(telemetry, f"vastai_collector_{name}", **RUN) == {(): value}


def test_an_empty_account_has_0_objects_and_not_none(telemetry: Telemetry, runs: Runs) -> None:
    runs.succeeded(at=1.0, duration=0.1, pages=1, objects=0)
    assert samples(telemetry, "vastai_collector_objects", **RUN) == {(): 0}


def test_a_failed_run_is_counted_by_reason_and_leaves_the_last_success(
    telemetry: Telemetry, runs: Runs
) -> None:
    runs.succeeded(at=7.0, duration=2.5, pages=3, objects=60)
    runs.failed("timeout", "no whole reply within 30 s")
    runs.failed("timeout", "no whole reply within 30 s")
    runs.failed("auth", "HTTP 404")
    found = samples(telemetry, "vastai_collector_failures_total", **RUN)
    assert {reason: count for (reason,), count in found.items() if count} == {"timeout": 2, "auth": 1}
    assert samples(telemetry, "vastai_collector_success", **RUN) == {(): 0}
    assert samples(telemetry, "vastai_collector_last_success_timestamp_seconds", **RUN) == {(): 7}
    for name, value in {"duration_seconds": 2.5, "pages": 3, "objects": 60}.items():
        assert samples(telemetry, f"vastai_collector_{name}", **RUN) == {(): value}


def test_failures_of_one_collector_are_none_of_another(telemetry: Telemetry, runs: Runs) -> None:
    runs.failed("auth", "HTTP 404")
    other = samples(telemetry, "vastai_collector_failures_total", account="research", collector="account")
    assert set(other.values()) == {0}


def test_failed_runs_in_a_row_are_known_until_one_succeeds(runs: Runs) -> None:
    runs.failed("server_error", "HTTP 500")
    runs.failed("auth", "HTTP 404")
    assert (runs.failing, runs.refused, runs.error, runs.ended) == (2, True, "HTTP 404", True)
    runs.failed("network", "no connection")
    assert (runs.failing, runs.refused) == (3, False)
    runs.succeeded(at=7.0, duration=2.5, pages=3, objects=60)
    assert (runs.failing, runs.refused, runs.error, runs.ended) == (0, False, "", True)


def test_runs_that_took_longer_than_their_interval_are_counted(telemetry: Telemetry, runs: Runs) -> None:
    for duration in (59.0, 60.0, 60.5, 440.0):
        runs.succeeded(at=1.0, duration=duration, pages=1, objects=1)
    assert samples(telemetry, "vastai_collector_overruns_total", **RUN) == {(): 2}


@pytest.mark.usefixtures("runs")
def test_every_request_is_counted_by_endpoint_and_code(telemetry: Telemetry) -> None:
    for code in ("200", "200", "429", "error"):
        telemetry.request("research", Attempt(instances.ENDPOINT, code, 0.3))
    telemetry.request("research", Attempt(account.ENDPOINT, "200", 0.3))
    assert samples(telemetry, "vastai_api_requests_total", account="research") == {
        ("/api/v1/instances/", "200"): 2,
        ("/api/v1/instances/", "429"): 1,
        ("/api/v1/instances/", "error"): 1,
        ("/api/v0/users/current/", "200"): 1,
    }


@pytest.mark.usefixtures("runs")
def test_unreadable_values_add_up(telemetry: Telemetry) -> None:
    telemetry.unreadable("research", {"gpu_util": 2, "label": 0})
    telemetry.unreadable("research", {"gpu_util": 1, "id": 4})
    found = samples(telemetry, "vastai_unreadable_values_total", account="research")
    assert {field: count for (field,), count in found.items() if count} == {"gpu_util": 3, "id": 4}


@pytest.mark.usefixtures("runs")
def test_counting_from_many_threads_loses_nothing(telemetry: Telemetry) -> None:
    def work() -> None:
        for _ in range(500):
            telemetry.request("research", Attempt(instances.ENDPOINT, "200", 0.3))
            telemetry.unreadable("research", {"id": 1})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    endpoint = instances.ENDPOINT.path
    assert samples(telemetry, "vastai_api_requests_total", endpoint=endpoint) == {("research", "200"): 2000}
    assert samples(telemetry, "vastai_unreadable_values_total", field="id") == {("research",): 2000}
    found = samples(telemetry, "vastai_api_request_duration_seconds_count", endpoint=endpoint)
    assert found == {(): 2000}


durations = st.floats(0, 100) | st.sampled_from(BUCKETS)


@pytest.mark.parametrize("form", ["text", "openmetrics"])
@settings(max_examples=50)
@given(seconds=st.lists(durations, max_size=20))
def test_a_histogram_holds_each_duration_in_every_bucket_that_it_fits_in(
    form: str, seconds: list[float]
) -> None:
    telemetry = Telemetry()
    telemetry.add("research", instances.COLLECTOR, 60.0)
    for duration in seconds:
        telemetry.request("research", Attempt(instances.ENDPOINT, "200", duration))

    def found(suffix: str) -> dict[tuple[str, ...], float]:
        name = f"vastai_api_request_duration_seconds_{suffix}"
        return samples(telemetry, name, form, endpoint=instances.ENDPOINT.path)

    expected = {bound: sum(duration <= bound for duration in seconds) for bound in (*BUCKETS, float("inf"))}
    assert {float(bound): count for (bound,), count in found("bucket").items()} == expected
    assert found("count") == {(): len(seconds)}
    assert found("sum") == {(): pytest.approx(sum(seconds))}


def test_buckets_reach_from_50_ms_to_30_s() -> None:
    assert (BUCKETS[0], BUCKETS[-1]) == (0.05, 30.0)
    assert all(lower < upper for lower, upper in pairwise(BUCKETS))


def test_what_runs_is_told_with_its_version() -> None:
    telemetry = Telemetry(version="1.2.3", revision="abc1234", python_version="3.11.2")
    found = samples(telemetry, "vastai_exporter_build_info")
    assert found == {("1.2.3", "abc1234", "3.11.2"): 1}
    names = {"version": exporter.__version__, "revision": ""}
    assert len(samples(Telemetry(), "vastai_exporter_build_info", **names)) == 1


def test_when_the_configuration_was_accepted_is_told(telemetry: Telemetry) -> None:
    name = "vastai_exporter_config_last_reload_success"
    assert samples(telemetry, f"{name}ful") == {(): 0}
    telemetry.reloaded(at=1_768_478_400.0)
    assert samples(telemetry, f"{name}ful") == {(): 1}
    assert samples(telemetry, f"{name}_timestamp_seconds") == {(): 1_768_478_400}


@pytest.mark.parametrize("parse", [parse_text, parse_openmetrics])
def test_the_process_and_python_are_told_of_unless_they_are_not_wanted(
    telemetry: Telemetry, parse: Callable[[str], list[object]]
) -> None:
    openmetrics = parse is parse_openmetrics
    end = "# EOF\n" * openmetrics
    full = telemetry.lines(openmetrics=openmetrics).decode()
    own = telemetry.lines(openmetrics=openmetrics, process=False).decode()
    assert full.startswith(own)
    assert "process_start_time_seconds" in full
    assert "python_info" in full
    assert "python_info" not in own
    assert len(list(parse(full + end))) > len(list(parse(own + end)))


def test_both_formats_hold_the_same_series(telemetry: Telemetry, runs: Runs) -> None:
    runs.failed("auth", "HTTP 404")
    telemetry.request("research", Attempt(instances.ENDPOINT, "404", 0.3))
    text = telemetry.lines(openmetrics=False, process=False).splitlines()
    other = telemetry.lines(openmetrics=True, process=False).splitlines()
    comments = (b"# HELP", b"# TYPE")
    assert [line for line in text if not line.startswith(comments)] == [
        line for line in other if not line.startswith(comments)
    ]
