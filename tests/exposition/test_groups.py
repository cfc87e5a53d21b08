"""Parts of /metrics: some groups of metrics, in every format and encoding."""

from __future__ import annotations

import gzip
import tracemalloc
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import COLLECTORS, instances
from exporter.commands.configuration import CONFIG
from exporter.config.models import GroupedSettings
from exporter.exposition.body import Exposition
from exporter.exposition.table import GROUPS, METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.support.pipeline import Account, Exporter

OPENMETRICS = pytest.mark.parametrize("openmetrics", [False, True])
OF = {metric.name: metric.group for metric in METRICS}
EVERY_SET = [chosen for size in range(len(GROUPS) + 1) for chosen in combinations(GROUPS, size)]
END = b"# EOF\n"


@pytest.fixture
def fleet(exporter: Exporter, account: Account, whole_row: dict[str, Any]) -> Exporter:
    """Something of many groups, counters too."""
    for number in range(1, 3):
        exporter.self_metrics.add(f"{number}", instances.COLLECTOR, 60.0)
    account.walk([{"id": 1, **whole_row}], [{"id": 2, **whole_row, "actual_status": "loading"}])
    account.walk([{"id": 1, **whole_row}], [{"id": 2, **whole_row}, {"id": 3}])
    account.ask({"credit": 25, "balance": 0})
    return exporter


def part(
    exporter: Exporter,
    groups: Collection[str] | None = None,
    *,
    openmetrics: bool = False,
    compressed: bool = False,
) -> bytes:
    body = exporter.exposition.body(openmetrics=openmetrics, gzip=compressed, process=False, groups=groups)
    content = b"".join(body.pieces)
    assert body.length == len(content)
    return gzip.decompress(content) if compressed else content


def families(text: bytes) -> list[bytes]:
    """Return each family with its headers, as text."""
    return [b"# HELP " + family for family in text.removesuffix(END).split(b"# HELP ")[1:]]


def group_of(family: bytes) -> str:
    name = family.split()[2].decode()
    return OF.get(name) or OF[f"{name}_total"]


@OPENMETRICS
def test_one_group_is_served_as_it_is_written_down(
    fleet: Exporter, golden: Callable[[str, bytes], None], *, openmetrics: bool
) -> None:
    ending = "openmetrics" if openmetrics else "prom"
    golden(f"group_network.{ending}", part(fleet, ["network"], openmetrics=openmetrics))


@OPENMETRICS
@given(where=st.lists(st.integers(0, 3), min_size=len(GROUPS), max_size=len(GROUPS)))
def test_pages_that_share_the_groups_between_them_are_the_whole_page(
    fleet: Exporter, where: list[int], *, openmetrics: bool
) -> None:
    whole = part(fleet, openmetrics=openmetrics)
    found: list[bytes] = []
    for page in set(where):
        groups = {group for group, number in zip(GROUPS, where, strict=True) if number == page}
        text = part(fleet, groups, openmetrics=openmetrics)
        assert part(fleet, groups, openmetrics=openmetrics, compressed=True) == text
        assert text.endswith(END) == openmetrics
        assert {group_of(family) for family in families(text)} <= groups
        found += families(text)
    assert sorted(found) == sorted(families(whole))


@OPENMETRICS
def test_some_groups_stand_as_they_do_on_the_whole_page(fleet: Exporter, *, openmetrics: bool) -> None:
    whole = families(part(fleet, openmetrics=openmetrics))
    assert {group_of(family) for family in whole} == {*instances.GROUPS, "account", "exporter"}
    for groups in EVERY_SET[::97]:
        wanted = [family for family in whole if group_of(family) in groups]
        text = part(fleet, groups, openmetrics=openmetrics, compressed=True)
        assert text == b"".join(wanted) + END * openmetrics


@pytest.mark.parametrize("compressed", [False, True])
def test_a_group_of_which_nothing_is_known_is_an_empty_page(fleet: Exporter, *, compressed: bool) -> None:
    assert part(fleet, ["market"], compressed=compressed) == b""
    assert part(fleet, ["market"], openmetrics=True, compressed=compressed) == END


def test_a_new_walk_is_on_every_page(fleet: Exporter, account: Account) -> None:
    for gpus in range(1, 4):
        account.walk([{"id": 1, "num_gpus": gpus, "dph_total": gpus}])
        assert f'vastai_instance_num_gpus{{account="research",instance_id="1"}} {gpus}\n'.encode() in part(
            fleet, ["status"], compressed=True
        )
        assert f'per_hour{{account="research",instance_id="1"}} {gpus}\n'.encode() in part(fleet, ["money"])


def test_whatever_sets_are_asked_for_nothing_is_kept_of_them(fleet: Exporter) -> None:
    def ask(sets: list[tuple[str, ...]]) -> int:
        for chosen in sets:
            part(fleet, frozenset(chosen), compressed=True)
        return tracemalloc.get_traced_memory()[0]

    sets = EVERY_SET[::40]
    assert min(len(part(fleet, chosen)) for chosen in combinations(instances.GROUPS, 2)) > 1000
    tracemalloc.start()
    try:
        before = ask(sets[:100])
        assert ask(sets[100:]) - before < len(sets) * 200
    finally:
        tracemalloc.stop()


# What is left out


def exposition_without(exporter: Exporter, *groups: str) -> Exposition:
    return Exposition(
        lambda: exporter.sources,
        exporter.self_metrics,
        clock=exporter.clock,
        most_labels=200,
        metrics=METRICS,
        left_out=groups,
    )


def test_what_is_left_out_is_served_to_nobody(fleet: Exporter) -> None:
    whole = families(part(fleet))
    fleet.exposition = exposition_without(fleet, "hardware", "money")
    left = [family for family in whole if group_of(family) not in {"hardware", "money"}]
    assert families(part(fleet, compressed=True)) == left != whole
    assert part(fleet, ["hardware"]) == b""


def test_what_is_left_out_can_be_asked_for_so_that_a_job_loses_nothing_else(fleet: Exporter) -> None:
    assert set(exposition_without(fleet, "money", "use").groups) == set(GROUPS)


def test_what_is_left_out_is_not_kept(exporter: Exporter, whole_row: dict[str, Any]) -> None:
    account = exporter.account()
    for groups in (("status", "money"), ("use",), tuple(instances.GROUPS)):
        account.settings["instances"] = GroupedSettings(groups=groups)
        account.walk([{"id": 1, **whole_row}])
        (kept,) = account.stores["instances"].snapshot.parts
        assert {OF[name] for name in kept.lines.text} == set(groups)


# The table


def test_every_metric_has_a_group_and_every_group_a_metric() -> None:
    assert {metric.group for metric in METRICS} == set(GROUPS)


def test_a_group_is_one_collectors() -> None:
    owners: dict[str, str] = {}
    for collector in COLLECTORS:
        for metric in collector.metrics:
            assert owners.setdefault(metric.group, collector.name) == collector.name
        declared = set(collector.groups) or {collector.name}
        assert {metric.group for metric in collector.metrics} == declared


def test_a_metric_without_a_group_is_in_that_of_its_collector() -> None:
    named = replace(COLLECTORS[1], name="other")
    assert {metric.group for metric in named.metrics} == {"other"}


def test_what_can_be_configured_is_what_there_is() -> None:
    settings = CONFIG.model_validate({}).collectors.named("instances")
    assert settings.model_dump()["groups"] == tuple(instances.GROUPS) == get_args(instances.Group)
