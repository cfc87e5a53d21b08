"""Can I trust what I see: is it fresh, is it complete, and how is the exporter itself."""

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
    as_bars,
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

#: The name of the scrape job, in all that ships.
JOB = 'job="vastai-exporter"'
INSTANCES = f'{ACCOUNT},collector="instances"'
INTERVAL = f"max by (account, collector) (vastai_collector_interval_seconds{{{ACCOUNT}}})"
DURATION = f"max by (account, collector) (vastai_collector_duration_seconds{{{ACCOUNT}}})"
OLDEST = f"max by (account, collector) ({AGE}{{{ACCOUNT}}})"
#: Rows found over rows that the API says there are.
FOUND = (
    f"sum by (account) (max by (account, status) (vastai_instances{{{ACCOUNT}}})) / on (account) (max by"
    f" (account) (vastai_api_instances{{{ACCOUNT}}}) > 0)"
)
STALE = threshold("stale_intervals")
#: By then Prometheus has evaluated every rule that it has loaded.
PATIENCE = "5m"
#: The first that holds.
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
#: The colours of HTTP statuses and of what never became one.
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
#: What is wrong with the key, with the pace, with the way there, and with the API or the exporter.
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
NOT_SCRAPED = "No data: is the exporter running, and scraped by a job called vastai-exporter?"

LANE = "{{account}} {{collector}}"
#: More would write their names over each other.
LANES = 16
LATENCY = f"sum by (le) (rate(vastai_api_request_duration_seconds_bucket{{{JOB}}}[$__rate_interval]))"


def build() -> Board:
    """Return the dashboard."""
    board = Board(
        "vastai-exporter",
        "Vast.ai / Exporter",
        "Whether what the other dashboards show can be trusted.",
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
            "Down: Prometheus gets nothing from the exporter. Rules missing: Prometheus does not load"
            " deploy/prometheus/recording.rules.yml, without which the dashboards stay empty. Stale: a"
            f" collector has found nothing new for {STALE:.0f} intervals ({why('stale_intervals')}) or has"
            " never succeeded; old data leave, so what is shown is not wrong, but missing. Failing: the"
            " last run of a collector failed, and what is shown is that of the run before. Incomplete: the"
            " API promised more instances than it sent. The rows below say which account, and why.",
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
        "Since instances and credit were last read, the longest of all accounts. Instances are read every"
        " minute, credit every five; a run that fails is repeated after at most four intervals. Collectors"
        " that run more seldom are in Data age.",
        Query(f'max({AGE}{{{ACCOUNT},collector=~"instances|account"}})'),
        unit=SECONDS,
        decimals=0,
        steps=((None, GOOD), (400, WATCH), (1200, CRITICAL)),
        no_value="Never read",
    )


def _complete() -> Panel:
    return stat(
        "Complete",
        "Of those that the API says there are, in the account where most are missing. Below"
        f" {threshold('incomplete_ratio'):.0%} something is wrong: {why('incomplete_ratio')}.",
        Query(f"min({FOUND})"),
        unit=RATIO,
        decimals=1,
        steps=((None, CRITICAL), (0.95, WARNING), (threshold("incomplete_ratio"), GOOD)),
        no_value="None there",
    )


def _failed_runs() -> Panel:
    return stat(
        "Failed runs",
        "In the chosen time range. A few are harmless: what was known stays, and the next run comes soon.",
        Query(f"round(sum(increase(vastai_collector_failures_total{{{ACCOUNT}}}[$__range])))"),
        unit=COUNT,
        decimals=0,
        steps=((None, GOOD), (1, WATCH)),
    )


def _unreadable() -> Panel:
    return stat(
        "Unreadable",
        "In the chosen time range. Any at all means that the API sends something new: an update of the"
        " exporter may be needed, and the values are missing until then.",
        Query(f"round(sum(increase(vastai_unreadable_values_total{{{ACCOUNT}}}[$__range])))"),
        unit=COUNT,
        decimals=0,
        steps=((None, GOOD), (1, WARNING)),
    )


def _configuration() -> Panel:
    return stat(
        "Configuration",
        "Whether the configuration was accepted when it was last read. Where it was not, the one before is"
        " in force; the log says what is wrong with it.",
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
        f"A lane for each collector of each account; of more than {LANES}, those that failed come first.",
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
        "How each is doing, the oldest first. A walk reads 25 instances a page.",
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
            "Since each collector's last success, the ten oldest. A healthy one is a low saw: up to its"
            " interval, and back.",
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
                "Above 100 % the next run follows at once, and data come less often than configured: the"
                " API allows one page of 25 instances a second. The ten longest.",
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
                "How many fewer it sent than it said there are, the ten worst accounts. 0 is good; for a"
                " moment it may be more, or less than nothing, where instances come and go in mid-walk.",
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
    return as_bars(
        lines(
            "Failed runs by reason",
            "auth: the key was refused. rate_limited: somebody else uses the same key. server_error,"
            " timeout, network: Vast.ai, or the way there; it passes. bad_reply, client_error, incomplete:"
            " the API has changed. internal: a fault of the exporter; see its log.",
            Query(
                f"sum by (reason) ({events('vastai_collector_failures_total', 'collector', 'reason')}) > 0",
                "{{reason}}",
            ),
            colors=REASONS,
            unit=COUNT,
            decimals=0,
            no_value="No run failed in the chosen time range",
        )
    )


def _who_failed_and_why() -> Panel:
    return rows(
        "Failures by account",
        "In the chosen time range, the most frequent first.",
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
        no_value="No run failed in the chosen time range",
    )


def _which_values_could_not_be_read() -> Panel:
    return rows(
        "Unreadable values by field",
        "By field of the API, in the chosen time range; id counts instances that were left out altogether.",
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
        no_value="All values could be read in the chosen time range",
    )


def _requests(board: Board) -> None:
    board.row(8, (12, _requests_a_minute_by_answer()), (12, _how_long_the_api_takes_to_answer()))


def _requests_a_minute_by_answer() -> Panel:
    return stacked(
        lines(
            "Requests by code",
            "Every attempt. 200 is good; 429 asks for a slower pace, which the exporter keeps; 401 and 404"
            " mostly mean that the key was refused; error is a request without an answer.",
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
        "From the start of a request to the last byte of its reply, of all accounts together. A walk is at"
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
            "Resident memory of each exporter. About 150 MB for 10,000 instances.",
            Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),
            unit=BYTES,
            no_value=NOT_SCRAPED,
        )
    )


def _processor() -> Panel:
    return without_values(
        lines(
            "CPU",
            "Of one core.",
            Query(f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"),
            unit=RATIO,
            no_value=NOT_SCRAPED,
        )
    )


def _how_long_a_scrape_takes() -> Panel:
    return lines(
        "Scrape duration",
        "As Prometheus measures it. A scrape never waits for the API.",
        Query(f"scrape_duration_seconds{{{JOB}}}", "{{instance}}"),
        unit=SECONDS,
        colors={"localhost:10622": NEUTRAL},
        no_value=NOT_SCRAPED,
    )


def _what_runs() -> Panel:
    return rows(
        "Version",
        "Each exporter that is scraped, and what it is.",
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
