"""The page at /: each account at a glance, and how each collector is doing."""

from __future__ import annotations

import re
from collections import Counter
from email import message_from_string
from html.parser import HTMLParser
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from exporter.exposition.overview import Fleet, Overview
from exporter.polling.loop import HUNG_AFTER
from exporter.simulator import INSTANCES, json_reply
from exporter.web import landing
from tests.support.driven_site import SCRIPT, DrivenSite

if TYPE_CHECKING:
    from exporter.simulator import SimulatedVast


@pytest.fixture
def site(driven_site: DrivenSite) -> DrivenSite:
    return driven_site


class Tables(HTMLParser):
    """The texts of a page's cells: table by table, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: set[str] = set()
        self.in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.tables[-1][-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in {"td", "th"}


def table(site: DrivenSite) -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows of the landing page by account and collector."""
    _, (head, *rows) = Tables(site.get("/").text).tables
    return {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}


def accounts(site: DrivenSite) -> dict[str, dict[str, str]]:
    """Return the rows of the landing page by account."""
    (head, *rows), _ = Tables(site.get("/").text).tables
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_the_landing_page_tells_what_each_account_costs_has_and_misses(
    site: DrivenSite, vast: SimulatedVast
) -> None:
    unknown = {
        "Current cost": "unknown",
        "Credit": "unknown",
        "Credit lasts": "",
        "Instances": "unknown",
        "Down": "",
    }
    assert accounts(site) == {name: {"Account": name} | unknown for name in ("research", SCRIPT)}
    vast.fleet.set_credit(100.0)
    site.run_all()
    costs = samples(site.get("/metrics").text, "vastai_instance_burn_dollars_per_hour")
    shown = accounts(site)
    assert shown["research"]["Current cost"] == f"${sum(costs):,.2f}/h"
    assert shown["research"]["Credit"] == "$100.00"
    assert shown["research"]["Credit lasts"].endswith(" h")
    counts = Counter(vast.fleet.instance(number).shown_status for number in vast.fleet.ids())
    assert f"{counts['running']} running" in shown["research"]["Instances"]
    assert shown[SCRIPT] == {"Account": SCRIPT} | unknown
    site.clock.advance(3600)
    assert accounts(site)["research"] == {"Account": "research"} | unknown


def test_the_landing_page_counts_what_should_run_and_does_not(site: DrivenSite, vast: SimulatedVast) -> None:
    site.run_all()
    before = accounts(site)["research"]["Down"]
    lost = next(n for n in vast.fleet.ids() if vast.fleet.instance(n).status == "running")
    vast.fleet.set_status(lost, "exited")
    site.run_all()
    after = accounts(site)["research"]["Down"]
    assert "exited" in after
    assert after != before


def test_an_instance_that_starts_is_not_down(site: DrivenSite, vast: SimulatedVast) -> None:
    for number in vast.fleet.ids():
        vast.fleet.set_status(number, "loading")
    site.run_all()
    assert accounts(site)["research"]["Instances"] == "60 loading"
    assert accounts(site)["research"]["Down"] == ""


def test_a_reserved_instance_does_not_shorten_the_runway() -> None:
    fleet = Fleet(burn=5.0, unreserved_burn=2.0, statuses={}, down={})
    assert Overview(account="a", credit=10.0, fleet=fleet).runway == 5.0
    assert Overview(account="a", credit=-1.0, fleet=fleet).runway == 0.0
    assert Overview(account="a", credit=None, fleet=fleet).runway is None
    idle = Fleet(burn=0.0, unreserved_burn=0.0, statuses={}, down={})
    assert Overview(account="a", credit=10.0, fleet=idle).runway is None


def samples(text: str, metric: str) -> list[float]:
    """Return the values of a metric on a page in the text format."""
    return [float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{metric}{{")]


def test_the_landing_page_tells_how_each_collector_of_each_account_is_doing(site: DrivenSite) -> None:
    assert {row["State"] for row in table(site).values()} == {"waiting for first run"}
    assert {row["Last success"] for row in table(site).values()} == {"never"}
    site.run_all()
    site.loops[3].run_once()
    for clock in (site.clock, site.wall_clock):
        clock.advance(45)
    rows = table(site)
    assert rows["research", "instances"] == {
        "Account": "research",
        "Collector": "instances",
        "State": "ok",
        "Last success": "45s ago",
        "Duration": "<0.1s",
        "Interval": "1m30s",
        "Pages": "3",
        "Objects": "60",
        "Last error": "",
    }
    assert rows[SCRIPT, "account"]["State"] == "failing (2 in a row)"
    assert rows[SCRIPT, "account"]["Last success"] == "never"
    assert "HTTP 404" in rows[SCRIPT, "account"]["Last error"]
    site.clock.advance(HUNG_AFTER + 5 - 45)
    assert table(site)["research", "instances"]["State"] == "stalled, 5 s overdue"


def test_the_landing_page_shows_texts_and_never_obeys_them(site: DrivenSite, vast: SimulatedVast) -> None:
    evil = '"><img src=x onerror=alert(1)>&amp;'
    vast.faults.always(INSTANCES, json_reply({"error": "bad", "msg": evil}, 400))
    site.run_all()
    page = site.get("/").text
    assert not {"script", "img"} & Tables(page).tags
    rows = table(site)
    assert rows["research", "instances"]["Last error"] == f"HTTP 400 (bad: {evil})"
    assert (SCRIPT, "instances") in rows


def test_the_landing_page_is_locked_down_and_links_to_the_rest(site: DrivenSite) -> None:
    answer = site.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    links = [link for link in re.findall('href="([^"]*)"', answer.text) if link != landing.documentation()]
    assert links == ["/metrics", "/-/healthy", "/-/ready"]
    for link in links:
        assert site.get(link).status_code in {200, 503}


def test_the_landing_page_links_to_the_documentation_that_the_package_names(
    site: DrivenSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "documentation", lambda: 'https://docs.test/?a&b="c"')
    assert '<a href="https://docs.test/?a&amp;b=&quot;c&quot;">Documentation</a>' in site.get("/").text


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        ("", ""),
        ("Project-URL: Source, https://a.test\n", ""),
        (
            "Project-URL: Source, https://a.test\nProject-URL: Documentation, https://b.test/x\n",
            "https://b.test/x",
        ),
    ],
)
def test_the_documentation_is_where_the_metadata_of_the_package_says(
    urls: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "metadata", lambda _: message_from_string(urls))
    assert landing.documentation.__wrapped__() == found
