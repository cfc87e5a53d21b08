"""`/metrics?group=`: parts of the page, over HTTP and as Prometheus scrapes them."""

from __future__ import annotations

import http.client
import json
import re
import time
from gzip import decompress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import requests
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.instances import GROUPS
from exporter.exposition.body import OPENMETRICS, TEXT
from exporter.exposition.table import METRICS
from exporter.web.app import asked_groups
from tests.support.program import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.driven_site import DrivenSite
    from tests.support.program import Start, Write

pytestmark = pytest.mark.private_parts

PAGE = Path(__file__).parents[2] / "docs/scaling.md"
GROUP_OF = {metric.name: metric.group for metric in METRICS}


@pytest.fixture
def site(driven_site: DrivenSite) -> DrivenSite:
    driven_site.run_all()
    return driven_site


def groups_on(text: str) -> set[str]:
    """Return the groups of the metrics on a page, as its headers name them."""
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    return {GROUP_OF.get(name) or GROUP_OF.get(f"{name}_total") or "process" for name in names}


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_who_asks_for_groups_gets_these_in_every_format_and_encoding(site: DrivenSite, accept: str) -> None:
    plain = site.get("/metrics?group=status&group=money", Accept=accept)
    assert plain.headers["Content-Type"] == accept
    assert groups_on(plain.text) == {"status", "money"}
    assert plain.text.endswith("# EOF\n") == (accept == OPENMETRICS)
    compressed = site.get("/metrics?group=money&group=status", Accept=accept, Accept_Encoding="gzip")
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.content == plain.content


def test_without_a_group_all_are_there(site: DrivenSite) -> None:
    for path in ("/metrics", "/metrics?", "/metrics?name[]=up&groups=status"):
        assert groups_on(site.get(path).text) == {*GROUPS, "account", "exporter", "process"}


def test_a_group_may_be_asked_for_twice_and_in_other_letters_of_a_url(site: DrivenSite) -> None:
    once = site.get("/metrics?group=money").content
    for query in ("group=money&group=money", "x=1&group=money", "%67roup=mone%79"):
        assert site.get(f"/metrics?{query}").content == once


@pytest.mark.parametrize("group", ["statuses", "", "Status", "status,money", "\N{SNOWMAN}\n", "x" * 1000])
def test_an_unknown_group_is_refused_with_those_that_are_allowed(site: DrivenSite, group: str) -> None:
    answer = site.get(f"/metrics?group=status&group={quote(group)}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    said, _, allowed = answer.text.removesuffix("\n").partition("; allowed: ")
    assert said == f"unknown group {group[:60]!r}"
    assert set(allowed.split(", ")) == set(GROUP_OF.values())


def test_the_exporters_own_metrics_are_a_group_with_those_of_the_process(site: DrivenSite) -> None:
    assert groups_on(site.get("/metrics?group=exporter").text) == {"exporter", "process"}


def test_a_group_of_what_is_switched_off_is_an_empty_page(site: DrivenSite) -> None:
    answer = site.get("/metrics?group=market")
    assert (answer.status_code, answer.content) == (200, b"")
    compressed = site.get("/metrics?group=market", Accept=OPENMETRICS, Accept_Encoding="gzip")
    assert compressed.text == "# EOF\n"


def test_head_says_how_long_a_part_is(site: DrivenSite) -> None:
    connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=PATIENCE)
    connection.request("HEAD", "/metrics?group=use", headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    length = int(answer.headers["Content-Length"])
    connection.request("GET", "/metrics?group=use", headers={"Accept-Encoding": "gzip"})
    content = connection.getresponse().read()
    connection.close()
    assert len(content) == length
    assert groups_on(decompress(content).decode()) == {"use"}


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"group", b"=", b"&", b"%", b"a", b";", b"+"])))
def test_no_query_is_too_odd_to_be_read(query: bytes | list[bytes]) -> None:
    found = asked_groups(query if isinstance(query, bytes) else b"".join(query))
    assert found is None or found


def test_groups_are_for_users_only_where_there_are_users(
    settings: dict[str, Any],
    start: Start,
    write: Write,
    hashed: Callable[[str], str],
) -> None:
    web = write({"basic_auth_users": {"alice": hashed("secret")}}, "web.yml")
    program = start(
        "run", "--config.file", str(write(settings | {"web": {**settings["web"], "config_file": str(web)}}))
    )
    url = program.url()
    for group, allowed in (("status", 200), ("nothing", 400)):
        page = f"{url}/metrics?group={group}"
        assert requests.get(page, timeout=PATIENCE).status_code == 401
        assert requests.get(page, auth=("alice", "secret"), timeout=PATIENCE).status_code == allowed


# As Prometheus scrapes them


def answer(url: str, query: str) -> list[dict[str, str]]:
    with urlopen(f"{url}/api/v1/query?query={quote(query)}", timeout=10) as response:  # noqa: S310 - loopback
        return [found["metric"] for found in json.load(response)["data"]["result"]]


def wait_for(url: str, query: str) -> list[dict[str, str]]:
    until = time.monotonic() + PATIENCE
    while not (found := answer(url, query)):
        assert time.monotonic() < until, query
        time.sleep(0.2)
    return found


@pytest.mark.peers
def test_prometheus_gets_the_groups_that_its_job_names(
    site: DrivenSite, prometheus: Callable[..., str]
) -> None:
    target = site.url.removeprefix("http://")
    url = prometheus(target, params={"group": ["status"]})
    found = wait_for(url, '{__name__=~"vastai_.+"}')
    assert {GROUP_OF[series["__name__"]] for series in found} == {"status"}
    assert answer(url, "up == 1")


@pytest.mark.peers
def test_the_documented_jobs_make_the_series_of_one_job_and_each_its_own_up(
    site: DrivenSite, begin_prometheus: Callable[[Mapping[str, object]], str]
) -> None:
    (block,) = re.findall(r"(?ms)^```yaml\n(scrape_configs:.*?)^```$", PAGE.read_text())
    config = yaml.safe_load(block)
    target = site.url.removeprefix("http://")
    asked: list[str] = []
    for job in config["scrape_configs"]:
        asked += job["params"]["group"]
        assert job["scrape_interval"] in {"30s", "4m"}
        job |= {"static_configs": [{"targets": [target]}], "scrape_interval": "1s"}
    assert len(asked) == len(set(asked))
    assert set(asked) == set(GROUP_OF.values())
    url = begin_prometheus(config)
    for group in (*GROUPS, "account", "exporter"):
        names = "|".join(name for name, its in GROUP_OF.items() if its == group)
        found = wait_for(url, f'{{__name__=~"{names}"}}')
        assert {(series["job"], series["instance"]) for series in found} == {("vastai-exporter", target)}
    ups = {series["job"] for series in wait_for(url, "up == 1")}
    assert ups == {job["job_name"] for job in config["scrape_configs"]}
    assert len(ups) == 2
