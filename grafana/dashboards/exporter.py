"""The dashboard Exporter: whether the data is fresh and complete, and how the exporter is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import Board, alerts
from grafana.lib.palette import CRITICAL, FILLS, GOOD, GOOD_TILE, NEUTRAL, OTHER, WARNING, WASTE, WATCH
from grafana.lib.panels import (
    BYTES,
    COUNT,
    RATIO,
    SECONDS,
    Query,
    as_events,
    filled,
    limited,
    lines,
    stacked,
    stat,
    timeline,
    without_values,
)
from grafana.lib.promql import ACCOUNT, AGE, events, stale, steadily
from grafana.lib.tables import Column, rows
from grafana.lib.thresholds import threshold, why

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

#: The name of the scrape job in every file that ships.
JOB = 'job="vastai-exporter"'
INSTANCES = f'{ACCOUNT},collector="instances"'
INTERVAL = f"max by (account, collector) (vastai_collector_interval_seconds{{{ACCOUNT}}})"
DURATION = f"max by (account, collector) (vastai_collector_duration_seconds{{{ACCOUNT}}})"
OLDEST = f"max by (account, collector) ({AGE}{{{ACCOUNT}}})"
#: Found rows divided by the number that the API reports.
FOUND = (
    f"sum by (account) (max by (account, status) (vastai_instances{{{ACCOUNT}}})) / on (account) (max by"
    f" (account) (vastai_api_instances{{{ACCOUNT}}}) > 0)"
)
STALE = threshold("stale_intervals")
#: After this time, Prometheus has evaluated every loaded rule.
PATIENCE = "5m"
#: The first one that applies.
DOWN, NO_RULES, BLIND, FAILING, PARTIAL, TRUST = 5, 4, 3, 2, 1, 0
LAST = "vastai_collector_last_success_timestamp_seconds"
VERDICT = f"""\
{DOWN} * absent(up{{{JOB}}} == 1)
or {NO_RULES} * (absent({AGE}) and on () group({LAST} offset {PATIENCE} > 0))
or {BLIND} * group({stale(ACCOUNT)})
or {FAILING} * group(vastai_collector_success{{{ACCOUNT}}} == 0)
or {PARTIAL} * group({FOUND} < {threshold("incomplete_ratio")})
or {TRUST} * group(vastai_collector_success{{{ACCOUNT}}})"""
BUILD_INFO = f"vastai_exporter_build_info{{{JOB}}}"
BUILD = "version, revision, python_version"
#: Colours of HTTP statuses, and of requests without one.
CODES = {
    "403": CRITICAL,
    "502": CRITICAL,
    "503": CRITICAL,
    "200": GOOD,
    "429": WARNING,
    "error": CRITICAL,
    "500": CRITICAL,
    "401": CRITICAL,
    "404": CRITICAL,
}
#: Faults of the key, the pace, the network, and the API or the exporter.
REASONS = {
    "auth": CRITICAL,
    "rate_limited": WARNING,
    "server_error": WATCH,
    "timeout": NEUTRAL,
    "network": "light-blue",
    "bad_reply": WASTE,
    "client_error": "light-purple",
    "incomplete": OTHER,
    "internal": "#808080",
}
NOT_SCRAPED = "No data. Check that the exporter runs and that a job named vastai-exporter scrapes it."

LANE = "{{account}} {{collector}}"
#: With more lanes, their names would overlap.
LANES = 16
LATENCY = f"sum by (le) (rate(vastai_api_request_duration_seconds_bucket{{{JOB}}}[$__rate_interval]))"


def build() -> Board:
    """Return the dashboard."""
    board = Board(
        "vastai-exporter",
        "Vast.ai / Exporter",
        "Whether you can trust what the other dashboards show.",
        variables=("account",),
    )
    board.annotate(*alerts())
    _answers(board)
    board.section("Freshness")
    _freshness(board)
    board.section("Failures")
    _failures(board)
    board.section("API")
    _requests(board)
    board.section("Process")
    _process(board)
    return board


def _answers(board: Board) -> None:
    board.row(
        5,
        (4, _can_i_trust_it()),
        (4, _oldest_data()),
        (4, _complete()),
        (4, _failed_runs()),
        (4, _unreadable()),
        (4, _configuration()),
    )


def _can_i_trust_it() -> Panel:
    return filled(
        stat(
            "Data health",
            "Exporter down: Prometheus gets nothing from the exporter. Rules missing: Prometheus does not"
            " load deploy/prometheus/recording.rules.yml, so the dashboards stay empty. Stale: a collector"
            f" has read nothing new for {STALE:.0f} intervals ({why('stale_intervals')}) or has never"
            " succeeded. The exporter drops old data, so data is missing rather than wrong. A run failed: a"
            " collector's last run failed, and the dashboards show the run before it. Incomplete: the API"
            " reported more instances than it sent. The rows below show which account, and why.",
            Query(VERDICT),
            unit=COUNT,
            mappings={
                str(TRUST): ("Good", GOOD_TILE),
                str(PARTIAL): ("Incomplete", FILLS[WARNING]),
                str(FAILING): ("A run failed", FILLS[WARNING]),
                str(BLIND): ("Stale", FILLS[CRITICAL]),
                str(NO_RULES): ("Rules missing", FILLS[CRITICAL]),
                str(DOWN): ("Exporter down", FILLS[CRITICAL]),
            },
        )
    )


def _oldest_data() -> Panel:
    return stat(
        "Oldest data",
        "Time since instances and credit were last read, the longest of all accounts. The exporter reads"
        " instances every minute and credit every five minutes. It repeats a failed run after at most four"
        " intervals. Data age shows the collectors that run less often.",
        Query(f'max({AGE}{{{ACCOUNT},collector=~"instances|account"}})'),
        unit=SECONDS,
        decimals=0,
        steps=((None, GOOD), (400, WATCH), (1200, CRITICAL)),
        no_value="Not known",
    )


def _complete() -> Panel:
    return stat(
        "Complete",
        "Instances found, as a share of those that the API reports, for the account that misses most. Below"
        f" {threshold('incomplete_ratio'):.0%} something is wrong ({why('incomplete_ratio')}).",
        Query(f"min({FOUND})"),
        unit=RATIO,
        decimals=1,
        steps=((None, CRITICAL), (0.95, WARNING), (threshold("incomplete_ratio"), GOOD)),
        no_value="Not known",
    )


def _failed_runs() -> Panel:
    return stat(
        "Failed runs",
        "In the selected time range. A few are harmless: the old data stays, and the next run follows soon.",
        Query(f"round(sum(increase(vastai_collector_failures_total{{{ACCOUNT}}}[$__range])))"),
        unit=COUNT,
        decimals=0,
        steps=((None, GOOD), (1, WATCH)),
    )


def _unreadable() -> Panel:
    return stat(
        "Unreadable",
        "In the selected time range. Any unreadable value means that the API has changed. These values are"
        " missing, and you may need a newer exporter.",
        Query(f"round(sum(increase(vastai_unreadable_values_total{{{ACCOUNT}}}[$__range])))"),
        unit=COUNT,
        decimals=0,
        steps=((None, GOOD), (1, WARNING)),
    )


def _configuration() -> Panel:
    return stat(
        "Configuration",
        "Whether the exporter accepted its configuration when it last read it. If not, it keeps the"
        " previous one, and its log says what is wrong.",
        Query("min(vastai_exporter_config_last_reload_successful)"),
        unit=COUNT,
        mappings={"1": ("Good", GOOD), "0": ("Refused", CRITICAL)},
    )


def _freshness(board: Board) -> None:
    board.row(8, (8, _how_old_are_the_data()), (8, _duration()), (8, _missing())).row(
        10, (12, _was_the_last_run_a_success()), (12, _collectors())
    )


def _was_the_last_run_a_success() -> Panel:
    return timeline(
        "Collector runs",
        f"One lane per collector and account. With more than {LANES}, those that failed come first.",
        Query(
            steadily(
                "bottomk", LANES, f"min by (account, collector) (vastai_collector_success{{{ACCOUNT}}})"
            ),
            LANE,
        ),
        mappings={"1": ("success", GOOD), "0": ("failed", CRITICAL)},
    )


def _collectors() -> Panel:
    return rows(
        "Collectors",
        "State of each collector, oldest data first. A walk reads 25 instances per page.",
        Query(OLDEST),
        Query(f"min by (account, collector) (vastai_collector_success{{{ACCOUNT}}})"),
        Query(DURATION),
        Query(f"max by (account, collector) (vastai_collector_objects{{{ACCOUNT}}})"),
        columns=(
            Column(field="account", title="account"),
            Column(field="collector", title="collector", width=115),
            Column(
                field="Value #B",
                title="last run",
                unit=COUNT,
                mappings={"1": ("success", GOOD), "0": ("failed", CRITICAL)},
                width=80,
            ),
            Column(field="Value #A", title="age", unit=SECONDS, decimals=0, width=65),
            Column(field="Value #C", title="took", unit=SECONDS, decimals=1, width=80),
            Column(field="Value #D", title="objects", unit=COUNT, decimals=0, width=70),
        ),
        worst_first="Value #A",
        no_value=NOT_SCRAPED,
    )


def _how_old_are_the_data() -> Panel:
    return without_values(
        lines(
            "Data age",
            "Time since each collector's last success, the ten oldest. A healthy collector draws a low"
            " sawtooth: up to its interval, and back.",
            Query(steadily("topk", 10, OLDEST), LANE),
            unit=SECONDS,
            no_value=NOT_SCRAPED,
        )
    )


def _duration() -> Panel:
    return without_values(
        limited(
            lines(
                "Run duration, of its interval",
                "The ten longest. Above 100 % the next run follows at once, and data arrives less often"
                " than configured. The API allows one page of 25 instances per second.",
                Query(steadily("topk", 10, f"{DURATION} / on (account, collector) {INTERVAL}"), LANE),
                unit=RATIO,
                no_value=NOT_SCRAPED,
            ),
            steps=((None, "transparent"), (1, WARNING)),
            reach=1,
        )
    )


def _missing() -> Panel:
    return without_values(
        limited(
            lines(
                "Instances not sent by the API",
                "How many fewer instances the API sent than it reported, for the ten worst accounts. 0 is"
                " good. The number may briefly be above or below 0 if instances start or end during a walk.",
                Query(
                    steadily(
                        "topk",
                        10,
                        f"max by (account) (vastai_api_instances{{{ACCOUNT}}}) - on (account) sum by"
                        f" (account) (max by (account, status) (vastai_instances{{{ACCOUNT}}}))",
                    ),
                    "{{account}}",
                ),
                unit=COUNT,
                decimals=0,
                least=None,
                no_value=NOT_SCRAPED,
            ),
            reach=5,
        )
    )


def _failures(board: Board) -> None:
    board.row(
        8, (8, _failed_runs_by_reason()), (8, _who_failed_and_why()), (8, _which_values_could_not_be_read())
    )


def _failed_runs_by_reason() -> Panel:
    failures = events("vastai_collector_failures_total", "collector", "reason")
    return as_events(
        lines(
            "Failed runs by reason",
            "auth: the API rejected the key. rate_limited: another client uses the same key. server_error,"
            " timeout, network: a temporary problem of Vast.ai or of the network. bad_reply, client_error,"
            " incomplete: the API has changed. internal: a bug in the exporter; see its log.",
            Query(f"sum by (reason) ({failures}) > 0", "{{reason}}"),
            colors=REASONS,
            unit=COUNT,
            decimals=0,
            no_value="No run failed in the selected time range",
        )
    )


def _who_failed_and_why() -> Panel:
    return rows(
        "Failures by account",
        "In the selected time range, most frequent first.",
        Query(
            "round(sum by (account, collector, reason)"
            f" (increase(vastai_collector_failures_total{{{ACCOUNT}}}[$__range]))) > 0"
        ),
        columns=(
            Column(field="account", title="account"),
            Column(field="collector", title="collector", least=80),
            Column(field="reason", title="reason", width=95),
            Column(field="Value", title="runs", unit=COUNT, decimals=0, width=50),
        ),
        worst_first="Value",
        no_value="No run failed in the selected time range",
    )


def _which_values_could_not_be_read() -> Panel:
    return rows(
        "Unreadable values by field",
        "By API field, in the selected time range. id counts instances that were left out completely.",
        Query(
            "round(sum by (account, field)"
            f" (increase(vastai_unreadable_values_total{{{ACCOUNT}}}[$__range]))) > 0"
        ),
        columns=(
            Column(field="field", title="field"),
            Column(field="account", title="account"),
            Column(field="Value", title="values", unit=COUNT, decimals=0, width=70),
        ),
        worst_first="Value",
        no_value="All values were readable in the selected time range",
    )


def _requests(board: Board) -> None:
    board.row(8, (12, _requests_a_minute_by_answer()), (12, _how_long_the_api_takes_to_answer()))


def _requests_a_minute_by_answer() -> Panel:
    return stacked(
        lines(
            "Requests by code",
            "Every attempt. 200: success. 429: the API asks for a slower pace, and the exporter slows down."
            " 401 and 404: usually a rejected key. error: no reply.",
            Query(
                f"60 * sum by (code) (rate(vastai_api_requests_total{{{ACCOUNT}}}[$__rate_interval]))",
                "{{code}}",
            ),
            unit="short",
            colors=CODES,
            no_value=NOT_SCRAPED,
        )
    )


def _how_long_the_api_takes_to_answer() -> Panel:
    return lines(
        "API response time",
        "From the start of a request to the last byte of its reply, over all accounts. A walk takes at"
        " least as long as its pages.",
        Query(f"histogram_quantile(0.99, {LATENCY})", "p99"),
        Query(f"histogram_quantile(0.95, {LATENCY})", "p95"),
        Query(f"histogram_quantile(0.5, {LATENCY})", "median"),
        unit=SECONDS,
        colors={"p99": WARNING, "p95": WATCH, "median": GOOD},
        no_value=NOT_SCRAPED,
    )


def _process(board: Board) -> None:
    board.row(7, (5, _memory()), (5, _processor()), (6, _how_long_a_scrape_takes()), (8, _what_runs()))


def _memory() -> Panel:
    return without_values(
        lines(
            "Memory",
            "Resident memory of each exporter. About 124 MB for 10,000 instances.",
            Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),
            unit=BYTES,
            no_value=NOT_SCRAPED,
        )
    )


def _processor() -> Panel:
    return without_values(
        lines(
            "CPU",
            "Share of one core.",
            Query(f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"),
            unit=RATIO,
            no_value=NOT_SCRAPED,
        )
    )


def _how_long_a_scrape_takes() -> Panel:
    return lines(
        "Scrape duration",
        "As measured by Prometheus. A scrape never waits for the API.",
        Query(f"scrape_duration_seconds{{{JOB}}}", "{{instance}}"),
        unit=SECONDS,
        colors={"localhost:10622": NEUTRAL},
        no_value=NOT_SCRAPED,
    )


def _what_runs() -> Panel:
    return rows(
        "Version",
        "Version and number of samples of each scraped exporter.",
        Query(BUILD_INFO),
        Query(
            f"scrape_samples_scraped{{{JOB}}} * on (job, instance) group_left (version, revision,"
            " python_version) topk by (job, instance) (1, vastai_exporter_build_info)"
        ),
        columns=(
            Column(field="instance", title="exporter"),
            Column(field="version", title="version", width=60),
            Column(field="python_version", title="Python", width=55),
            Column(field="Value #B", title="samples", unit="short", decimals=0, width=70),
        ),
        no_value=NOT_SCRAPED,
    )
