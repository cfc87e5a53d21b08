"""The dashboard Serverless: whether endpoints have workers, their limits, and their cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import Board, alerts, instance_link
from grafana.lib.palette import (
    CRITICAL,
    FILLS,
    GOOD,
    GOOD_TILE,
    OFF_TILE,
    WARNING,
    WATCH,
    WORKER_STATES,
)
from grafana.lib.panels import (
    COUNT,
    DOLLARS_PER_HOUR,
    RATIO,
    Query,
    filled,
    limited,
    lines,
    stacked,
    stat,
    without_values,
)
from grafana.lib.promql import ACCOUNT, BURN, ENDPOINT_BURN, INFO, unique
from grafana.lib.tables import Column, rows
from grafana.lib.thresholds import duration, why

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

NOTHING = "No data about serverless endpoints. The collector serverless is off by default."
COLLECTOR = f'{ACCOUNT},collector="serverless"'
READY = 'status=~"idle|running"'
READY_OR_COLD = 'status=~"idle|running|stopped"'
#: Names are not unique, and two accounts may have the same id.
ENDPOINT = "{{account}} {{endpoint_name}} {{endpoint_id}}"
#: One series for each endpoint and state, whatever the number of exporters.
WORKERS = f"max by (account, endpoint_id, status) (vastai_endpoint_workers{{{ACCOUNT}}})"


def _workers(*matchers: str) -> str:
    """Return the number of workers of each endpoint in some states."""
    selector = ",".join((ACCOUNT, *matchers))
    one = f"max by (account, endpoint_id, status) (vastai_endpoint_workers{{{selector}}})"
    return f"sum by (account, endpoint_id) ({one})"


def _one(metric: str) -> str:
    """Return a metric once for each endpoint."""
    return f"max by (account, endpoint_id) ({metric}{{{ACCOUNT}}})"


def _named(expression: str, *labels: str) -> str:
    """Return `expression` with the endpoint's name and other descriptive labels."""
    names = ", ".join(("endpoint_name", *labels))
    info = f"max by (account, endpoint_id, {names}) (vastai_endpoint_info{{{ACCOUNT}}})"
    return (
        f"({expression} * on (account, endpoint_id) group_left ({names})"
        f" topk by (account, endpoint_id) (1, {info}))"
    )


ALL_WORKERS = _workers('status!="destroying"')
FAILED = _workers('status=~"error|unavail"')
UTILISATION = (
    f"{_one('vastai_endpoint_load')} / on (account, endpoint_id) ({_one('vastai_endpoint_perf')} > 0)"
)
#: Active endpoints without a required ready worker, as in the alert.
UNSERVED = (
    f'group by (account, endpoint_id) (vastai_endpoint_info{{{ACCOUNT},state="active"}})'
    " and on (account, endpoint_id) ("
    f"{_workers(READY)} == 0 and on (account, endpoint_id) {_one('vastai_endpoint_min_load')} > 0"
    f" or {_workers(READY_OR_COLD)} == 0"
    f" and on (account, endpoint_id) {_one('vastai_endpoint_cold_workers')} > 0)"
)
#: The first one that applies.
BLIND, IS_OFF, UNREAD, NOT_SERVED, SOME_FAILED, SERVED, NONE = 6, 5, 4, 3, 2, 1, 0
VERDICT = f"""\
{BLIND} * group(absent(vastai_collector_success{{{ACCOUNT}}}))
or {IS_OFF} * group(absent(vastai_collector_success{{{COLLECTOR}}}))
or {UNREAD} * group(vastai_collector_success{{{COLLECTOR}}} == 0)
or {NOT_SERVED} * group({UNSERVED})
or {SOME_FAILED} * group({FAILED} > 0)
or {SERVED} * group(vastai_endpoint_info{{{ACCOUNT}}})
or {NONE} * group(vastai_collector_success{{{COLLECTOR}}})"""


def build() -> Board:
    """Return the dashboard."""
    board = Board(
        "vastai-serverless",
        "Vast.ai / Serverless",
        "Whether serverless endpoints have ready workers, and what they cost.",
        variables=("account",),
    )
    board.annotate(*alerts())
    board.row(
        5,
        (5, _service()),
        (5, _ready()),
        (5, _failed()),
        (5, _load_of_capacity_now()),
        (4, _cost_now()),
    )
    board.section("Workers")
    board.row(8, (12, _by_state()), (12, _load_of_capacity()))
    board.row(8, (8, _requests()), (8, _of_the_most()), (8, _cost()))
    board.section("Endpoints")
    board.row(8, (24, _endpoints())).row(9, (24, _instances()))
    return board


def _service() -> Panel:
    return filled(
        stat(
            "Service",
            "No worker: an active endpoint has no ready worker, although min_load or cold_workers requires"
            " one. Workers failed: some are in error or unavailable. Not read: the collector's last run"
            " failed, so the panels show earlier data. Collector off: the collector serverless is not"
            " enabled. Blind: Prometheus has no data from the exporter.",
            Query(VERDICT),
            unit=COUNT,
            mappings={
                str(SERVED): ("Good", GOOD_TILE),
                str(NONE): ("No endpoint", OFF_TILE),
                str(SOME_FAILED): ("Workers failed", FILLS[WARNING]),
                str(NOT_SERVED): ("No worker", FILLS[CRITICAL]),
                str(UNREAD): ("Not read", FILLS[WARNING]),
                str(IS_OFF): ("Collector off", OFF_TILE),
                str(BLIND): ("Blind", FILLS[CRITICAL]),
            },
        )
    )


def _ready() -> Panel:
    return stat(
        "Ready workers",
        "Workers of all endpoints with a loaded model that wait for requests or process them. Vast.ai calls"
        " them idle.",
        Query(f"sum({_workers(READY)})"),
        unit=COUNT,
        decimals=0,
        no_value="Nothing known",
    )


def _failed() -> Panel:
    return stat(
        "Failed workers",
        f"Workers in error or unavailable. The alert waits {duration('endpoint_failed_for')}:"
        f" {why('endpoint_failed_for')}.",
        Query(f"sum({FAILED})"),
        unit=COUNT,
        decimals=0,
        steps=((None, GOOD), (1, WARNING)),
        no_value="Nothing known",
    )


def _load_of_capacity_now() -> Panel:
    return stat(
        "Load of capacity",
        "Load that arrives per second, divided by the capacity of the ready workers, for the endpoint with"
        " the highest ratio. Above 100 %, requests wait.",
        Query(f"max({UTILISATION})"),
        unit=RATIO,
        decimals=0,
        steps=((None, GOOD), (0.9, WATCH), (1, WARNING)),
        no_value="No known ready worker",
    )


def _cost_now() -> Panel:
    return stat(
        "Cost",
        "Workers are instances, so every other sum on the dashboards already includes them.",
        Query(f"sum(max by (account, endpoint_id) ({ENDPOINT_BURN}{{{ACCOUNT}}}))"),
        unit=DOLLARS_PER_HOUR,
        decimals=2,
        no_value="Nothing known",
    )


def _by_state() -> Panel:
    return stacked(
        lines(
            "Workers by state",
            "All endpoints. Idle workers are ready. Stopped workers are a reserve with the model loaded,"
            " and cost their disk. Unlike plain instances, workers are billed while loading.",
            Query(f"sum by (status) ({WORKERS}) > 0", "{{status}}"),
            unit=COUNT,
            decimals=0,
            colors=WORKER_STATES,
            no_value=NOTHING,
        )
    )


def _load_of_capacity() -> Panel:
    return limited(
        lines(
            "Load of capacity",
            "Load that arrives per second, divided by the capacity of the ready workers, per endpoint. The"
            " autoscaler aims at target_util, which is 90 % by default. No line: no worker is ready.",
            Query(f"topk(10, {_named(UTILISATION)})", ENDPOINT),
            unit=RATIO,
            no_value=NOTHING,
        ),
        steps=((None, "transparent"), (1, WARNING)),
        reach=1,
    )


def _requests() -> Panel:
    return without_values(
        stacked(
            lines(
                "Active requests",
                "Requests in progress at each reading, by endpoint.",
                Query(
                    f"topk(10, {_named(_one('vastai_endpoint_requests_working'))})",
                    ENDPOINT,
                ),
                unit=COUNT,
                decimals=0,
                no_value=NOTHING,
            )
        )
    )


def _of_the_most() -> Panel:
    most = f"({_one('vastai_endpoint_max_workers')} > 0)"
    return without_values(
        limited(
            lines(
                "Workers of max_workers",
                "Includes stopped workers. At 100 % with none stopped, the endpoint cannot grow. The alert"
                f" waits {duration('endpoint_limit_for')}: {why('endpoint_limit_for')}.",
                Query(
                    f"topk(10, {_named(f'{ALL_WORKERS} / on (account, endpoint_id) {most}')})",
                    ENDPOINT,
                ),
                unit=RATIO,
                no_value=NOTHING,
            ),
            steps=((None, "transparent"), (1, WARNING)),
            reach=1,
        )
    )


def _cost() -> Panel:
    return without_values(
        stacked(
            lines(
                "Cost by endpoint",
                "An estimate by endpoint, without traffic. It is a part of the burn of all instances.",
                Query(
                    f"topk(10, {_named(f'max by (account, endpoint_id) ({ENDPOINT_BURN}{{{ACCOUNT}}})')})",
                    ENDPOINT,
                ),
                unit=DOLLARS_PER_HOUR,
                no_value=NOTHING,
            )
        )
    )


def _endpoints() -> Panel:
    return rows(
        "Endpoints",
        "All endpoints. The column workers excludes those that are being destroyed.",
        Query(_named(_workers(READY), "state")),
        Query(_named(ALL_WORKERS, "state")),
        Query(_named(UTILISATION, "state")),
        Query(_named(f"max by (account, endpoint_id) ({ENDPOINT_BURN}{{{ACCOUNT}}})", "state")),
        columns=(
            Column(field="endpoint_name", title="endpoint"),
            Column(field="account", title="account", width=100),
            Column(field="endpoint_id", title="id", width=80),
            Column(field="state", title="state", width=90),
            Column(field="Value #A", title="ready", unit=COUNT, decimals=0, width=60),
            Column(field="Value #B", title="workers", unit=COUNT, decimals=0, width=70),
            Column(field="Value #C", title="load", unit=RATIO, decimals=0, width=65),
            Column(field="Value #D", title="cost", unit=DOLLARS_PER_HOUR, decimals=2, width=90),
        ),
        worst_first="Value #D",
        no_value=NOTHING,
    )


def _instances() -> Panel:
    workers = unique(f"max by (account, endpoint_id, instance_id) (vastai_endpoint_instance{{{ACCOUNT}}})")
    burn = f"max by (account, instance_id) ({BURN}{{{ACCOUNT}}})"
    info = unique(f"{INFO}{{{ACCOUNT}}}")
    return rows(
        "Workers as instances",
        "Each worker is an instance with the same id. The dashboards Fleet and Cost include it too.",
        Query(
            f"({workers} * on (account, instance_id) group_left () {burn})"
            f" * on (account, instance_id) group_left (gpu_name) {info}"
        ),
        columns=(
            Column(field="endpoint_id", title="endpoint", width=80),
            Column(field="account", title="account"),
            Column(field="instance_id", title="instance", width=90, link=instance_link()),
            Column(field="gpu_name", title="GPU"),
            Column(field="Value", title="cost", unit=DOLLARS_PER_HOUR, decimals=3, width=90),
        ),
        worst_first="Value",
        no_value=NOTHING,
    )
