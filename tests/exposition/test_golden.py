"""Whole expositions, byte for byte; `pytest tests/exposition --update-golden` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exporter.collectors import COLLECTORS
from exporter.collectors import account as account_collector
from exporter.collectors import instances as instances_collector
from exporter.vast.client import Attempt
from tests.support import things

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

    Row = dict[str, Any]
    Scenario = Callable[[Exporter, Row], None]

GOLDEN = Path(__file__).parent / "golden"
CREDIT = {
    "credit": 25.5,
    "balance": 0,
    "balance_threshold": 10,
    "balance_threshold_enabled": True,
    "autobill_threshold": 5,
    "autobill_amount": 20,
}
ODD_TEXTS = [
    'say "hi" \\ C:\\new\\',
    "two\nlines",
    "\\n is no newline",
    "a\tb\rc\x0bd\x0ce\x1cf\x1dg\x1eh\x85i\u2028j\u2029k",
    "\0",
    "before\0behind",
    "".join(map(chr, range(1, 32))) + "\x7f",
    "\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5} \N{SNOWMAN}",
    "half a pair: \ud83d",
    "\udc4d is the other half",
    "\ufeff\ufffe\uffff\U0010ffff",
    '",instance_id="5"} 1',
    "# EOF",
    '} 1 # {trace="x"} 2',
    "\N{ARABIC LETTER SAD}\u202e\u200b",
    5000 * "x",
    5000 * "\N{LATIN SMALL LETTER E WITH ACUTE}",
    " blanks around ",
    "_other",
]
#: Those of them that are too long, as they are shown.
SHOWN = {
    5000 * "x": 497 * "x" + "\N{HORIZONTAL ELLIPSIS}",
    5000 * "\N{LATIN SMALL LETTER E WITH ACUTE}": 248 * "\N{LATIN SMALL LETTER E WITH ACUTE}"
    + "\N{HORIZONTAL ELLIPSIS}",
}


def started(exporter: Exporter, name: str) -> tuple[Account, Callable[[], None]]:
    """Add an account as the poller does; the second value notes that its runs have succeeded."""
    instances = exporter.self_metrics.add(name, instances_collector.COLLECTOR, 60.0)
    credit = exporter.self_metrics.add(name, account_collector.COLLECTOR, 300.0)
    exporter.self_metrics.reloaded(at=exporter.wall_clock())

    def succeed() -> None:
        at = exporter.wall_clock() + 2
        found = sum(len(part.items) for part in account.stores["instances"].snapshot.parts)
        instances.succeeded(at=at, duration=1.75, pages=1, objects=found)
        credit.succeeded(at=at, duration=0.25, pages=1, objects=1)
        exporter.self_metrics.request(name, Attempt(instances_collector.ENDPOINT, "200", 0.5))
        exporter.self_metrics.request(name, Attempt(account_collector.ENDPOINT, "200", 0.25))

    account = exporter.account(name)
    return account, succeed


def before_the_first_run(exporter: Exporter, _: Row) -> None:
    started(exporter, "default")


def empty_account(exporter: Exporter, _: Row) -> None:
    account, succeed = started(exporter, "default")
    account.walk([])
    account.ask({"credit": 0, "balance": 0})
    succeed()


def two_instances(exporter: Exporter, whole_row: Row) -> None:
    account, succeed = started(exporter, "default")
    account.walk([{"id": 1001, **whole_row}, {"id": 1002, "gpu_util": -1, "disk_usage": -1, "dph_total": []}])
    account.ask(CREDIT)
    succeed()


def odd_text(exporter: Exporter, _: Row) -> None:
    account, succeed = started(exporter, "default")
    account.walk(
        [
            {"id": number, "label": text, "template_name": text, "gpu_name": text, "actual_status": text}
            for number, text in enumerate(ODD_TEXTS, start=1)
        ]
    )
    account.ask({})
    succeed()


def one_account_fails(exporter: Exporter, whole_row: Row) -> None:
    research, succeed = started(exporter, "research")
    research.walk([{"id": 1001, **whole_row}])
    research.ask(CREDIT)
    succeed()
    runs = exporter.self_metrics.add("studio", instances_collector.COLLECTOR, 60.0)
    for _ in range(3):
        runs.failed("auth", "HTTP 404 (auth_error: Invalid user key)")
        exporter.self_metrics.request("studio", Attempt(instances_collector.ENDPOINT, "404", 0.125))
    exporter.account("studio")


def counters(exporter: Exporter, _: Row) -> None:
    """Objects with counters, ranges and sentinels, which are not the API's."""
    account, succeed = started(exporter, "default")
    exporter.self_metrics.add("default", things.COLLECTOR, 60.0)
    account.walk([{"id": 1001, "num_gpus": 1}])
    rows = [
        {
            "name": "first",
            "size": 0.5,
            "starts": 3,
            "charge": 50,
            "paints": 1.5,
            "colour": "red",
            "broken": 0,
        },
        {"name": "second", "size": -1, "starts": "x", "charge": -1, "paints": 7},
        {"name": 'say "hi"\n\\', "starts": 10**10, "charge": 101, "paints": 0, "colour": "two\nlines"},
        {"name": 7},
    ]
    account.collect(things.COLLECTOR, {"things": rows})
    succeed()


def stale(exporter: Exporter, whole_row: Row) -> None:
    two_instances(exporter, whole_row)
    exporter.clock.advance(1801)


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        before_the_first_run,
        empty_account,
        two_instances,
        odd_text,
        one_account_fails,
        counters,
        stale,
    )
}
every_scenario = pytest.mark.parametrize("name", SCENARIOS)


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter(collectors=(*COLLECTORS, things.COLLECTOR))


@every_scenario
@pytest.mark.parametrize(("openmetrics", "ending"), [(False, "prom"), (True, "openmetrics")])
def test_it_is_served_as_it_is_written_down(
    exporter: Exporter,
    whole_row: Row,
    golden: Callable[[str, bytes], None],
    name: str,
    ending: str,
    *,
    openmetrics: bool,
) -> None:
    SCENARIOS[name](exporter, whole_row)
    golden(f"{name}.{ending}", exporter.scrape(openmetrics=openmetrics))


def test_every_file_has_its_scenario() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {
        "table.txt",  # test_table.py
        *("group_network.prom", "group_network.openmetrics"),  # test_groups.py
        *(f"{name}.{ending}" for name in SCENARIOS for ending in ("prom", "openmetrics")),
    }


@every_scenario
def test_the_formats_differ_in_nothing_but_the_names_of_counters_and_the_end(name: str) -> None:
    text = (GOLDEN / f"{name}.prom").read_bytes()
    other = (GOLDEN / f"{name}.openmetrics").read_bytes()
    assert re.sub(rb"(# (?:HELP|TYPE) \w+)_total ", rb"\1 ", text) + b"# EOF\n" == other


@every_scenario
def test_prometheus_client_reads_both_formats_alike(exporter: Exporter, name: str) -> None:
    text = (GOLDEN / f"{name}.prom").read_bytes()
    other = (GOLDEN / f"{name}.openmetrics").read_bytes()
    assert exporter.parsed(text) == exporter.parsed(other, openmetrics=True)


def test_odd_texts_are_read_back_as_they_were_sent(exporter: Exporter) -> None:
    for ending in ("prom", "openmetrics"):
        content = (GOLDEN / f"odd_text.{ending}").read_bytes()
        samples = exporter.parsed(content, openmetrics=ending == "openmetrics")
        infos = [dict(labels) for name, labels in samples if name == "vastai_instance_info"]
        found = {int(info["instance_id"]): info["label"] for info in infos}
        halves = re.compile("[\ud800-\udfff]")
        assert found == {
            number: halves.sub("\N{REPLACEMENT CHARACTER}", SHOWN.get(text, text))
            for number, text in enumerate(ODD_TEXTS, start=1)
        }


@pytest.mark.peers
@every_scenario
def test_promtool_has_nothing_against_it(promtool: Callable[[bytes], str], name: str) -> None:
    assert promtool((GOLDEN / f"{name}.prom").read_bytes()) == ""


@pytest.mark.peers
def test_promtool_has_nothing_against_the_metrics_of_the_process(
    exporter: Exporter, whole_row: Row, promtool: Callable[[bytes], str]
) -> None:
    two_instances(exporter, whole_row)
    assert promtool(b"".join(exporter.exposition.body(openmetrics=False, gzip=False).pieces)) == ""
