"""The rules that every metric of the table keeps, and the names that users depend on."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest

from exporter.collectors import COLLECTORS, instances
from exporter.collectors.fleet import SUMMARIES
from exporter.collectors.instance_record import Instance
from exporter.exposition.table import METRICS
from exporter.metrics.fields import NumberField
from tests.support import things

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.collectors import Collector
    from exporter.metrics.rows import Metric, Row

#: Prometheus and its friends give these a meaning of their own.
TAKEN_LABELS = {"instance", "job", "le", "quantile", "cluster", "namespace", "region", "owner"}
#: What promlint wants spelt out as a base unit.
ABBREVIATED_UNITS = r"_(s|ms|sec|secs|seconds_total_seconds|minutes|hours|kb|mb|gb|gib|mib|percent|pct)(_|$)"
SECRETS = r"token|extra_env|onstart|ipaddr|^ssh_|port|status_msg|^\*$|key|mail|phone|address"

every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
every_row = pytest.mark.parametrize(
    ("collector", "row"),
    [pytest.param(collector, row, id=row.name) for collector in COLLECTORS for row in collector.rows],
)
every_collector = pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)


def test_the_names_types_and_labels_are_those_that_users_depend_on(
    golden: Callable[[str, bytes], None],
) -> None:
    """A difference in the golden file is a breaking change, unless it is a new line."""
    table = [f"{metric.name} {metric.type} {' '.join(metric.labels)}".rstrip() for metric in METRICS]
    golden("table.txt", "".join(f"{line}\n" for line in table).encode())


def test_a_name_stands_in_the_table_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


@every_metric
def test_a_name_is_snake_case_with_the_prefix_and_base_units(metric: Metric) -> None:
    assert re.fullmatch(r"vastai(_[a-z][a-z0-9]*)+", metric.name)
    assert not re.search(ABBREVIATED_UNITS, metric.name.removesuffix("_total"))


@every_metric
def test_only_counters_end_in_total(metric: Metric) -> None:
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_created"))


@every_metric
def test_the_help_is_one_sentence_that_both_formats_write_alike(metric: Metric) -> None:
    assert re.fullmatch(r"[A-Z1][^\"\\\n]*[^ ]\.", metric.help)
    assert ". " not in metric.help


@every_metric
def test_labels_are_snake_case_once_each_and_free_of_other_meanings(metric: Metric) -> None:
    assert len(metric.labels) == len(set(metric.labels))
    for label in metric.labels:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", label)
        assert label not in TAKEN_LABELS


@every_row
def test_the_help_names_the_fields_of_the_api_that_a_metric_comes_from(
    collector: Collector, row: Row[Any]
) -> None:
    found = re.search(r"\(API fields? ([a-z0-9_, ]+)\)\.$", row.help)
    assert found
    assert set(found[1].split(", ")) <= {field.name for field in row.fields}
    assert set(found[1].split(", ")) <= set(collector.fields)


@every_row
def test_a_counter_never_is_below_0(collector: Collector, row: Row[Any]) -> None:
    # prometheus_client refuses a whole exposition for one negative counter.
    del collector
    if row.type == "counter":
        numbers = [field for field in row.fields if isinstance(field, NumberField)]
        assert numbers
        for field in numbers:
            assert isfinite(field.least)
            for number in (field.least, field.most):
                value = row.value(Instance({field.name: number}, {}, "running", None))
                assert value is not None
                assert value >= 0


@pytest.mark.parametrize("metric", SUMMARIES, ids=lambda metric: metric.name)
def test_the_help_of_the_fleet_names_the_fields_that_it_is_counted_by(metric: Metric) -> None:
    found = re.search(r"\(API fields? ([a-z0-9_, ]+)\)\.$", metric.help)
    assert found
    assert set(found[1].split(", ")) <= {*instances.COLUMNS, "total_instances"}


@every_row
def test_labels_begin_with_those_that_identify_the_object_and_the_row_fills_the_rest(
    collector: Collector, row: Row[Any]
) -> None:
    plain = (each.labels for each in collector.rows if each.label_values is None)
    identity = next(plain, row.labels[:2])
    assert identity[0] == "account"
    assert row.labels[: len(identity)] == identity
    assert (row.label_values is None) == (row.labels == identity)


@every_collector
def test_each_field_is_counted_under_one_name(collector: Collector) -> None:
    assert len(collector.fields) == len(set(collector.fields))


@every_collector
def test_a_field_with_a_range_is_one_of_those_that_are_counted(collector: Collector) -> None:
    assert set(collector.ranged_fields) <= set(collector.fields)


@every_collector
def test_the_metrics_of_a_collector_are_all_in_the_table_in_its_order(collector: Collector) -> None:
    names = [metric.name for metric in METRICS]
    at = names.index(collector.metrics[0].name)
    assert METRICS[at : at + len(collector.metrics)] == collector.metrics


def test_a_collector_counts_the_fields_of_its_rows_and_those_that_it_reads_for_none() -> None:
    assert things.COLLECTOR.fields == ("id", "size", "starts", "charge", "paints", "colour", "broken")
    assert things.COLLECTOR.ranged_fields == ("size", "starts", "charge", "paints")
    assert [metric.name for metric in things.COLLECTOR.metrics[:2]] == [
        "vastai_things_seen_total",
        "vastai_thing_size_bytes",
    ]


def test_just_what_the_rows_need_is_asked_for() -> None:
    assert set(instances.COLUMNS) == {"id", *(field.name for row in instances.ROWS for field in row.fields)}
    assert len(instances.COLUMNS) == len(set(instances.COLUMNS))


@pytest.mark.parametrize("field", sorted({field for each in COLLECTORS for field in each.fields}))
def test_no_secret_and_no_address_is_asked_for_or_read(field: str) -> None:
    assert not re.search(SECRETS, field)
