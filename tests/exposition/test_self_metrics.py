"""The exporter's own metrics: there from the start, counted once, right in both formats."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import exporter
from exporter.collectors import account, instances
from exporter.exposition.self_metrics import (
    BUCKETS,
    SELF_METRICS,
    ConnectionCut,
    HandshakeFailure,
    Runs,
    SelfMetrics,
)
from exporter.metrics.fields import Problems
from exporter.vast.client import Attempt
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import Reason
from tests.support import things

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = {"account": "research", "collector": "instances"}
REASONS = "auth rate_limited client_error server_error timeout network bad_reply incomplete internal"
PATHS = {"/api/v1/instances/", "/api/v0/users/current/"}


def samples(
    self_metrics: SelfMetrics, name: str, form: str = "text", **labels: str
) -> dict[tuple[str, ...], float]:
    """Return the values of the series `name` with some labels, by the values of its other labels."""
    openmetrics = form == "openmetrics"
    parse = parse_openmetrics if openmetrics else parse_text
    text = self_metrics.lines(openmetrics=openmetrics, process=False).decode() + "# EOF\n" * openmetrics
    return {
        tuple(value for label, value in sample.labels.items() if label not in labels): sample.value
        for family in parse(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


@pytest.fixture
def self_metrics() -> SelfMetrics:
    return SelfMetrics()


@pytest.fixture
def runs(self_metrics: SelfMetrics) -> Runs:
    """How the instances of `research` are doing; their interval is a minute."""
    self_metrics.add("research", account.COLLECTOR, 300.0)
    return self_metrics.add("research", instances.COLLECTOR, 60.0)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vastai_collector_success", 0),
        ("vastai_collector_last_success_timestamp_seconds", 0),
        ("vastai_collector_interval_seconds", 60),
        ("vastai_collector_runs_total", 0),
        ("vastai_collector_overruns_total", 0),
    ],
)
def test_a_collector_is_there_from_the_start(self_metrics: SelfMetrics, name: str, value: float) -> None:
    assert samples(self_metrics, name, **RUN) == {(): value}


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", ["duration_seconds", "pages", "objects"])
def test_what_tells_of_a_successful_run_is_absent_before_the_first(
    self_metrics: SelfMetrics, name: str
) -> None:
    assert samples(self_metrics, f"vastai_collector_{name}") == {}


@pytest.mark.usefixtures("runs")
def test_every_reason_of_a_failure_is_there_from_the_start(self_metrics: SelfMetrics) -> None:
    found = samples(self_metrics, "vastai_collector_failures_total", **RUN)
    assert found == {(reason,): 0 for reason in REASONS.split()}
    assert set(get_args(Reason)) == set(REASONS.split())


@pytest.mark.usefixtures("runs")
def test_every_field_is_there_from_the_start(self_metrics: SelfMetrics) -> None:
    found = samples(self_metrics, "vastai_unreadable_values_total", account="research")
    assert found == {
        (each.name, field): 0 for each in (instances.COLLECTOR, account.COLLECTOR) for field in each.fields
    }
    assert {field for name, field in found if name == "instances"} == {*instances.COLUMNS, "total_instances"}
    assert {field for name, field in found if name == "account"} == {*account.FIELDS.names}


def test_every_field_that_has_a_range_is_there_from_the_start_and_no_other(self_metrics: SelfMetrics) -> None:
    name = "vastai_out_of_range_values_total"
    assert samples(self_metrics, name) == {}
    self_metrics.add("research", things.COLLECTOR, 60.0)
    assert samples(self_metrics, name) == {
        ("research", "things", field): 0 for field in ("size", "starts", "charge", "paints")
    }


@pytest.mark.usefixtures("runs")
def test_every_path_is_there_from_the_start(self_metrics: SelfMetrics) -> None:
    found = samples(self_metrics, "vastai_api_requests_total", account="research", code="200")
    assert found == {(path,): 0 for path in PATHS}
    found = samples(self_metrics, "vastai_api_request_duration_seconds_count")
    assert found == {(path,): 0 for path in PATHS}


def test_every_reason_of_a_failed_handshake_is_there_from_the_start_and_counted_by_itself(
    self_metrics: SelfMetrics,
) -> None:
    name = "vastai_exporter_tls_handshake_failures_total"
    reasons = get_args(HandshakeFailure)
    assert samples(self_metrics, name) == {(reason,): 0 for reason in reasons}
    for _ in range(2):
        self_metrics.tls_handshake_failed("bad_certificate")
    assert samples(self_metrics, name) == {(reason,): 2 * (reason == "bad_certificate") for reason in reasons}


def test_every_reason_of_a_cut_is_there_from_the_start_and_counted_by_itself(
    self_metrics: SelfMetrics,
) -> None:
    name = "vastai_exporter_connections_cut_total"
    reasons = get_args(ConnectionCut)
    assert samples(self_metrics, name) == {(reason,): 0 for reason in reasons}
    for _ in range(2):
        self_metrics.connection_cut("slow_reader")
    assert samples(self_metrics, name) == {(reason,): 2 * (reason == "slow_reader") for reason in reasons}


def test_a_successful_run_is_told_of_by_all_its_numbers(self_metrics: SelfMetrics, runs: Runs) -> None:
    runs.succeeded(at=1_768_478_400.25, duration=2.5, pages=3, objects=60)
    for name, value in {
        "success": 1.0,
        "last_success_timestamp_seconds": 1_768_478_400.25,
        "duration_seconds": 2.5,
        "pages": 3,
        "objects": 60,
    }.items():
        assert samples(self_metrics, f"vastai_collector_{name}", **RUN) == {(): value}


def test_an_empty_account_has_0_objects_and_not_none(self_metrics: SelfMetrics, runs: Runs) -> None:
    runs.succeeded(at=1.0, duration=0.1, pages=1, objects=0)
    assert samples(self_metrics, "vastai_collector_objects", **RUN) == {(): 0}


def test_a_failed_run_is_counted_by_reason_and_leaves_the_last_success(
    self_metrics: SelfMetrics, runs: Runs
) -> None:
    runs.succeeded(at=7.0, duration=2.5, pages=3, objects=60)
    runs.failed("timeout", "no complete reply within 30 s")
    runs.failed("timeout", "no complete reply within 30 s")
    runs.failed("auth", "HTTP 404")
    found = samples(self_metrics, "vastai_collector_failures_total", **RUN)
    assert {reason: count for (reason,), count in found.items() if count} == {"timeout": 2, "auth": 1}
    assert samples(self_metrics, "vastai_collector_success", **RUN) == {(): 0}
    assert samples(self_metrics, "vastai_collector_last_success_timestamp_seconds", **RUN) == {(): 7}
    for name, value in {"duration_seconds": 2.5, "pages": 3, "objects": 60}.items():
        assert samples(self_metrics, f"vastai_collector_{name}", **RUN) == {(): value}


def test_failures_of_one_collector_are_none_of_another(self_metrics: SelfMetrics, runs: Runs) -> None:
    runs.failed("auth", "HTTP 404")
    other = samples(self_metrics, "vastai_collector_failures_total", account="research", collector="account")
    assert set(other.values()) == {0}


def test_failed_runs_in_a_row_are_known_until_one_succeeds(runs: Runs) -> None:
    runs.failed("server_error", "HTTP 500")
    runs.failed("auth", "HTTP 404")
    assert (runs.failing, runs.refused, runs.error, runs.ended) == (2, True, "HTTP 404", True)
    runs.failed("network", "no connection")
    assert (runs.failing, runs.refused) == (3, False)
    runs.succeeded(at=7.0, duration=2.5, pages=3, objects=60)
    assert (runs.failing, runs.refused, runs.error, runs.ended) == (0, False, "", True)


def test_runs_that_took_longer_than_their_interval_are_counted(self_metrics: SelfMetrics, runs: Runs) -> None:
    for duration in (59.0, 60.0, 60.5, 440.0):
        runs.succeeded(at=1.0, duration=duration, pages=1, objects=1)
    assert samples(self_metrics, "vastai_collector_overruns_total", **RUN) == {(): 2}


@pytest.mark.usefixtures("runs")
def test_every_request_is_counted_by_path_and_code(self_metrics: SelfMetrics) -> None:
    for code in ("200", "200", "429", "error"):
        self_metrics.request("research", Attempt(instances.ENDPOINT, code, 0.3))
    self_metrics.request("research", Attempt(account.ENDPOINT, "200", 0.3))
    assert samples(self_metrics, "vastai_api_requests_total", account="research") == {
        ("/api/v1/instances/", "200"): 2,
        ("/api/v1/instances/", "429"): 1,
        ("/api/v1/instances/", "error"): 1,
        ("/api/v0/users/current/", "200"): 1,
    }


@pytest.mark.usefixtures("runs")
def test_unreadable_values_add_up(self_metrics: SelfMetrics) -> None:
    for found in ({"gpu_util": 2, "label": 0}, {"gpu_util": 1, "id": 4}):
        self_metrics.problems("research", "instances", Problems(unreadable=Counter(found)))
    self_metrics.problems("research", "account", Problems(unreadable=Counter(credit=1)))
    shown = samples(self_metrics, "vastai_unreadable_values_total", account="research")
    assert {series: count for series, count in shown.items() if count} == {
        ("instances", "gpu_util"): 3,
        ("instances", "id"): 4,
        ("account", "credit"): 1,
    }


def test_what_is_counted_after_a_scrape_is_in_the_next(self_metrics: SelfMetrics, runs: Runs) -> None:
    for count in (1, 2):
        self_metrics.problems("research", "instances", Problems(Counter(id=1), Counter(gpu_util=1)))
        runs.failed("timeout", "no whole reply")
        for name, label in (
            ("unreadable_values", {"field": "id"}),
            ("out_of_range_values", {"field": "gpu_util"}),
            ("collector_failures", {"reason": "timeout"}),
        ):
            assert samples(self_metrics, f"vastai_{name}_total", **RUN, **label) == {(): count}


def test_values_that_can_not_be_true_are_counted_apart(self_metrics: SelfMetrics) -> None:
    self_metrics.add("research", things.COLLECTOR, 60.0)
    for unreadable, out_of_range in ((1, 2), (0, 3)):
        problems = Problems(Counter(size=unreadable), Counter(size=out_of_range))
        self_metrics.problems("research", "things", problems)
    labels = {"account": "research", "collector": "things", "field": "size"}
    assert samples(self_metrics, "vastai_unreadable_values_total", **labels) == {(): 1}
    assert samples(self_metrics, "vastai_out_of_range_values_total", **labels) == {(): 5}


@pytest.mark.usefixtures("runs")
def test_counting_from_many_threads_loses_nothing(self_metrics: SelfMetrics) -> None:
    def work() -> None:
        for _ in range(500):
            self_metrics.request("research", Attempt(instances.ENDPOINT, "200", 0.3))
            self_metrics.problems("research", "instances", Problems(Counter(id=1)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = instances.ENDPOINT.path
    assert samples(self_metrics, "vastai_api_requests_total", path=path) == {("research", "200"): 2000}
    assert samples(self_metrics, "vastai_unreadable_values_total", field="id") == {
        ("research", "instances"): 2000
    }
    found = samples(self_metrics, "vastai_api_request_duration_seconds_count", path=path)
    assert found == {(): 2000}


# What ends with a collector


def series(self_metrics: SelfMetrics) -> set[str]:
    """Return all series of accounts and paths, as they are written."""
    text = self_metrics.lines(openmetrics=False, process=False).decode()
    return {
        line.rpartition(" ")[0]
        for line in text.splitlines()
        if not line.startswith("#") and ("account=" in line or "path=" in line)
    }


def test_with_a_collector_end_its_series_and_those_of_no_other(self_metrics: SelfMetrics) -> None:
    self_metrics.add("research", instances.COLLECTOR, 60.0)
    self_metrics.add("studio", things.COLLECTOR, 60.0)
    before = series(self_metrics)
    self_metrics.add("research", things.COLLECTOR, 60.0)
    self_metrics.request("research", Attempt(things.ENDPOINT, "502", 0.3))
    self_metrics.problems("research", "things", Problems(Counter(size=1), Counter(size=1)))
    self_metrics.remove("research", things.COLLECTOR)
    assert series(self_metrics) == before
    self_metrics.remove("research", instances.COLLECTOR)
    self_metrics.remove("studio", things.COLLECTOR)
    assert series(self_metrics) == set()


def test_a_path_that_two_collectors_ask_is_counted_until_the_last_of_them_ends(
    self_metrics: SelfMetrics,
) -> None:
    others = replace(things.COLLECTOR, name="others")
    for collector in (things.COLLECTOR, others):
        self_metrics.add("research", collector, 60.0)
    self_metrics.request("research", Attempt(things.ENDPOINT, "200", 0.3))
    self_metrics.remove("research", things.COLLECTOR)
    self_metrics.request("research", Attempt(things.ENDPOINT, "200", 0.3))
    labels = {"account": "research", "path": things.ENDPOINT.path, "code": "200"}
    assert samples(self_metrics, "vastai_api_requests_total", **labels) == {(): 2}
    self_metrics.remove("research", others)
    assert series(self_metrics) == set()


def test_endpoints_with_one_path_are_counted_as_one(self_metrics: SelfMetrics) -> None:
    post = replace(things.ENDPOINT, method="POST")
    collector = replace(things.COLLECTOR, endpoints=(things.ENDPOINT, post))
    self_metrics.add("research", collector, 60.0)
    for endpoint in collector.endpoints:
        self_metrics.request("research", Attempt(endpoint, "200", 0.3))
    assert samples(self_metrics, "vastai_api_requests_total", code="200") == {
        ("research", things.ENDPOINT.path): 2
    }
    self_metrics.remove("research", collector)
    assert series(self_metrics) == set()


def test_the_path_of_a_request_is_the_one_with_names_in_braces(self_metrics: SelfMetrics) -> None:
    logs = Endpoint("/api/v0/groups/{group}/logs/", 1.0)
    self_metrics.add("research", replace(things.COLLECTOR, endpoints=(logs,)), 60.0)
    self_metrics.request("research", Attempt(logs, "200", 0.3))
    assert samples(self_metrics, "vastai_api_requests_total", path=logs.path) == {("research", "200"): 1}


def test_what_comes_in_after_its_collector_was_removed_is_counted_nowhere(self_metrics: SelfMetrics) -> None:
    self_metrics.add("research", things.COLLECTOR, 60.0)
    self_metrics.remove("research", things.COLLECTOR)
    self_metrics.request("research", Attempt(things.ENDPOINT, "200", 0.3))
    self_metrics.problems("research", "things", Problems(Counter(size=1), Counter(size=1)))
    assert series(self_metrics) == set()


def test_a_collector_that_comes_back_begins_at_0(self_metrics: SelfMetrics) -> None:
    for _ in range(2):
        runs = self_metrics.add("research", things.COLLECTOR, 60.0)
        runs.failed("auth", "HTTP 404")
        self_metrics.request("research", Attempt(things.ENDPOINT, "404", 0.3))
        self_metrics.problems("research", "things", Problems(Counter(size=1)))
        labels = {"account": "research", "collector": "things"}
        assert samples(self_metrics, "vastai_collector_failures_total", reason="auth", **labels) == {(): 1}
        assert samples(self_metrics, "vastai_unreadable_values_total", field="size", **labels) == {(): 1}
        assert samples(self_metrics, "vastai_api_requests_total", code="404", account="research") == {
            (things.ENDPOINT.path,): 1
        }
        self_metrics.remove("research", things.COLLECTOR)


def test_what_belongs_to_no_account_has_an_empty_one(self_metrics: SelfMetrics) -> None:
    self_metrics.add("", things.COLLECTOR, 60.0)
    assert samples(self_metrics, "vastai_collector_success", account="", collector="things") == {(): 0}


# Durations

durations = st.floats(0, 100) | st.sampled_from(BUCKETS)


@pytest.mark.parametrize("form", ["text", "openmetrics"])
@settings(max_examples=50)
@given(seconds=st.lists(durations, max_size=20))
def test_a_histogram_holds_each_duration_in_every_bucket_that_it_fits_in(
    form: str, seconds: list[float]
) -> None:
    self_metrics = SelfMetrics()
    self_metrics.add("research", instances.COLLECTOR, 60.0)
    for duration in seconds:
        self_metrics.request("research", Attempt(instances.ENDPOINT, "200", duration))

    def found(suffix: str) -> dict[tuple[str, ...], float]:
        name = f"vastai_api_request_duration_seconds_{suffix}"
        return samples(self_metrics, name, form, path=instances.ENDPOINT.path)

    expected = {bound: sum(duration <= bound for duration in seconds) for bound in (*BUCKETS, float("inf"))}
    assert {float(bound): count for (bound,), count in found("bucket").items()} == expected
    assert found("count") == {(): len(seconds)}
    assert found("sum") == {(): pytest.approx(sum(seconds))}


def test_buckets_reach_from_50_ms_to_30_s() -> None:
    assert (BUCKETS[0], BUCKETS[-1]) == (0.05, 30.0)
    assert all(lower < upper for lower, upper in pairwise(BUCKETS))


def test_what_runs_is_told_with_its_version() -> None:
    self_metrics = SelfMetrics(version="1.2.3", revision="abc1234", python_version="3.11.2")
    found = samples(self_metrics, "vastai_exporter_build_info")
    assert found == {("1.2.3", "abc1234", "3.11.2"): 1}
    names = {"version": exporter.__version__, "revision": ""}
    assert len(samples(SelfMetrics(), "vastai_exporter_build_info", **names)) == 1


def test_when_the_configuration_was_accepted_is_told(self_metrics: SelfMetrics) -> None:
    name = "vastai_exporter_config_last_reload_success"
    assert samples(self_metrics, f"{name}ful") == {(): 0}
    self_metrics.reloaded(at=1_768_478_400.0)
    assert samples(self_metrics, f"{name}ful") == {(): 1}
    assert samples(self_metrics, f"{name}_timestamp_seconds") == {(): 1_768_478_400}


@pytest.mark.parametrize("parse", [parse_text, parse_openmetrics])
def test_the_process_and_python_are_told_of_unless_they_are_not_wanted(
    self_metrics: SelfMetrics, parse: Callable[[str], list[object]]
) -> None:
    openmetrics = parse is parse_openmetrics
    end = "# EOF\n" * openmetrics
    full = self_metrics.lines(openmetrics=openmetrics).decode()
    own = self_metrics.lines(openmetrics=openmetrics, process=False).decode()
    assert full.startswith(own)
    assert "process_start_time_seconds" in full
    assert "python_info" in full
    assert "python_info" not in own
    assert len(list(parse(full + end))) > len(list(parse(own + end)))


def test_both_formats_hold_the_same_series(self_metrics: SelfMetrics, runs: Runs) -> None:
    runs.failed("auth", "HTTP 404")
    self_metrics.request("research", Attempt(instances.ENDPOINT, "404", 0.3))
    text = self_metrics.lines(openmetrics=False, process=False).splitlines()
    other = self_metrics.lines(openmetrics=True, process=False).splitlines()
    comments = (b"# HELP", b"# TYPE")
    assert [line for line in text if not line.startswith(comments)] == [
        line for line in other if not line.startswith(comments)
    ]


def test_lines_of_the_log_that_could_not_be_written_are_counted(self_metrics: SelfMetrics) -> None:
    assert samples(self_metrics, "vastai_log_lines_dropped_total") == {(): 0}
    self_metrics.lines_dropped = lambda: 7
    assert samples(self_metrics, "vastai_log_lines_dropped_total") == {(): 7}


def test_every_run_that_ends_is_counted(self_metrics: SelfMetrics, runs: Runs) -> None:
    assert not runs.ended
    runs.failed("network", "no way")
    assert runs.ended
    runs.succeeded(at=1.0, duration=0.1, pages=1, objects=1)
    runs.failed("auth", "no key")
    assert samples(self_metrics, "vastai_collector_runs_total", **RUN) == {(): 3}
    failures = samples(self_metrics, "vastai_collector_failures_total", **RUN)
    assert sum(failures.values()) == 2


def test_the_help_of_what_is_kept_in_memory_says_so() -> None:
    told = {metric.name: metric.help for metric in SELF_METRICS}
    assert "kept in memory" in told["vastai_collector_last_success_timestamp_seconds"]
    assert "a scrape does not start a run" in told["vastai_collector_interval_seconds"]
