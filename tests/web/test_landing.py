"""The page at /: each account at a glance, and how each collector is doing."""

from __future__ import annotations

import re
from collections import Counter
from email import message_from_string
from html.parser import HTMLParser
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.collectors import instances, notifications, serverless
from exporter.exposition.overview import Fleet, Overview
from exporter.exposition.problems import WORKER_SECONDS
from exporter.polling.loop import HUNG_AFTER
from exporter.simulator import INSTANCES, json_reply
from exporter.web import landing
from exporter.web.app import create_app
from exporter.web.server import BackgroundServer, listen
from tests.support.driven_site import SCRIPT, DrivenSite
from tests.support.pipeline import account, api, exporter, new_exporter

if TYPE_CHECKING:
    from exporter.simulator import SimulatedVast
    from tests.support.pipeline import Account, Exporter

__all__ = ["account", "api", "exporter", "new_exporter"]


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
            self.tables[-1][-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ")

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
        "Problems": "unknown",
        "Age": "",
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


def later(site: DrivenSite, seconds: float) -> None:
    """Let time pass by both clocks, and run every collector after it."""
    for clock in (site.clock, site.wall_clock):
        clock.advance(seconds)
    site.run_all()


def test_the_landing_page_counts_problems_in_the_rules_words_the_worst_first(
    site: DrivenSite, vast: SimulatedVast
) -> None:
    now = site.wall_clock()
    numbers = vast.fleet.ids()
    for number in numbers:
        vast.fleet.set_status(number, "running")
        vast.fleet.override(number, cur_state="running", next_state="running", end_date=now + 1e7)
    later(site, 0)
    assert accounts(site)["research"]["Problems"] == "none"
    for number in numbers[:3]:
        vast.fleet.set_status(number, "exited")
    vast.fleet.override(numbers[2], cur_state="stopped")
    vast.fleet.set_status(numbers[3], "loading", intended="stopped")
    vast.fleet.set_status(numbers[4], "loading")
    vast.fleet.override(numbers[5], end_date=now + 600)
    vast.fleet.override(numbers[6], end_date=now + 50_000)
    vast.fleet.override(numbers[7], actual_status="offline")
    later(site, 0)
    soon = "1 host offline, 2 contract ending, 1 queued for GPU"
    assert accounts(site)["research"]["Problems"] == soon
    later(site, 900)
    page = site.get("/").text
    assert (
        '<span class="bad">1 contract ended</span>, <span class="bad">1 host offline</span>,'
        ' <span class="bad">2 down</span>, <span class="bad">1 boot failed</span>,'
        ' <span class="wait">1 stuck starting</span>, <span class="wait">1 contract ending</span>,'
        ' <span class="wait">1 queued for GPU</span>'
    ) in page


def problems_after(seconds: float, exporter: Exporter, account: Account) -> list[str]:
    """Let time pass, read that instance 7 has exited, and return what is wrong in the account."""
    for clock in (exporter.clock, exporter.wall_clock):
        clock.advance(seconds)
    found = {"id": 7, "actual_status": "exited", "intended_status": "running"}
    account.walk([found])
    (overview,) = exporter.exposition.overviews(exporter.wall_clock())
    assert overview.fleet is not None
    return [problem.reason for problem, _ in overview.fleet.problems]


def test_workers_that_stop_are_no_problem_for_as_long_as_the_rules_remember_them(
    exporter: Exporter, account: Account
) -> None:
    account.collect(serverless.COLLECTOR, {"results": [{"id": 1}]}, {"workers": [{"id": 7}]})
    assert problems_after(0, exporter, account) == []
    assert problems_after(serverless.COLLECTOR.stale_after + WORKER_SECONDS, exporter, account) == []
    assert problems_after(1, exporter, account) == ["down"]


def test_a_host_that_the_inbox_says_is_offline_is_a_problem_while_the_inbox_is_read(
    exporter: Exporter, account: Account
) -> None:
    note = {"event_id": "a", "notif_type": "instance_offline", "created_at": exporter.wall_clock() - 60}
    told = {"notifications": [note | {"associated_id": {"instance_id": 7}}]}
    account.collect(notifications.COLLECTOR, told)
    assert problems_after(0, exporter, account) == ["offline"]
    assert problems_after(notifications.COLLECTOR.stale_after + 1, exporter, account) == ["down"]


def test_the_landing_page_tells_the_age_of_the_oldest_reading_of_an_account(site: DrivenSite) -> None:
    site.run_all()
    assert accounts(site)["research"]["Age"] == "<0.1s"
    site.clock.advance(45)
    site.loops[0].run_once()
    site.clock.advance(10)
    assert accounts(site)["research"]["Age"] == "55s"
    assert accounts(site)[SCRIPT]["Age"] == ""


def test_the_landing_page_says_which_permission_a_key_may_lack(site: DrivenSite, vast: SimulatedVast) -> None:
    vast.faults.always(INSTANCES, json_reply({"error": "forbidden", "msg": "not for this key"}, 403))
    site.run_all()
    error = table(site)["research", "instances"]["Last error"]
    assert error.endswith(f"the key may lack the permission {instances.COLLECTOR.permission}")


def test_a_reserved_instance_does_not_shorten_the_runway() -> None:
    def runway(credit: float | None, burn: float) -> float | None:
        fleet = Fleet(burn=5.0, unreserved_burn=burn, statuses={}, problems=())
        return Overview(account="a", credit=credit, fleet=fleet, age=0.0).runway

    assert runway(10.0, 2.0) == 5.0
    assert runway(-1.0, 2.0) == 0.0
    assert runway(None, 2.0) is None
    assert runway(10.0, 0.0) is None


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


def test_a_status_that_looks_like_html_is_text(site: DrivenSite, vast: SimulatedVast) -> None:
    vast.fleet.override(vast.fleet.ids()[0], actual_status="<img src=x>")
    site.run_all()
    assert "img" not in Tables(site.get("/").text).tags
    assert "1 <img src=x>" in accounts(site)["research"]["Instances"]


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


def test_the_landing_page_links_to_the_dashboards_if_their_address_is_configured(
    site: DrivenSite,
) -> None:
    app = create_app(
        site,
        telemetry_path="/metrics",
        wall_clock=site.wall_clock,
        dashboards_url='https://grafana.test/d/fleet?orgId=1&b="c"',
    )
    with BackgroundServer(app, listen("127.0.0.1", 0)) as server:
        page = requests.get(server.url, timeout=30).text
    link = '<a href="https://grafana.test/d/fleet?orgId=1&amp;b=&quot;c&quot;">Dashboards</a>'
    assert link in page
    assert "Dashboards" not in site.get("/").text


def test_each_column_of_the_landing_page_has_a_heading_that_says_so(site: DrivenSite) -> None:
    page = site.get("/").text
    headings = re.findall("<th(?: [^>]*)?>", page)
    assert headings
    assert all('scope="col"' in heading for heading in headings)
    assert re.findall("<(h[1-6])>", page) == ["h1", "h2", "h2"]


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
