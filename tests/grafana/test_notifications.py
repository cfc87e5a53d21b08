"""Notifications on Fleet and Instance: the newest first, of what is gone as well, and why there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.collectors import inbox
from grafana import history, tsdb
from grafana.dashboards import events
from grafana.lib.promql import HOURLY, INFO
from tests.grafana import world
from tests.grafana.conftest import Dashboard, Prometheus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HERE, GONE = "101", "102"
SENT = history.END - 3600
READ = world.series(
    "vastai_collector_success", {"account": "research", "collector": "instances", "job": "vastai-exporter"}
)
INBOX_READ = READ.replace("instances", "notifications")
AVAILABLE = INBOX_READ.replace("success", "available")


def test_every_type_of_the_exporters_has_words() -> None:
    assert set(events.TYPES) == {*inbox.TYPES, inbox.OTHER}
    assert set(events.SHADES) == set(events.TYPES)


def shown(
    folder: Path, samples: Mapping[str, float], board: str = "fleet", **chosen: str
) -> dict[str, object]:
    """Return what each query of the table says: its values by instance and type."""
    world.known(folder, {READ: 1.0, **samples})
    dashboard = Dashboard(board)
    asked = {query.place[-1]: query for query in dashboard.queries if "Latest notifications" in query.place}
    with tsdb.served(folder) as url:
        return {
            letter: {
                (series["metric"].get("instance_id", ""), series["metric"]["type"]): float(series["value"][1])
                for series in Prometheus(url).ask(query, **chosen)
            }
            for letter, query in asked.items()
        }


def about(metric: str, instance: str, **labels: str) -> str:
    return world.series(metric, {"account": "research", "instance_id": instance} | labels)


def fleet(choice: str = "train") -> dict[str, float]:
    """Return an instance that is there, and one that is not any more, both of which were outbid."""
    own = {"label": choice, "gpu_name": "H100 SXM"}
    samples = {about(INFO, HERE, **own): 1.0, about(HOURLY, GONE, **own): 2.5, INBOX_READ: 1.0}
    for number, instance in enumerate((HERE, GONE)):
        samples[about(events.LATEST, instance, type="outbid")] = SENT - number
        samples[about(events.LATEST, instance, type="instance_started")] = SENT + 60
        samples[about(events.OWN_BID, instance)] = 0.3
        samples[about(events.NEW_BID, instance)] = 0.4
    return samples


@pytest.mark.peers
def test_what_is_gone_is_shown_as_well_with_both_bids_and_without_what_its_user_did(tmp_path: Path) -> None:
    assert shown(tmp_path, fleet(), label="train") == {
        "A": {(HERE, "outbid"): 1000 * SENT, (GONE, "outbid"): 1000 * (SENT - 1)},
        "B": {(HERE, "outbid"): 0.3, (GONE, "outbid"): 0.3},
        "C": {(HERE, "outbid"): 0.4, (GONE, "outbid"): 0.4},
        "D": {},
    }


@pytest.mark.peers
def test_notifications_of_other_labels_are_not_shown(tmp_path: Path) -> None:
    assert shown(tmp_path, fleet(), label="another") == {"A": {}, "B": {}, "C": {}, "D": {}}


@pytest.mark.peers
def test_one_instance_has_all_of_its_own_and_copies_of_this_week(tmp_path: Path) -> None:
    copy = about(events.BACKUP, HERE, backup_id="1", status="success")
    old = about(events.BACKUP, HERE, backup_id="2", status="error")
    samples = fleet() | {copy: SENT - 600, old: SENT - 8 * world.DAY}

    assert shown(tmp_path, samples, "instance", instance=HERE)["A"] == {
        (HERE, "instance_started"): 1000 * (SENT + 60),
        (HERE, "outbid"): 1000 * SENT,
        (HERE, "backup_success"): 1000 * (SENT - 600),
    }


@pytest.mark.peers
@pytest.mark.parametrize("board", ["fleet", "instance"])
@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ({}, "off"),
        ({INBOX_READ: 1.0, AVAILABLE: 0.0}, "unavailable"),
        ({INBOX_READ: 1.0, AVAILABLE: 1.0}, None),
    ],
    ids=["switched off", "not available", "read"],
)
def test_it_is_said_why_there_are_none(
    tmp_path: Path, board: str, samples: dict[str, float], said: str | None
) -> None:
    found = shown(tmp_path, samples, board, instance=HERE)

    assert found == {"A": {}, "B": {}, "C": {}, "D": {("", said): 1.0} if said else {}}
    assert said is None or said in events.FURTHER
