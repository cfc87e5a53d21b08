"""The landing page's problems are those of the recording rules: both judge the same instances."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.collectors import instances, notifications, serverless
from exporter.collectors.fleet import STATUSES
from exporter.exposition import problems
from exporter.exposition.problems import PROBLEMS, Case
from grafana.lib.palette import CRITICAL_RANK, REASONS
from tests.support.pipeline import api, new_exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.pipeline import Account, Exporter

    PromtoolTest = Callable[[list[tuple[str, list[dict[str, Any]]]]], dict[str, str]]

__all__ = ["api", "new_exporter"]

pytestmark = pytest.mark.peers

RANK = "account_instance_reason:vastai_instance_trouble:rank"
#: Reasons that need history, or a threshold on readings: the page leaves them to Prometheus.
LEFT_OUT = {"outbid", "hot", "full", "memory", "idle"}
#: Seconds for which the statuses are known, the longest first: on both sides of each threshold.
AGES = (900, 899, 120, 119)
#: Seconds to the end of the contract.
ENDS = (None, None, -1, 0, 1, 86_399, 86_400)
#: What the inbox says of an instance: types, and how many seconds ago.
TOLD: tuple[dict[str, int], ...] = (
    {},
    {"instance_offline": 600},
    {"instance_offline": 86_399},
    {"instance_offline": 86_400},
    {"instance_offline": 600, "instance_online": 300},
    {"instance_offline": 300, "instance_started": 600, "outbid": 100},
    {"instance_offline": 600, "instance_resumed": 300},
    {"instance_offline": 600, "instance_resumed": 600},
)
#: 5 is a status that can't be read.
SENT_STATUSES = (None, *STATUSES[1:], "vanished", 5)
INTENTIONS = ("running", "stopped", None)
#: What the rules read of these instances.
READ = {
    "vastai_instance_status",
    "vastai_instance_status_since_timestamp_seconds",
    "vastai_instance_state",
    "vastai_instance_end_timestamp_seconds",
    "vastai_instance_notification_timestamp_seconds",
    "vastai_endpoint_instance",
}
#: Rows of a page at most.
PAGE = 25
#: Minutes after its beginning at which promtool asks the rules.
AT = 1


def fleet(now: float) -> Iterator[tuple[dict[str, Any], int, bool, Mapping[str, int]]]:
    """Yield every kind of instance: row, age of its status, whether it is a worker, what the inbox says."""
    rng = Random(7)
    kinds = product(SENT_STATUSES, INTENTIONS, AGES, (False, True), (False, True))
    for number, (status, intended, age, queued, worker) in enumerate(kinds, 1):
        end = rng.choice(ENDS)
        row = {
            "id": number,
            "actual_status": status,
            "intended_status": intended,
            "cur_state": "stopped" if queued else "running",
            "next_state": "running",
            "end_date": None if end is None else now + end,
        }
        yield row, age, worker, rng.choice(TOLD)


@pytest.fixture
def exporter(new_exporter: Callable[..., Exporter]) -> Exporter:
    return new_exporter(collectors=[each.COLLECTOR for each in (instances, notifications, serverless)])


@pytest.fixture
def account(exporter: Exporter) -> Account:
    """An account in which all this has been found, each status at its time."""
    account = exporter.account()
    found = list(fleet(exporter.wall_clock() + AGES[0]))
    for age, next_age in zip(AGES, (*AGES[1:], 0), strict=True):
        rows = [row for row, known_for, *_ in found if known_for >= age]
        account.walk(*(rows[at : at + PAGE] for at in range(0, len(rows), PAGE)))
        for clock in (exporter.clock, exporter.wall_clock):
            clock.advance(age - next_age)
    workers = [{"id": row["id"], "status": "idle"} for row, _, worker, _ in found if worker]
    account.collect(serverless.COLLECTOR, {"results": [{"id": 1}]}, {"workers": workers})
    told = [
        {
            "event_id": f"{row['id']} {kind}",
            "notif_type": kind,
            "created_at": exporter.wall_clock() - seconds,
            "associated_id": {"instance_id": row["id"]},
        }
        for row, _, _, notes in found
        if row["actual_status"] in {"exited", "unknown", "offline"}
        for kind, seconds in notes.items()
    ]
    account.collect(notifications.COLLECTOR, {"notifications": told})
    return account


def by_the_page(account: Account, now: float) -> set[tuple[str, int]]:
    """Return each reason that the page finds, with the instance that has it."""
    (endpoint,) = (each for each in items(account, serverless.COLLECTOR.name).values() if each is not None)
    inbox = account.stores[notifications.COLLECTOR.name].snapshot.memory
    offline = problems.told_offline(inbox.latest, now)
    return {
        (problem.reason, number)
        for number, member in items(account, instances.COLLECTOR.name).items()
        for problem in PROBLEMS
        if problem.holds(Case(member, now, number in endpoint.ids, number in offline))
    }


def items(account: Account, collector: str) -> dict[Any, Any]:
    return {
        key: item for part in account.stores[collector].snapshot.parts for key, item in part.items.items()
    }


def series(exporter: Exporter) -> list[dict[str, str]]:
    """Return what a scrape gets, as promtool's input, whose time begins in 1970."""
    earlier = exporter.wall_clock() - AT * 60
    return [
        {
            "series": name + "{" + ",".join(f'{key}="{said}"' for key, said in sorted(labels)) + "}",
            "values": f"{value - earlier if name.endswith('_timestamp_seconds') else value}x{AT}",
        }
        for (name, labels), value in exporter.samples().items()
        if name in READ
    ]


def test_the_page_and_the_rules_find_the_same_problems_in_the_same_instances(
    exporter: Exporter, account: Account, promtool_test: PromtoolTest
) -> None:
    found = by_the_page(account, exporter.wall_clock())
    ranks = {problem.reason: problem.rank for problem in PROBLEMS}
    assert {reason for reason, _ in found} == ranks.keys()
    samples = [
        {
            "labels": f'{RANK}{{account="research",instance_id="{number}",reason="{reason}"}}',
            "value": ranks[reason],
        }
        for reason, number in found
    ]
    query = f'{RANK}{{reason!~"{"|".join(LEFT_OUT)}"}}'
    check = {"expr": query, "eval_time": f"{AT}m", "exp_samples": samples}
    world = {"name": "page", "interval": "1m", "input_series": series(exporter), "promql_expr_test": [check]}
    assert promtool_test([("1m", [world])]) == {}
    (overview,) = exporter.exposition.overviews(exporter.wall_clock())
    assert overview.fleet is not None
    counted = Counter(reason for reason, _ in found)
    assert [(problem.reason, count) for problem, count in overview.fleet.problems] == [
        (reason, counted[reason]) for reason in ranks
    ]


def test_the_page_has_the_thresholds_of_the_rules(root: Path) -> None:
    thresholds = yaml.safe_load((root / "deploy/prometheus/thresholds.yml").read_text())
    assert {
        "trouble_down_seconds": problems.DOWN_SECONDS,
        "trouble_stuck_seconds": problems.STUCK_SECONDS,
        "contract_warning_seconds": problems.ENDING_SECONDS,
        "told_seconds": problems.TOLD_SECONDS,
    }.items() <= {name: threshold["value"] for name, threshold in thresholds.items()}.items()


def test_the_page_knows_each_reason_of_the_rules_and_uses_the_dashboards_words(
    rules: list[dict[str, Any]],
) -> None:
    reasons = [rule["labels"]["reason"] for rule in rules if rule.get("record") == RANK]
    assert [problem.reason for problem in PROBLEMS] == [each for each in reasons if each not in LEFT_OUT]
    assert set(reasons) >= LEFT_OUT
    assert all(problem.words == REASONS[problem.reason][0] for problem in PROBLEMS)
    assert problems.URGENT_RANK == CRITICAL_RANK
