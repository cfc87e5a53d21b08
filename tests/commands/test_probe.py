"""The probe sees each way in which the API may differ, keeps to its pace, and shows nothing private."""

from __future__ import annotations

import json
import re
import signal
import time
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.collectors import COLLECTORS
from exporter.collectors.assumptions.backups import STATUSES
from exporter.collectors.assumptions.standing import assumptions_of
from exporter.collectors.inbox import TYPES
from exporter.commands.configuration import load, with_all_collectors, with_run_url
from exporter.commands.interview import MOST_ANSWERS
from exporter.commands.probe import Prober
from exporter.commands.probe_report import as_json, as_table
from exporter.logs import Redactor
from exporter.simulator import INSTANCES, USER, ManualClock, Reply, SimulatedVast, json_reply, starts
from exporter.simulator.endpoints.backups import BACKUPS
from exporter.simulator.endpoints.bundles import BUNDLES
from exporter.simulator.endpoints.charges import CHARGES
from exporter.simulator.endpoints.notifications import INBOX
from exporter.simulator.endpoints.price_increases import PRICE_INCREASES
from exporter.simulator.endpoints.serverless import ENDPOINT_JOBS, ENDPOINT_WORKERS
from exporter.simulator.endpoints.volumes import VOLUMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.commands.probe_report import Report
    from exporter.config.loading import Loaded
    from tests.support.program import Run, Start, Write

    #: Changes a reply, of which it gets the JSON and the query.
    Change = Callable[[dict[str, Any], Mapping[str, str]], object]

#: Shorter texts, such as "ubuntu", are words that may stand anywhere.
LEAST = 5
#: The fields of replies that hold rows.
LISTS = (
    "instances",
    "volumes",
    "results",
    "pending_price_increases",
    "offers",
    "notifications",
    "backups",
    "workers",
)


@pytest.fixture(scope="module")
def served() -> Iterator[SimulatedVast]:
    with SimulatedVast(size=60, clock=ManualClock(), thresholds=False) as vast:
        yield vast


@pytest.fixture
def vast(served: SimulatedVast) -> Iterator[SimulatedVast]:
    served.requests.clear()
    yield served
    served.faults.clear()


def no_sleep(_: float) -> None:
    """Wait for nothing before a request is tried again."""


def loaded_for(vast: SimulatedVast) -> Loaded:
    """Return a configuration for both hosts of a simulated API."""
    loaded = load(None, {"VAST_API_KEY": vast.key, "VAST_URL": vast.url}, {})
    return with_run_url(loaded, vast.run_url)


def probe(
    vast: SimulatedVast,
    *,
    seconds: float = 45.0,
    pace: float = 0.0,
    sleep: Callable[[float], None] = no_sleep,
) -> Report:
    """Hold all assumptions against a simulated API."""
    loaded = loaded_for(vast)
    api = loaded.config.api.model_copy(update={"min_interval": pace})
    loaded = replace(loaded, config=loaded.config.model_copy(update={"api": api}))
    prober = Prober(
        with_all_collectors(loaded),
        redact=Redactor(),
        seconds=seconds,
        wall_clock=vast.clock,
        sleep=sleep,
    )
    return prober.run()


def verdicts(report: Report) -> dict[str, str]:
    return {result.assumption.name: result.finding.verdict for result in report.results}


def wrong(report: Report) -> dict[str, str]:
    """Return what does not hold, and what came instead."""
    return {
        result.assumption.name: result.finding.came
        for result in report.results
        if result.finding.verdict == "does not hold"
    }


def lie(vast: SimulatedVast, endpoint: str, change: Change) -> None:
    """Change whatever an endpoint answers."""

    def fault(params: Mapping[str, str], due: Reply) -> Reply:
        content = json.loads(due.body)
        content = {"workers": content} if isinstance(content, list) else content
        change(content, params)
        return json_reply(content, due.status)

    vast.faults.always(endpoint, fault)


def texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value, and every whole number as text; no names of fields."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value.strip()
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def shown(report: Report) -> str:
    return as_table(report) + as_json(report)


@pytest.fixture(scope="module")
def private(served: SimulatedVast) -> re.Pattern[str]:
    """All texts and ids that the API sends, the key and the address, but for words that a check looks for."""
    headers = {"Authorization": f"Bearer {served.key}"}
    today = int(served.clock())
    bounds = {"day": {"gte": today - 86_400, "lte": today}}
    replies = [
        requests.get(f"{served.url}{path}", headers=headers, params=params, timeout=30).json()
        for path, params in (
            (INSTANCES, {}),
            (USER, {}),
            (VOLUMES, {}),
            (PRICE_INCREASES, {}),
            (INBOX, {}),
            (BACKUPS, {}),
            (CHARGES, {"select_filters": json.dumps(bounds)}),
        )
    ]
    assert all(rows_of(reply) for reply in replies if reply is not replies[1])
    words = {"running", "stopped", "exited", "created", "loading", "frozen", "unloaded", "machine", "default"}
    words |= {"instance", "client", "verified", "unverified", "deverified", *TYPES, *STATUSES}
    found = {text for reply in replies for text in texts(reply) if len(text) >= LEAST} - words
    labels = {label for label in replies[0]["label_counts"] if label}
    secrets = found | labels | {served.key, served.url.partition("//")[2]}
    assert len(secrets) > 300
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, secrets))})(?!\w)")


# What is so


def test_all_that_the_measured_api_does_holds_or_can_not_be_told(vast: SimulatedVast) -> None:
    report = probe(vast)
    assert wrong(report) == {}
    assert report.exit_code == 0
    told = {name for name, verdict in verdicts(report).items() if verdict == "holds"}
    assert {"cpu_util_percent", "billed_kilobytes", "dph_base_is_bid", "total_hour", "page_limit"} <= told
    assert len(told) > 40


def test_every_endpoint_of_every_collector_is_asked(vast: SimulatedVast) -> None:
    probe(vast)
    assert {one.endpoint for one in vast.requests} == {
        endpoint.path for collector in COLLECTORS for endpoint in collector.endpoints
    }
    posts = {endpoint.path for each in COLLECTORS for endpoint in each.endpoints if endpoint.method == "POST"}
    assert {one.endpoint for one in vast.requests if one.method != "GET"} == posts


def test_the_market_is_asked_for_what_tells_nothing_of_the_fleet(vast: SimulatedVast) -> None:
    probe(vast)
    bodies = [one.body for one in vast.requests if one.endpoint == BUNDLES]
    assert all(isinstance(body, dict) and body["gpu_name"] == {"eq": "RTX 4090"} for body in bodies)
    types = {body["type"] for body in bodies if isinstance(body, dict)}
    assert types == {"on-demand", "bid", "reserved"}


def test_no_column_is_asked_for_that_the_collector_does_not_ask_for(vast: SimulatedVast) -> None:
    probe(vast)
    asked = {one.params["select_cols"] for one in vast.requests if one.endpoint == INSTANCES}
    columns = {name for text in asked for name in json.loads(text)}
    (instances,) = [each for each in COLLECTORS if each.name == "instances"]
    assert columns <= {*instances.fields, "no_such_column"}
    assert not {"jupyter_token", "extra_env", "onstart", "public_ipaddr", "ssh_host"} & columns


def test_an_account_of_nothing_is_an_api_of_which_little_can_be_told() -> None:
    with SimulatedVast(size=0, clock=ManualClock(), thresholds=False) as vast:
        report = probe(vast)
    assert (wrong(report), report.exit_code) == ({}, 0)


# What is not so


def each(**changes: Callable[[dict[str, Any]], object]) -> Change:
    """Change these fields of each row, to what a function makes of the row."""

    def change(content: dict[str, Any], _: Mapping[str, str]) -> None:
        for row in rows_of(content):
            row.update({name: make(row) for name, make in changes.items() if name in row})

    return change


def rows_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    return next((content[name] for name in LISTS if isinstance(content.get(name), list)), [])


def set_to(**fields: object) -> Change:
    return lambda content, _: content.update(fields)


def without(*names: str) -> Change:
    def change(content: dict[str, Any], _: Mapping[str, str]) -> None:
        for each in (content, *rows_of(content)):
            for name in names:
                each.pop(name, None)

    return change


def times(name: str, factor: float) -> Callable[[dict[str, Any]], object]:
    return lambda row: None if row[name] is None else row[name] * factor


def raised(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda row: {**row["instance"], name: row["dph_total"] * 3}


def _more_rows(content: dict[str, Any], params: Mapping[str, str]) -> None:
    if params["limit"] == "100":
        content["instances"] = content["instances"] * 3


def _fewer_rows(content: dict[str, Any], params: Mapping[str, str]) -> None:
    if params["limit"] == "100":
        del content["instances"][5:]


def _only_known_columns(content: dict[str, Any], _: Mapping[str, str]) -> None:
    for row in content["instances"]:
        row.pop("no_such_column", None)


def _all_columns(content: dict[str, Any], _: Mapping[str, str]) -> None:
    for row in content["instances"]:
        row["jupyter_token"] = "a-token-that-nobody-asked-for"


def _all_labels(content: dict[str, Any], _: Mapping[str, str]) -> None:
    content["label_counts"] = {"a": content["total_instances"] - 1, "": 1}


def _other_order(content: dict[str, Any], _: Mapping[str, str]) -> None:
    content["instances"].reverse()


def _more_offers(content: dict[str, Any], _: Mapping[str, str]) -> None:
    content["offers"] = content["offers"] * 65


def _other_model(content: dict[str, Any], _: Mapping[str, str]) -> None:
    content["offers"][0]["gpu_name"] = "much else"


def _dearest_first(content: dict[str, Any], _: Mapping[str, str]) -> None:
    content["offers"].reverse()


#: What the API might do instead: where, how, and the assumption that falls with it.
LIES: dict[str, tuple[str, Change, str]] = {
    "a field is gone": (INSTANCES, without("gpu_util"), "instances_fields"),
    "traffic is gone": (INSTANCES, without("inet_up_billed", "inet_down_billed"), "instances_fields"),
    "a field of the account is gone": (USER, without("credit"), "account_fields"),
    "a field of a volume is gone": (VOLUMES, without("disk_space"), "volumes_fields"),
    "a number is text": (INSTANCES, each(gpu_ram=lambda _: "much"), "instances_values"),
    "a time is in milliseconds": (INSTANCES, each(end_date=times("end_date", 1000)), "instances_values"),
    "reliability is percent": (INSTANCES, each(reliability2=times("reliability2", 100)), "instances_values"),
    "the list has another name": (INSTANCES, without("instances"), "instances_run"),
    "volumes are an object": (VOLUMES, set_to(volumes={"1": {}}), "volumes_run"),
    "what was never null is": (INSTANCES, each(gpu_name=lambda _: None), "never_null"),
    "pages are in no order": (INSTANCES, _other_order, "page_order"),
    "a limit above 25 is heeded": (INSTANCES, _more_rows, "page_limit"),
    "a limit above 25 is taken for 5": (INSTANCES, _fewer_rows, "page_limit"),
    "unknown columns are left out": (INSTANCES, _only_known_columns, "unknown_columns"),
    "columns come unasked": (INSTANCES, _all_columns, "unknown_columns"),
    "labels are counted in all": (INSTANCES, _all_labels, "label_counts"),
    "labels are counted otherwise": (INSTANCES, set_to(label_counts={"": 1}), "label_counts"),
    "found is all": (INSTANCES, set_to(instances_found=60), "instances_found"),
    "the total is that of the page": (INSTANCES, set_to(total_instances=25), "total_instances"),
    "gpu_util is a fraction": (INSTANCES, each(gpu_util=times("gpu_util", 0.01)), "gpu_util_percent"),
    "gpu_util is above 100": (INSTANCES, each(gpu_util=times("gpu_util", 1.5)), "gpu_util_percent"),
    "gpu_util is a sum": (
        INSTANCES,
        each(gpu_util=lambda row: row["gpu_util"] and row["gpu_util"] * row["num_gpus"]),
        "gpu_util_mean",
    ),
    "gpu_temp is Fahrenheit": (
        INSTANCES,
        each(gpu_temp=lambda row: row["gpu_temp"] and row["gpu_temp"] * 1.8 + 32),
        "gpu_temp_celsius",
    ),
    "gpu_temp is 0 at work": (INSTANCES, each(gpu_temp=lambda _: 0), "telemetry_missing"),
    "cpu_util is a fraction": (INSTANCES, each(cpu_util=times("cpu_util", 0.01)), "cpu_util_percent"),
    "cpu_util is percent of a core": (INSTANCES, each(cpu_util=times("cpu_util", 32)), "cpu_util_percent"),
    "vmem_usage is MiB": (INSTANCES, each(vmem_usage=times("vmem_usage", 1024)), "vmem_usage_gib"),
    "vmem_usage is a share": (INSTANCES, each(vmem_usage=lambda _: 0.01), "vmem_usage_gib"),
    "mem_limit is MB": (INSTANCES, each(mem_limit=times("mem_limit", 1024)), "mem_unit"),
    "disk_util is percent": (INSTANCES, each(disk_util=times("disk_util", 100)), "disk_util_share"),
    "disk_usage is percent": (INSTANCES, each(disk_usage=lambda row: row["disk_space"] * 2), "disk_usage_gb"),
    "uptime_mins is seconds": (INSTANCES, each(uptime_mins=times("uptime_mins", 3600)), "uptime_minutes"),
    "billed traffic is GB": (
        INSTANCES,
        each(inet_up_billed=times("inet_up_billed", 1e-6), inet_down_billed=times("inet_down_billed", 1e-6)),
        "billed_kilobytes",
    ),
    "billed traffic is bytes": (
        INSTANCES,
        each(inet_down_billed=times("inet_down_billed", 1000)),
        "billed_kilobytes",
    ),
    "speed is bits": (INSTANCES, each(inet_down=times("inet_down", 1e6)), "inet_speed"),
    "dph_base is no bid": (INSTANCES, each(dph_base=times("dph_base", 2)), "dph_base_is_bid"),
    "dph_total is of now": (
        INSTANCES,
        each(dph_total=lambda row: row["storage_total_cost"]),
        "dph_total_sum",
    ),
    "totalHour is the full price always": (
        INSTANCES,
        each(instance=lambda row: {**row["instance"], "totalHour": row["dph_total"]}),
        "total_hour",
    ),
    "totalHour is anything": (INSTANCES, each(instance=raised("totalHour")), "total_hour"),
    "min_bid is of the market": (
        INSTANCES,
        each(min_bid=lambda row: row["dph_base"] * 0.5),
        "min_bid_is_a_raise",
    ),
    "storage is by the month": (
        INSTANCES,
        each(storage_total_cost=times("storage_total_cost", 720)),
        "storage_hour",
    ),
    "traffic is priced by the TB": (
        INSTANCES,
        each(inet_down_cost=lambda _: 20.0),
        "traffic_price",
    ),
    "a status is new": (INSTANCES, each(actual_status=lambda _: "hibernating"), "actual_status_words"),
    "an intention is new": (INSTANCES, each(intended_status=lambda _: "paused"), "intended_status_words"),
    "a state is new": (INSTANCES, each(next_state=lambda _: "frozen"), "allocation_words"),
    "what runs has no GPU": (INSTANCES, each(cur_state=lambda _: "stopped"), "running_is_allocated"),
    "total_spend rises": (USER, set_to(total_spend=12.5), "total_spend"),
    "total_spend is gone": (USER, without("total_spend"), "total_spend"),
    "credit is null": (USER, set_to(credit=None), "credit"),
    "auto-billing is odd": (USER, set_to(autobill_amount=-1), "autobill_off"),
    "volumes have another type": (VOLUMES, each(type=lambda _: "local"), "volume_types"),
    "volumes are priced by the month": (
        VOLUMES,
        each(storage_total_cost=times("storage_total_cost", 720)),
        "volume_price",
    ),
    "a charge has another item": (
        CHARGES,
        each(items=lambda _: [{"type": "cpu", "amount": 1}]),
        "charges_items",
    ),
    "a charge is more than its items": (CHARGES, each(amount=times("amount", 2)), "charges_amount"),
    "a charge is text": (
        CHARGES,
        each(items=lambda _: [{"type": "gpu", "amount": "much"}]),
        "charges_values",
    ),
    "charges are gone": (CHARGES, without("results"), "charges_run"),
    "no increase is null": (PRICE_INCREASES, set_to(pending_price_increases=None), "increases_none"),
    "increases are cut off": (PRICE_INCREASES, set_to(truncated=True), "increases_truncated"),
    "increases are by the hour": (
        PRICE_INCREASES,
        each(old_gpu_costpersec=times("old_gpu_costpersec", 3600)),
        "increases_per_second",
    ),
    "an increase has other fields": (
        PRICE_INCREASES,
        without("contract_end_date"),
        "price_increases_fields",
    ),
    "an increase is text": (
        PRICE_INCREASES,
        each(new_gpu_costpersec=lambda _: "much"),
        "price_increases_values",
    ),
    "increases are an object": (
        PRICE_INCREASES,
        set_to(pending_price_increases={}),
        "price_increases_run",
    ),
    "notifications have their ids elsewhere": (INBOX, each(event_id=lambda _: None), "inbox_ids"),
    "notifications are told in milliseconds": (
        INBOX,
        each(created_at=times("created_at", 1000)),
        "inbox_seconds",
    ),
    "notifications have other types": (INBOX, each(notif_type=lambda _: "paused"), "inbox_types"),
    "notifications tell of no instance": (INBOX, each(associated_id=lambda _: {}), "inbox_instance"),
    "notifications can't be read": (INBOX, each(created_at=lambda _: "much"), "notifications_values"),
    "notifications are an object": (INBOX, set_to(notifications={}), "notifications_run"),
    "backups are told in milliseconds": (
        BACKUPS,
        each(created_at=times("created_at", 1000)),
        "backups_seconds",
    ),
    "backups have another status": (BACKUPS, each(status=lambda _: "paused"), "backups_status"),
    "backups are text": (BACKUPS, each(created_at=lambda _: "much"), "backups_values"),
    "backups have other fields": (BACKUPS, without("created_at"), "backups_fields"),
    "backups are an object": (BACKUPS, set_to(backups={}), "backups_run"),
    "more offers come": (BUNDLES, _more_offers, "offers_most"),
    "offers are not filtered": (BUNDLES, _other_model, "offers_filtered"),
    "offers are in no order": (BUNDLES, _dearest_first, "offers_order"),
    "what is not verified comes": (BUNDLES, each(verification=lambda _: "unverified"), "offers_verified"),
    "a verification is new": (BUNDLES, each(verification=lambda _: "paused"), "offers_verification"),
    "offers are priced in cents": (BUNDLES, each(dph_base=times("dph_base", 100)), "offers_price"),
    "min_bid is a share": (BUNDLES, each(min_bid=times("min_bid", 0.5)), "offers_bid"),
    "a discount costs more": (
        BUNDLES,
        each(discounted_dph_total=times("discounted_dph_total", 2)),
        "offers_discounted",
    ),
    "an offer's price is text": (BUNDLES, each(dph_base=lambda _: "much"), "market_values"),
    "offers are gone": (BUNDLES, without("offers"), "market_run"),
    "volumes count instances": (VOLUMES, each(instances=lambda _: 1), "volume_instances"),
    "endpoints are gone": (ENDPOINT_JOBS, without("results"), "serverless_run"),
    "a field of an endpoint is gone": (ENDPOINT_JOBS, without("max_workers"), "serverless_fields"),
    "an endpoint has another state": (
        ENDPOINT_JOBS,
        each(endpoint_state=lambda _: "hibernating"),
        "serverless_endpoint_states",
    ),
    "workers are numbered": (ENDPOINT_WORKERS, set_to(workers=3), "serverless_worker_shapes"),
    "a worker has another state": (
        ENDPOINT_WORKERS,
        each(status=lambda _: "paused"),
        "serverless_worker_states",
    ),
    "load is gone": (ENDPOINT_WORKERS, without("cur_load"), "serverless_worker_fields"),
    "load is text": (ENDPOINT_WORKERS, each(cur_load=lambda _: "much"), "serverless_values"),
    "a ready worker can do nothing": (
        ENDPOINT_WORKERS,
        each(perf=lambda _: 0.0),
        "serverless_worker_perf",
    ),
}


@pytest.mark.parametrize("told", LIES)
def test_what_is_not_so_is_found_and_no_text_of_it_shown(
    told: str, vast: SimulatedVast, private: re.Pattern[str]
) -> None:
    endpoint, change, name = LIES[told]
    lie(vast, endpoint, change)
    report = probe(vast)
    assert name in wrong(report)
    assert report.exit_code == 3
    assert not private.findall(shown(report))
    assert not re.search("hibernating|paused|much|a-token", shown(report))


def test_every_check_that_can_fail_is_seen_to_fail() -> None:
    seen = {name for _, _, name in LIES.values()}
    # These only find what they look for, or nothing; the others have tests of their own.
    finders = {"vmem_usage_sum", "disk_unknown", "uptime_negative", "balance_threshold", "volume_statuses"}
    finders |= {"serverless_none"}
    elsewhere = {"billed_in_between", "volumes_slash", "account_run", "account_values", "volumes_values"}
    elsewhere |= {"inbox", "inbox_newest", "inbox_bids", "backups_all"}
    checked = {
        each.name for collector in COLLECTORS for each in assumptions_of(collector) if each.check is not None
    }
    assert checked == seen | finders | elsewhere


def test_what_can_be_told_only_now_and_then_is_told_then(vast: SimulatedVast) -> None:
    lie(vast, INSTANCES, each(uptime_mins=lambda _: -3, disk_util=lambda _: -1))
    lie(vast, USER, set_to(balance_threshold=-0.01, autobill_amount=None))
    found = verdicts(probe(vast))
    assert found["uptime_negative"] == found["disk_unknown"] == "holds"
    assert found["balance_threshold"] == found["autobill_off"] == "holds"


def test_what_is_billed_in_between_is_told_when_an_instance_is_there(vast: SimulatedVast) -> None:
    lie(vast, INSTANCES, each(actual_status=lambda row: row["actual_status"] and "unknown"))
    assert verdicts(probe(vast))["billed_in_between"] == "holds"
    cheap = {"totalHour": 0.0001}
    lie(vast, INSTANCES, each(actual_status=lambda _: "rebooting", instance=lambda _: cheap))
    assert "billed_in_between" in wrong(probe(vast))


def test_a_limit_that_is_refused_is_told(vast: SimulatedVast) -> None:
    refusal = json_reply({"error": "invalid_request", "msg": "limit is 100"}, 400)
    vast.faults.always(INSTANCES, lambda params, due: refusal if params["limit"] == "100" else due)
    report = probe(vast)
    assert wrong(report) == {"page_limit": "HTTP 400, invalid_request"}
    assert report.exit_code == 3


def test_an_error_that_says_that_there_is_none_is_an_answer(vast: SimulatedVast) -> None:
    vast.faults.always(PRICE_INCREASES, json_reply({"error": "no_pending_price_increase"}, 404))
    report = probe(vast)
    assert (wrong(report), report.exit_code) == ({}, 0)
    found = {result.assumption.name: result.finding for result in report.results}
    assert found["increases_none"] == ("HTTP 404, no_pending_price_increase", "holds")


def test_volumes_that_want_a_slash_are_told(vast: SimulatedVast) -> None:
    replies = iter([json_reply({"error": "not_found"}, 404)])
    vast.faults.always(VOLUMES, lambda _params, due: next(replies, due))
    assert wrong(probe(vast)) == {"volumes_slash": "without: HTTP 404, not_found; with: 307 then 200"}


# What can't be asked


def test_a_missing_permission_costs_its_own_answers_and_is_told_in_status_and_word(
    vast: SimulatedVast,
) -> None:
    vast.faults.always(USER, json_reply({"error": "auth_error", "msg": "user_read is missing"}, 403))
    report = probe(vast)
    assert (wrong(report), report.exit_code) == ({}, 1)
    found = {result.assumption.name: result.finding for result in report.results}
    assert found["missing_permission"] == ("/api/v0/users/current/: HTTP 403, auth_error", "holds")
    assert found["page_order"].verdict == "holds"
    assert found["credit"].verdict == "can't be told"
    assert "| `GET /api/v0/users/current/` | account | HTTP 403, auth_error |" in as_table(report)
    assert "1 endpoint not fully checked." in as_table(report)


def test_a_permission_that_is_refused_in_another_way_is_told(vast: SimulatedVast) -> None:
    vast.faults.always(VOLUMES, json_reply({"error": "auth_error"}, 404))
    assert wrong(probe(vast)) == {"missing_permission": "/api/v0/volumes: HTTP 404, auth_error"}


@pytest.mark.parametrize(
    "fault", [Reply(500), Reply(drop=True), Reply(body=b"<html>"), Reply(429, b"too frequent"), Reply(404)]
)
def test_an_endpoint_that_fails_leaves_the_others_their_answers(vast: SimulatedVast, fault: Reply) -> None:
    vast.faults.always(INSTANCES, fault)
    report = probe(vast)
    assert report.exit_code in {1, 3}
    assert verdicts(report)["total_spend"] == verdicts(report)["volume_price"] == "holds"


def test_a_page_that_fails_leaves_what_came_before_it_and_is_told(vast: SimulatedVast) -> None:
    failing = Reply(500)
    vast.faults.always(INSTANCES, lambda params, due: failing if "after_token" in params else due)
    report = probe(vast)
    assert (wrong(report), report.exit_code) == ({}, 1)
    assert verdicts(report)["cpu_util_percent"] == "holds"
    assert "| `GET /api/v1/instances/` | instances | 1 reply; HTTP 500, without an error word |" in as_table(
        report
    )


def test_a_429_without_retry_after_is_told_where_one_comes_by_itself(vast: SimulatedVast) -> None:
    vast.faults.always(USER, Reply(429, b"API requests too frequent"))
    assert "retry_after" in wrong(probe(vast))
    vast.faults.always(USER, Reply(429, b"too frequent", {"retry-after": "0"}))
    assert verdicts(probe(vast))["retry_after"] == "holds"


def test_a_wrong_key_is_an_answer_to_nothing(vast: SimulatedVast) -> None:
    wrong_key = json_reply({"error": "auth_error", "msg": "Invalid user key"}, 404)
    for collector in COLLECTORS:
        for endpoint in collector.endpoints:
            vast.faults.always(endpoint.path, wrong_key)
    report = probe(vast)
    assert (wrong(report), report.exit_code) == ({}, 1)
    assert set(verdicts(report).values()) == {"can't be told"}


# Time and pace


def test_requests_keep_the_documented_pace() -> None:
    with SimulatedVast(size=60, clock=ManualClock()) as vast:
        Prober(with_all_collectors(loaded_for(vast)), redact=Redactor()).run()
    for endpoint, least in ((INSTANCES, 1.0), (VOLUMES, 5.5)):
        times = starts(vast.requests, endpoint)
        assert len(times) > 1
        assert all(later - earlier >= least for earlier, later in pairwise(times))
    assert {one.status for one in vast.requests} == {200}


def test_a_large_fleet_is_not_walked_to_its_end() -> None:
    with SimulatedVast(size=500, clock=ManualClock(), thresholds=False) as vast:
        report = probe(vast)
    walked = [one for one in vast.requests if one.endpoint == INSTANCES and one.params["limit"] == "25"]
    assert len(walked) == MOST_ANSWERS
    assert (wrong(report), report.exit_code) == ({}, 0)


def test_it_ends_in_time_and_says_what_there_was_no_time_for(vast: SimulatedVast) -> None:
    started = time.monotonic()
    report = probe(vast, seconds=1.5, pace=1.0, sleep=time.sleep)
    assert time.monotonic() - started < 10
    found = {result.assumption.name: result.finding for result in report.results}
    assert found["unknown_columns"] == ("not asked: no time", "can't be told")
    assert found["total_instances"].came == "50 rows of 60, not walked to the end"
    assert (wrong(report), report.exit_code) == ({}, 0)


# What is shown


def test_no_text_number_or_address_of_a_reply_is_shown(vast: SimulatedVast, private: re.Pattern[str]) -> None:
    assert not private.findall(shown(probe(vast)))


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 500])
def test_no_text_of_an_error_is_shown_but_its_word(status: int, vast: SimulatedVast) -> None:
    said = {"success": False, "error": f"bad {vast.key}", "msg": f"{vast.key} of ada@example.com is no key"}
    for endpoint in (INSTANCES, USER, VOLUMES):
        vast.faults.always(endpoint, json_reply(said, status))
    report = probe(vast)
    assert "another error word" in shown(report)
    assert not re.search(f"{vast.key}|ada|example.com|bad ", shown(report))


# The command


@pytest.fixture
def config(vast: SimulatedVast, write: Write) -> str:
    accounts = [
        {"name": "secretive", "api_key_file": str(write(vast.key, "key"))},
        {"name": "other", "api_key": "a-key-of-nobody"},
    ]
    api = {"url": vast.url, "run_url": vast.run_url, "min_interval": "0s"}
    return str(write({"api": api, "accounts": accounts}))


def test_the_command_prints_a_table_and_nothing_else(run: Run, config: str) -> None:
    done = run("probe", "--config.file", config)
    assert done.returncode in {0, 3}  # the simulated clock stands in another year
    assert done.stderr == "probing Vast.ai for up to a minute\n"
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"vastai-exporter \S+, \d{4}-\d\d-\d\d", lines[0])
    assert "| `GET /api/v1/instances/` | instances | 3 replies |" in lines
    assert re.fullmatch(r"\d+ hold, \d+ do not hold, \d+ can't be told\.", lines[-1])
    assert "secretive" not in done.stdout


def test_json_says_the_same(run: Run, config: str) -> None:
    table = run("probe", "--config.file", config)
    done = run("probe", "--config.file", config, "--json")
    content = json.loads(done.stdout)
    assert content["exit_code"] == done.returncode == table.returncode
    for each in content["assumptions"]:
        assert f"| {each['verdict']} | `{each['name']}`: {each['sentence']} |" in table.stdout


def test_another_account_can_be_named(run: Run, config: str) -> None:
    done = run("probe", "--config.file", config, "--account", "other")
    assert done.returncode == 1
    assert "HTTP 404, auth_error" in done.stdout
    assert "other |" not in done.stdout


def test_an_account_that_is_not_there_is_a_wrong_use(run: Run, config: str) -> None:
    done = run("probe", "--config.file", config, "--account", "nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--account: no such account; expected one of secretive, other\n"


def test_the_vendors_variables_are_enough(
    start: Start, vast: SimulatedVast, eventually: Callable[[Callable[[], object]], None]
) -> None:
    program = start("probe", VAST_API_KEY=vast.key, VAST_URL=vast.url)
    eventually(lambda: vast.requests)
    # Its end would be waited for at the pace that it keeps.
    program.end(signal.SIGINT)
    assert vast.requests[0].status == 200


def test_a_signal_ends_it_at_once(start: Start, vast: SimulatedVast) -> None:
    vast.faults.always(INSTANCES, Reply(delay=30))
    program = start("probe", VAST_API_KEY=vast.key, VAST_URL=vast.url)
    program.line("probing Vast.ai")
    assert program.end(signal.SIGINT) == 1
    assert program.errors == "probing Vast.ai for up to a minute\n"
