"""Counters of the API's objects: named as each format wants it, in every encoding."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.collectors import COLLECTORS
from exporter.exposition.body import PIECE, Segment
from exporter.metrics.snapshot import Snapshot
from tests.support import things

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter

TABLE = (*COLLECTORS, things.COLLECTOR)
ROWS: list[dict[str, Any]] = [
    {"name": "a", "size": 0.5, "starts": 3, "charge": 50, "paints": 1.5, "colour": 'deep "red"'},
    {"name": "b", "starts": 0, "broken": True},
    {"name": 'say "hi"\n', "size": 2, "paints": 7, "colour": "\u2028"},
]
COUNTERS = ("vastai_things_seen", "vastai_thing_starts", "vastai_thing_paints")
GAUGES = (
    "vastai_thing_size_bytes",
    "vastai_thing_charge_ratio",
    "vastai_thing_broken",
    "vastai_thing_since_timestamp_seconds",
)
every_way = pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
both_formats = pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter(collectors=TABLE)


@pytest.fixture
def account(exporter: Exporter) -> Account:
    """An account with some things."""
    account = exporter.account()
    account.collect(things.COLLECTOR, {"things": ROWS})
    return account


def types(text: bytes) -> dict[str, str]:
    """Return the type of each family, in order; none may be there twice."""
    found = [line.split()[2:] for line in text.decode().split("\n") if line.startswith("# TYPE")]
    assert len({name for name, _ in found}) == len(found)
    return {name: type_ for name, type_ in found if name.startswith("vastai_thing")}


@every_way
@pytest.mark.usefixtures("account")
def test_in_the_text_format_a_counter_has_the_name_of_its_samples(
    exporter: Exporter, *, compressed: bool
) -> None:
    text = exporter.scrape(compressed=compressed)
    assert (
        b"# HELP vastai_thing_starts_total Starts (API field starts).\n"
        b"# TYPE vastai_thing_starts_total counter\n"
        b'vastai_thing_starts_total{account="research",thing="a"} 3\n'
        b'vastai_thing_starts_total{account="research",thing="b"} 0\n'
    ) in text
    assert types(text) == dict.fromkeys(GAUGES, "gauge") | {f"{name}_total": "counter" for name in COUNTERS}


@every_way
@pytest.mark.usefixtures("account")
def test_in_openmetrics_the_family_of_a_counter_is_named_without_its_ending(
    exporter: Exporter, *, compressed: bool
) -> None:
    text = exporter.scrape(openmetrics=True, compressed=compressed)
    assert (
        b"# HELP vastai_thing_starts Starts (API field starts).\n"
        b"# TYPE vastai_thing_starts counter\n"
        b'vastai_thing_starts_total{account="research",thing="a"} 3\n'
        b'vastai_thing_starts_total{account="research",thing="b"} 0\n'
    ) in text
    assert types(text) == dict.fromkeys(GAUGES, "gauge") | dict.fromkeys(COUNTERS, "counter")


@both_formats
@pytest.mark.usefixtures("account")
def test_counters_stand_behind_the_gauges_each_in_the_order_of_the_table(
    exporter: Exporter, *, openmetrics: bool
) -> None:
    names = [name.removesuffix("_total") for name in types(exporter.scrape(openmetrics=openmetrics))]
    assert names == [*GAUGES, *COUNTERS]


@both_formats
@every_way
@pytest.mark.usefixtures("account")
def test_prometheus_client_reads_counters_as_counters(
    exporter: Exporter, *, openmetrics: bool, compressed: bool
) -> None:
    text = exporter.scrape(openmetrics=openmetrics, compressed=compressed).decode()
    parse = parse_openmetrics if openmetrics else parse_text
    found = {
        (sample.labels["thing"], sample.labels.get("colour")): (family.type, sample.name, sample.value)
        for family in parse(text)
        for sample in family.samples
        if family.name.startswith(("vastai_thing_paints", "vastai_thing_starts"))
    }
    starts, paints = ("counter", "vastai_thing_starts_total"), ("counter", "vastai_thing_paints_total")
    assert found == {
        ("a", None): (*starts, 3),
        ("b", None): (*starts, 0),
        ("a", 'deep "red"'): (*paints, 1.5),
        ('say "hi"\n', "\u2028"): (*paints, 7),
    }


@pytest.mark.peers
@pytest.mark.usefixtures("account")
def test_promtool_has_nothing_against_counters(exporter: Exporter, promtool: Callable[[bytes], str]) -> None:
    assert promtool(exporter.scrape()) == ""
    assert promtool(exporter.scrape(compressed=True)) == ""


@both_formats
def test_a_family_of_several_accounts_has_one_header(exporter: Exporter, *, openmetrics: bool) -> None:
    for name in ("research", "studio"):
        exporter.account(name).collect(things.collector(things.PAGES), *in_pages(ROWS))
    text = exporter.scrape(openmetrics=openmetrics)
    assert text.count(b"# TYPE vastai_thing_starts") == 1
    assert text.count(b"\nvastai_thing_starts_total{") == 2 * 2


def in_pages(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    chunks = [rows[at : at + 2] for at in range(0, len(rows), 2)] or [[]]
    tokens = [*(str(number) for number in range(1, len(chunks))), None]
    return [{"things": chunk, "next_token": token} for chunk, token in zip(chunks, tokens, strict=True)]


@both_formats
def test_where_there_is_no_counter_there_is_no_header_of_one(
    exporter: Exporter, *, openmetrics: bool
) -> None:
    exporter.account().walk([{"id": 1}])
    assert types(exporter.scrape(openmetrics=openmetrics)) == {}


def test_counters_may_be_all_there_is(exporter: Exporter, account: Account) -> None:
    account.stores["things"].snapshot = Snapshot()
    before = exporter.scrape()
    account.collect(things.COLLECTOR, {"things": []})  # none of them is left; how many there are is counted
    assert types(before) == {}
    for openmetrics, name in ((False, "vastai_things_seen_total"), (True, "vastai_things_seen")):
        for compressed in (False, True):
            text = exporter.scrape(openmetrics=openmetrics, compressed=compressed)
            assert types(text) == {name: "counter"}


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(['"', "\\", "\n", ""])
THINGS = st.fixed_dictionaries(
    {"name": NAMES, "colour": NAMES},
    optional={
        "size": st.floats(0, 1e30),
        "starts": st.integers(0, 10**9),
        "paints": st.floats(-1e9, 1e9),
        "broken": st.booleans(),
    },
)


@settings(max_examples=60)
@given(rows=st.lists(THINGS, max_size=6, unique_by=lambda row: str(row["name"])))
def test_every_format_and_encoding_tells_the_same_of_gauges_and_counters(
    new_exporter: Callable[..., Exporter], rows: list[dict[str, Any]]
) -> None:
    exporter = new_exporter(collectors=TABLE)
    rows.sort(key=lambda row: str(row["name"]))
    exporter.account().collect(things.collector(things.PAGES), *in_pages(rows))
    for openmetrics in (False, True):
        plain = exporter.scrape(openmetrics=openmetrics)
        assert exporter.scrape(openmetrics=openmetrics, compressed=True) == plain
    found = exporter.samples()
    assert exporter.samples(openmetrics=True) == found
    for field, metric in (("starts", "vastai_thing_starts_total"), ("paints", "vastai_thing_paints_total")):
        shown = {dict(labels)["thing"]: value for (name, labels), value in found.items() if name == metric}
        assert shown == {row["name"]: row[field] for row in rows if row.get(field, -1) >= 0}


# Segments, of which a body is put together


@given(st.lists(st.lists(st.binary(max_size=50), max_size=4), max_size=4), st.integers(1, PIECE))
def test_segments_that_follow_each_other_are_one_text(texts: list[list[bytes]], repeated: int) -> None:
    checksum, segments = 0, []
    for chunks in texts:
        segments.append(Segment(chunk * (1 + repeated // 50) for chunk in chunks))
        checksum = isal_zlib.crc32_combine(checksum, segments[-1].checksum, segments[-1].length)
    whole = b"".join(chunk * (1 + repeated // 50) for chunks in texts for chunk in chunks)
    assert b"".join(piece for segment in segments for piece in segment.text()) == whole
    assert sum(segment.length for segment in segments) == len(whole)
    assert checksum == zlib.crc32(whole)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    deflated = b"".join(piece for segment in segments for piece in segment.deflated)
    assert inflate.decompress(deflated) == whole
