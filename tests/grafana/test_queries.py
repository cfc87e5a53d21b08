"""Every query of every dashboard, answered by a real Prometheus about an hour of a fleet with incidents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from grafana.lib.promql import INFO, STATUS

if TYPE_CHECKING:
    from tests.grafana.conftest import Dashboard, Prometheus, Query

pytestmark = pytest.mark.peers

#: What has no answer in this fleet: there are only two accounts, so none is left over.
NOTHING_TO_SAY = {"cost: By account B"}


def test_every_query_has_an_answer(dashboard: Dashboard, prometheus: Prometheus) -> None:
    silent = {str(query) for query in dashboard.queries if not prometheus.ask(query)}

    assert silent <= NOTHING_TO_SAY


def test_variables_and_annotations_have_answers(dashboard: Dashboard, prometheus: Prometheus) -> None:
    for query in dashboard.other_queries:
        found = prometheus.ask(query)
        assert found or query.place == "annotation Alerts", query  # no alerting rules are evaluated here


def test_verdicts_tell_trouble_from_blindness(dashboards: list[Dashboard], prometheus: Prometheus) -> None:
    fleet, _, _, exporter = (dashboard.queries[0] for dashboard in dashboards)
    no_rules = replace(exporter, expression=exporter.expression.replace("account_collector:", "nothing:"))
    no_exporter = replace(exporter, expression=exporter.expression.replace("vastai-exporter", "nothing"))

    def shown(dashboard: Dashboard, query: Query, **chosen: str) -> str:
        (series,) = prometheus.ask(query, **chosen)
        (mapping,) = dashboard.panels[0]["fieldConfig"]["defaults"]["mappings"]
        return str(mapping["options"][series["value"][1]]["text"])

    assert shown(dashboards[0], fleet) == "Act now"
    assert shown(dashboards[0], fleet, account="nobody") == "Blind: no fresh data"
    assert shown(dashboards[3], exporter) == "Yes"
    assert shown(dashboards[3], no_rules) == "No: rules are missing"
    assert shown(dashboards[3], no_exporter) == "No: exporter down"


def test_a_choice_narrows_the_answers(dashboards: list[Dashboard], prometheus: Prometheus) -> None:
    (fleet,) = [dashboard for dashboard in dashboards if dashboard.name == "fleet"]
    (by_label,) = [query for query in fleet.queries if query.place == "By label A"]

    chosen = prometheus.ask(by_label, label="(llama-finetune|prod-inference)")

    assert {series["metric"]["label"] for series in chosen} == {"llama-finetune", "prod-inference"}
    assert not prometheus.ask(by_label, account="nobody")


def test_no_query_fails_while_labels_and_statuses_change(
    dashboard: Dashboard, slow_to_forget: Prometheus
) -> None:
    for changed in (INFO, STATUS):
        assert slow_to_forget.now(f"count by (account, instance_id) ({changed}) > 1"), changed

    for query in (*dashboard.queries, *dashboard.other_queries):
        slow_to_forget.ask(query)
