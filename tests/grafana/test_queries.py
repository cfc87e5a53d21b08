"""Every query of every dashboard, answered by a real Prometheus about an hour of a fleet with incidents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from grafana.lib.promql import INFO, STATUS

if TYPE_CHECKING:
    from tests.grafana.conftest import Dashboard, Json, Prometheus, Query

pytestmark = pytest.mark.peers

#: What has no answer in this history: nothing was there a week before, no chart has so many series that some
#: are left over, and the inbox is read.
NOTHING_TO_SAY = {
    "cost: By account B",
    "cost: By GPU model B",
    "cost: By label B",
    "cost: Spend vs. a week before B",
    "cost: Spend vs. a week before C",
    "fleet: Latest notifications D",
    "instance: Latest notifications D",
}


def answered(prometheus: Prometheus, query: Query) -> bool:
    """Say whether it has an answer; where it is about one instance, about one at least."""
    if "$instance" not in query.expression:
        return bool(prometheus.ask(query))
    instances = [series["metric"]["instance_id"] for series in prometheus.now(INFO)]
    return any(prometheus.ask(query, instance=number) for number in instances)


def test_every_query_has_an_answer(dashboard: Dashboard, prometheus: Prometheus) -> None:
    silent = {str(query) for query in dashboard.queries if not answered(prometheus, query)}

    assert silent <= NOTHING_TO_SAY


def test_variables_and_annotations_have_answers(dashboard: Dashboard, prometheus: Prometheus) -> None:
    for query in dashboard.other_queries:
        # No alerting rules are evaluated here.
        assert answered(prometheus, query) or query.place.startswith("annotation Alerts"), query


def test_verdicts_tell_trouble_from_blindness(dashboards: list[Dashboard], prometheus: Prometheus) -> None:
    fleet, *_, exporter = (dashboard.queries[0] for dashboard in dashboards)
    no_rules = replace(exporter, expression=exporter.expression.replace("account_collector:", "nothing:"))
    no_exporter = replace(exporter, expression=exporter.expression.replace("vastai-exporter", "nothing"))

    shown = prometheus.verdict
    assert shown(dashboards[0], fleet) == "Act now"
    assert shown(dashboards[0], fleet, account="nobody") == "Blind"
    assert shown(dashboards[-1], exporter) == "Good"
    assert shown(dashboards[-1], no_rules) == "Rules missing"
    assert shown(dashboards[-1], no_exporter) == "Exporter down"


def test_a_choice_narrows_the_answers(dashboards: list[Dashboard], prometheus: Prometheus) -> None:
    (fleet,) = [dashboard for dashboard in dashboards if dashboard.name == "fleet"]
    (by_label,) = [query for query in fleet.queries if query.place == "By label A"]

    chosen = prometheus.ask(by_label, label=["llama-finetune", "prod-inference"])

    assert {series["metric"]["label"] for series in chosen} == {"llama-finetune", "prod-inference"}
    assert not prometheus.ask(by_label, account="nobody")


def assert_doubled(prometheus: Prometheus) -> None:
    """See that an instance's old label, and its old status, are there beside the new ones."""
    for changed in (INFO, STATUS):
        assert prometheus.now(f"count by (account, instance_id) ({changed}) > 1"), changed


def test_no_rule_fails_while_labels_and_statuses_change(
    rules: list[Json], slow_to_forget: Prometheus
) -> None:
    assert_doubled(slow_to_forget)

    for rule in rules:
        found = [series["metric"] for series in slow_to_forget.now(rule["expr"])]
        unnamed = [frozenset(labels.items() - {("__name__", labels.get("__name__"))}) for labels in found]
        assert len(set(unnamed)) == len(unnamed), rule


def test_no_query_fails_while_labels_and_statuses_change(
    dashboard: Dashboard, slow_to_forget: Prometheus
) -> None:
    assert_doubled(slow_to_forget)

    for query in (*dashboard.queries, *dashboard.other_queries):
        slow_to_forget.ask(query)
