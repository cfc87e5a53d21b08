"""The bytes of /metrics: rendered once for each change, the same in every format and encoding."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collectors import COLLECTORS, instances
from exporter.exposition.body import PIECE, Exposition, Rendering, Source
from exporter.exposition.self_metrics import SELF_METRICS, SelfMetrics
from exporter.exposition.table import METRICS
from exporter.metrics.lines import header
from exporter.metrics.rows import Metric
from exporter.vast.client import Attempt
from tests.support import things

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.collectors.base import Summarise
    from tests.support.pipeline import Account, Exporter

OPENMETRICS = pytest.mark.parametrize("openmetrics", [False, True])


class Counting:
    """Counts how often the fleet's numbers are made; waits for `may_go_on` in each."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        summarise = instances.COLLECTOR.summarise
        assert summarise is not None
        self._summarise: Summarise = summarise

    def __call__(self, *arguments: Any) -> Mapping[str, bytes]:  # noqa: ANN401 - passed on as they come
        self.calls += 1
        self.may_go_on.wait(60)
        return self._summarise(*arguments)


@pytest.fixture
def renderings(exporter: Exporter, account: Account) -> Counting:
    """Counts the renderings of `account`, the only source then."""
    counting = Counting()
    collector = replace(instances.COLLECTOR, summarise=counting)
    exporter.sources[:] = [Source(account.name, collector, account.stores["instances"], 300.0)]
    return counting


def families(text: bytes) -> list[str]:
    return [line.split()[2] for line in text.decode().splitlines() if line.startswith("# HELP")]


def cut_at(cut: int, rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return rows as two pages, or as one where the other would be empty."""
    return [page for page in (rows[:cut], rows[cut:]) if page] or [[]]


def test_what_has_not_changed_is_not_rendered_again(
    exporter: Exporter, account: Account, renderings: Counting
) -> None:
    account.walk([{"id": 1}])
    for openmetrics in (False, True, False):
        for compressed in (False, True):
            exporter.scrape(openmetrics=openmetrics, compressed=compressed)
    exporter.clock.advance(299)
    exporter.scrape()
    assert renderings.calls == 1


def test_a_change_is_served_at_the_next_scrape(
    exporter: Exporter, account: Account, renderings: Counting
) -> None:
    for number, compressed in enumerate((False, True, True, False), start=1):
        account.walk([{"id": 1, "num_gpus": number}])
        line = f'vastai_instance_num_gpus{{account="research",instance_id="1"}} {number}\n'
        assert line.encode() in exporter.scrape(compressed=compressed)
        assert renderings.calls == number


def test_scrapes_that_come_together_share_one_rendering(
    exporter: Exporter, account: Account, renderings: Counting
) -> None:
    account.walk([{"id": 1}])
    renderings.may_go_on.clear()
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(exporter.scrape())) for _ in range(4)]
    for thread in threads:
        thread.start()
    renderings.may_go_on.set()
    for thread in threads:
        thread.join()
    assert renderings.calls == 1
    assert len(bodies) == 4
    assert len(set(bodies)) == 1


def test_the_exporters_own_counters_are_new_in_every_scrape(exporter: Exporter, account: Account) -> None:
    exporter.self_metrics.add(account.name, instances.COLLECTOR, 60.0)
    account.walk([{"id": 1}])
    labels = 'account="research",path="/api/v1/instances/",code="200"'
    for count in range(3):
        line = f"vastai_api_requests_total{{{labels}}} {count}\n".encode()
        assert line in exporter.scrape(compressed=True)
        assert line in exporter.scrape(openmetrics=True)
        exporter.self_metrics.request(account.name, Attempt(instances.ENDPOINT, "200", 0.3))


def test_what_has_grown_too_old_leaves_when_it_has(exporter: Exporter, account: Account) -> None:
    account.walk([{"id": 1}])
    account.ask({"credit": 25})
    exporter.clock.advance(300)
    assert b"vastai_instance" in exporter.scrape(compressed=True)
    exporter.clock.advance(0.001)
    assert b"vastai_instance" not in exporter.scrape(compressed=True)
    assert b"vastai_account_credit_dollars" in exporter.scrape()
    exporter.clock.advance(1500)
    assert b"vastai_account_credit_dollars" not in exporter.scrape()


def test_of_a_walk_that_fails_the_pages_grow_old_each_by_itself(exporter: Exporter, account: Account) -> None:
    account.walk([{"id": 1}], [{"id": 2}])
    exporter.clock.advance(200)
    account.broken_walk([{"id": 1}])
    assert b'instance_id="2"' in exporter.scrape()
    exporter.clock.advance(150)
    shown = exporter.scrape()
    assert b'instance_id="1"' in shown
    assert b'instance_id="2"' not in shown
    assert b'vastai_instances{account="research",status="provisioning"} 1\n' in shown
    exporter.clock.advance(151)
    assert b"vastai_instance" not in exporter.scrape()


def test_what_a_long_walk_found_is_shown_for_twice_its_time(exporter: Exporter, account: Account) -> None:
    walk = account.pages([{"id": 1}], [{"id": 2}])
    next(walk)
    exporter.clock.advance(440)
    list(walk)
    exporter.clock.advance(440)
    assert b'instance_id="1"' in exporter.scrape()
    exporter.clock.advance(0.001)
    shown = exporter.scrape()
    assert b'instance_id="1"' not in shown
    assert b'instance_id="2"' in shown


def test_what_was_too_old_comes_back_with_the_next_walk(exporter: Exporter, account: Account) -> None:
    account.walk([{"id": 1}])
    exporter.clock.advance(301)
    before = exporter.scrape()
    account.walk([{"id": 1}])
    assert b"vastai_instance_info" not in before
    assert b"vastai_instance_info" in exporter.scrape()


def test_one_account_growing_old_leaves_the_other(exporter: Exporter) -> None:
    first, second = exporter.account("research"), exporter.account("studio")
    first.walk([{"id": 1}])
    exporter.clock.advance(200)
    second.walk([{"id": 2}])
    exporter.clock.advance(150)
    shown = exporter.scrape()
    assert b'vastai_instance_info{account="research"' not in shown
    assert b'vastai_instance_info{account="studio"' in shown


@OPENMETRICS
def test_families_stand_once_each_gauges_and_counters_in_the_order_of_the_table_and_then_the_exporters_own(
    new_exporter: Callable[..., Exporter], whole_row: dict[str, Any], *, openmetrics: bool
) -> None:
    on_by_default = tuple(collector for collector in COLLECTORS if collector.enabled)
    exporter = new_exporter(collectors=(*on_by_default, things.COLLECTOR))
    for name in ("research", "studio"):
        exporter.self_metrics.add(name, instances.COLLECTOR, 60.0).succeeded(
            at=1.0, duration=1.0, pages=1, objects=1
        )
        undocumented = replace(things.COLLECTOR, undocumented=True)
        exporter.self_metrics.add(name, undocumented, 60.0).failed("network", "words")
        account = exporter.account(name)
        account.walk([{"id": 1, **whole_row, "actual_status": "loading"}], [{"id": 2, **whole_row}])
        account.walk([{"id": 1, **whole_row}], [{"id": 2, **whole_row}])
        account.ask(
            {
                "credit": 25,
                "balance": 0,
                "total_spend": -7,
                "balance_threshold": 10,
                "balance_threshold_enabled": True,
                "autobill_threshold": 5,
                "autobill_amount": 20,
            }
        )
        thing = {"size": 1, "starts": 1, "charge": 1, "paints": 1, "colour": "red", "broken": False}
        account.collect(things.COLLECTOR, {"things": [{"name": "a", **thing}, {"name": "b", **thing}]})
    exporter.self_metrics.request("research", Attempt(instances.ENDPOINT, "200", 0.3))
    shown = exporter.scrape(openmetrics=openmetrics)
    table = [metric for collector in exporter.collectors for metric in collector.metrics]
    table.sort(key=lambda metric: metric.type == "counter")
    headers = [header(metric, openmetrics=openmetrics) for metric in (*table, *SELF_METRICS)]
    assert families(shown) == [head.decode().split()[2] for head in headers]
    assert all(head in shown for head in headers)


@OPENMETRICS
def test_only_openmetrics_says_where_it_ends(exporter: Exporter, *, openmetrics: bool) -> None:
    shown = exporter.scrape(openmetrics=openmetrics)
    assert shown.endswith(b"\n# EOF\n") == openmetrics
    assert shown.count(b"# EOF") == int(openmetrics)


@OPENMETRICS
@pytest.mark.parametrize("compressed", [False, True])
def test_the_process_has_metrics_of_its_own(
    exporter: Exporter, account: Account, *, openmetrics: bool, compressed: bool
) -> None:
    account.walk([{"id": 1}])
    body = exporter.exposition.body(openmetrics=openmetrics, gzip=compressed)
    content = b"".join(body.pieces)
    shown = exporter.parsed(gzip.decompress(content) if compressed else content, openmetrics=openmetrics)
    names = {name for name, _ in shown}
    assert {"python_info", "process_resident_memory_bytes", "vastai_instance_info"} <= names


def decompressed_as_one_member(content: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=31)
    text = inflate.decompress(content)
    assert inflate.eof
    assert inflate.unused_data == b""
    return text


@OPENMETRICS
@pytest.mark.parametrize("size", [None, 0, 1, 40])
def test_the_compressed_body_is_one_gzip_member_of_the_same_bytes(
    exporter: Exporter, *, size: int | None, openmetrics: bool
) -> None:
    account = exporter.account()
    if size is not None:
        rows = [{"id": number, "label": f"{number} " * 3000} for number in range(1, size + 1)]
        account.walk(*cut_at(20, rows))
    plain = exporter.exposition.body(openmetrics=openmetrics, gzip=False, process=False)
    body = exporter.exposition.body(openmetrics=openmetrics, gzip=True, process=False)
    content = b"".join(body.pieces)
    assert body.length == len(content)
    text = b"".join(plain.pieces)
    assert plain.length == len(text)
    assert gzip.decompress(content) == text
    assert decompressed_as_one_member(content) == text


@pytest.mark.parametrize("values", [1, 3, 1000, 10**9])
def test_no_byte_of_a_large_body_is_lost_however_well_it_compresses(values: int) -> None:
    numbers = Random(values)
    price = Metric(name="price", help="A price.")
    made = [b'price{instance="%d"} %d\n' % (at // 5, numbers.randrange(values)) for at in range(30_000)]
    for some in range(1000, len(made) + 1, 1000):
        rendering = Rendering([price], {"price": made[:some]}, (), 0.0)
        text = b"".join((header(price), *made[:some], b"the end\n"))
        assert b"".join(rendering.plain(b"the end\n", openmetrics=False).pieces) == text
        assert gzip.decompress(b"".join(rendering.gzip(b"the end\n", openmetrics=False).pieces)) == text


def test_a_large_body_comes_in_pieces_that_a_slow_reader_can_hold(
    exporter: Exporter, account: Account
) -> None:
    rows = [{"id": number, "label": f"{number} " * 5000} for number in range(1, 101)]
    account.walk(*(rows[at : at + 25] for at in range(0, 100, 25)))
    body = exporter.exposition.body(openmetrics=False, gzip=False, process=False)
    sizes = list(map(len, body.pieces))
    assert body.length == sum(sizes) > 4 * PIECE
    assert max(sizes) <= PIECE


def test_without_any_account_only_the_exporters_own_metrics_are_there() -> None:
    exposition = Exposition(list, SelfMetrics(), clock=lambda: 0.0, most_labels=200, metrics=METRICS)
    content = b"".join(exposition.body(openmetrics=True, gzip=True, process=False).pieces)
    text = decompressed_as_one_member(content)
    assert families(text)[0].startswith("vastai_exporter_")
    assert "vastai_exporter_build_info" in families(text)


#: None of them is too long.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=125) | st.sampled_from(
    ["", "a\nb", '"', "\\", "\\n", '\\"', "}", '",x="', "# EOF", "\r\n", "\0", "_other", 250 * "é"]
)
rows = st.fixed_dictionaries(
    {"label": texts, "template_name": texts, "gpu_name": texts, "actual_status": texts},
    optional={"num_gpus": st.integers(0, 64) | st.floats(0, 1024), "dph_total": st.floats(0, 1e5)},
)


@OPENMETRICS
@settings(max_examples=60)
@given(fleet=st.lists(rows, max_size=6), cut=st.integers(0, 6))
def test_both_formats_read_back_as_what_was_put_in(
    new_exporter: Callable[..., Exporter],
    fleet: list[dict[str, Any]],
    cut: int,
    *,
    openmetrics: bool,
) -> None:
    exporter = new_exporter()
    account = exporter.account('re"se\\ar\nch')
    numbered = [{"id": number, **row} for number, row in enumerate(fleet, start=1)]
    account.walk(*cut_at(cut, numbered))
    by_label: Counter[tuple[str, ...]] = Counter(
        (row["label"], row["actual_status"].strip() or "provisioning") for row in numbered
    )
    expected: dict[str, dict[tuple[str, ...], float]] = {
        "vastai_instance_num_gpus": {
            (str(row["id"]),): row["num_gpus"] for row in numbered if "num_gpus" in row
        },
        "vastai_instance_dph_total_dollars_per_hour": {
            (str(row["id"]),): row["dph_total"] for row in numbered if "dph_total" in row
        },
        "vastai_instance_info": {
            (str(row["id"]), row["label"], row["gpu_name"], row["template_name"]): 1.0 for row in numbered
        },
        "vastai_label_instances": {pair: float(count) for pair, count in by_label.items()},
    }
    wanted = {
        "vastai_instance_info": ("instance_id", "label", "gpu_name", "template"),
        "vastai_label_instances": ("label", "status"),
    }
    found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in expected}
    for (name, labels), value in exporter.samples(openmetrics=openmetrics).items():
        if name in found:
            by_name = dict(labels)
            assert by_name["account"] == account.name
            found[name][tuple(by_name[label] for label in wanted.get(name, ("instance_id",)))] = value
    assert found == expected


@settings(max_examples=40)
@given(fleet=st.lists(rows, max_size=6))
def test_every_encoding_and_format_tells_the_same(
    new_exporter: Callable[..., Exporter], fleet: list[dict[str, Any]]
) -> None:
    exporter = new_exporter()
    exporter.account().walk([{"id": number, **row} for number, row in enumerate(fleet, start=1)])
    for openmetrics in (False, True):
        assert exporter.scrape(openmetrics=openmetrics, compressed=True) == exporter.scrape(
            openmetrics=openmetrics
        )
    assert exporter.samples(openmetrics=True) == exporter.samples()
