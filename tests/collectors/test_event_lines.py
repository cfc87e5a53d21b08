"""The lines that tell what happened: as docs/logs.md has them, and as Promtail and Alloy read them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.collectors.notifications import COLLECTOR as NOTIFICATIONS
from exporter.logs import Formatter, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/logs.md").read_text()
ALLOY = (ROOT / "deploy/loki/events.alloy").read_text()
PAIR = re.compile(r'([a-z_]+)=(?:"([^"]*)"|(\S*))(?= |$)')


def pairs(line: str) -> dict[str, str]:
    """Read a line as logfmt."""
    return {name: quoted or bare for name, quoted, bare in PAIR.findall(line)}


def promtail() -> dict[str, Any]:
    """Return the stages of the pipeline by their name."""
    (scraped,) = yaml.safe_load((ROOT / "deploy/loki/promtail.yml").read_text())["scrape_configs"]
    return {name: stage for each in scraped["pipeline_stages"] for name, stage in each.items()}


def alloy() -> dict[str, Any]:
    """Return the same of the file for Alloy."""

    def attributes(stage: str) -> dict[str, str]:
        found = re.search(rf"(?s)stage\.{stage} \{{\n(.*?)\n  \}}", ALLOY)
        assert found
        return dict(re.findall(r"(?m)^    (\w+) += (.*)$", found[1]))

    def plain(stage: str) -> dict[str, str]:
        return {name: value[1:-1] for name, value in attributes(stage).items()}

    def inner(stage: str, name: str) -> dict[str, str]:
        return dict(re.findall(r'(\w+) = "(\w+)"', attributes(stage)[name]))

    return {
        "match": plain("match"),
        "logfmt": {"mapping": inner("logfmt", "mapping")},
        "timestamp": plain("timestamp"),
        "labels": inner("labels", "values"),
    }


@pytest.fixture
def lines(account: Account, caplog: pytest.LogCaptureFixture) -> list[str]:
    """One line of each event, as the daemon writes it."""
    caplog.set_level("INFO", "exporter")
    account.walk([{"id": 1, "actual_status": "running"}, {"id": 2}])
    account.walk([{"id": 1, "actual_status": "exited", "intended_status": "stopped"}, {"id": 3}])
    about = {"instance_id": 1, "machine_id": 88}
    row = {"event_id": "a", "notif_type": "outbid", "created_at": 1.79e9, "associated_id": about}
    account.collect(NOTIFICATIONS, {"notifications": []})
    account.collect(NOTIFICATIONS, {"notifications": [row]})
    formatter = Formatter("logfmt", Redactor())
    return [formatter.format(record) for record in caplog.records]


def test_every_event_is_one_line_with_the_fields_that_the_page_names(lines: list[str]) -> None:
    rows = re.findall(r"(?m)^\| `([a-z ]+)` \| ([^|]*) \| `vastai_\w+` \|$", PAGE)
    told = {event: re.findall(r"`(\w+)`", fields) for event, fields in rows}
    found = {
        pairs(line)["msg"]: [name for name in pairs(line) if name not in {"ts", "level", "msg"}]
        for line in lines
    }
    assert found == told
    assert len(lines) == len(found)


def test_the_lines_on_the_page_have_the_form_of_real_ones(lines: list[str]) -> None:
    real = {pairs(line)["msg"]: list(pairs(line)) for line in lines}
    shown = re.findall(r"(?m)^ts=.*$", PAGE)
    assert len(shown) > 1
    for line in shown:
        assert list(pairs(line)) == real[pairs(line)["msg"]]


@pytest.mark.parametrize("stages", [promtail, alloy])
def test_the_stages_keep_every_event_and_nothing_else(lines: list[str], stages: Callable[[], Any]) -> None:
    match = stages()["match"]
    selector, pattern = re.fullmatch(r'(\{[^}]*\}) !~ "(.*)"', match["selector"]).groups()  # type: ignore[union-attr]
    assert (selector, match["action"]) == ('{job="vastai-exporter"}', "drop")
    assert all(re.search(pattern, line) for line in lines)
    others = (
        'ts=2026-11-02T09:12:44.118Z level=info msg="run finished" account=research collector=notifications',
        'ts=2026-11-02T09:12:44.118Z level=warn msg="run failed" account=research error="msg=notification"',
    )
    assert not [line for line in others if re.search(pattern, line)]


@pytest.mark.parametrize("stages", [promtail, alloy])
def test_the_stages_find_the_time_and_the_labels_in_every_line(
    lines: list[str], stages: Callable[[], Any]
) -> None:
    mapping, labels = stages()["logfmt"]["mapping"], stages()["labels"]
    for line in lines:
        extracted = {name: pairs(line)[source] for name, source in mapping.items()}
        assert stages()["timestamp"] == {"source": "ts", "format": "RFC3339Nano"}
        assert datetime.fromisoformat(extracted["ts"]).tzinfo
        found = {label: extracted[source] for label, source in labels.items()}
        assert found == {"account": "research", "event": pairs(line)["msg"]}


def test_the_queries_ask_for_labels_and_fields_that_are_there(lines: list[str]) -> None:
    labels = {"job", *promtail()["labels"]}
    fields = {name for line in lines for name in pairs(line)}
    events = {pairs(line)["msg"] for line in lines}
    queries = re.findall(r"(?s)```logql\n(.*?)\n```", PAGE)
    assert len(queries) > 3
    for query in queries:
        (selector,) = re.findall(r"\{([^}]*)\}", query)
        assert set(re.findall(r"(\w+)=~?\"", selector)) <= labels
        assert set(re.findall(r'event=~?"([^"]*)"', selector)) <= events | {"|".join(sorted(events)[:2])}
        assert set(re.findall(r'\| (\w+)="', query)) <= fields
        assert set(re.findall(r"by \(([^)]*)\)", query)) <= {"account, event", "account, instance_id"}
