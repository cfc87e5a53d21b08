"""Incidents of a simulated Vast.ai arrive at a webhook, once each, in groups, and resolve.

Simulator, exporter, Prometheus, Alertmanager and webhook are real; only waiting times are short, and the
simulated time stands still but for what the test does, so that nothing else happens.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from exporter.simulator import IncidentType
from tests.support.alerting import COLLECTORS, DURATIONS, PATIENCE, calm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from exporter.simulator import Fleet, ManualClock, SimulatedVast
    from tests.support.alerting import Exporter, Webhook

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]


@pytest.fixture
def chain(
    exporter: Exporter, webhook: Webhook, stack: ModuleType, generator: ModuleType, tmp_path: Path
) -> Iterator[str]:
    """Prometheus, whose URL it is, and Alertmanager: they watch the exporter and notify the webhook."""
    values = {name: "1s" for name in generator.defaults() if name.endswith("_for")} | DURATIONS
    folder = tmp_path / "stack"
    folder.mkdir()
    with (
        stack.Receiver(webhook.notified) as receiver,
        stack.Stack(
            folder, exporter=exporter.address, notify=receiver.url, values=values, interval=1, waits=(4, 2)
        ) as programs,
    ):
        yield programs.prometheus


@pytest.mark.usefixtures("chain")
def test_every_incident_arrives_once_and_resolves(
    vast: SimulatedVast, clock: ManualClock, exporter: Exporter, webhook: Webhook
) -> None:
    fleet = vast.fleet
    idle, stuck, offline, *_ = one_on_each_host(fleet)
    with exporter.running() as process:
        # Five at once.
        del fleet.instance(idle).overrides["gpu_util"]
        vast.inject(IncidentType.IDLE, idle, 1e6)
        vast.inject(IncidentType.STUCK_LOADING, stuck, 1e6)
        vast.inject(IncidentType.HOST_OFFLINE, offline, 1e6)
        fleet.set_credit(0.01)
        vast.revoke("second")
        first = (
            "VastaiInstanceIdle",
            "VastaiInstanceStuck",
            "VastaiInstanceOffline",
            "VastaiCreditRunningOut",
            "VastaiKeyRejected",
        )
        webhook.wait_for("firing", *first)
        # All of them end.
        fleet.set_credit(1e6)
        fleet.clear()
        fleet.set_status(stuck, "running")
        calm(fleet, clock())
        vast.rotate("another-key", "second")
        exporter.put_key("second", "another-key")
        webhook.wait_for("resolved", *first)
        # The sixth.
        process.kill()
        webhook.wait_for("firing", "VastaiExporterDown")
    with exporter.running():
        webhook.wait_for("resolved", "VastaiExporterDown")

    groups = webhook.groups()
    assert set(groups) == {*first, "VastaiExporterDown"}
    for alert, notifications in groups.items():
        assert_told_once(alert, notifications)
    assert objects(groups["VastaiInstanceIdle"]) == {str(idle)}
    assert objects(groups["VastaiInstanceStuck"]) == {str(stuck)}
    lost = fleet.instance(offline).contract.machine.host_id
    assert objects(groups["VastaiInstanceOffline"]) == {
        str(number) for number in fleet.ids() if fleet.instance(number).contract.machine.host_id == lost
    }
    assert [n["commonLabels"]["severity"] for n in groups["VastaiCreditRunningOut"]] == ["critical"] * 2
    assert labels(groups["VastaiKeyRejected"], "collector") == set(COLLECTORS)
    assert labels(groups["VastaiKeyRejected"], "account") == {"second"}
    assert labels(groups["VastaiExporterDown"], "account") == {"default", "second"}


def test_an_instance_that_is_outbid_as_measured_arrives_and_resolves_when_it_runs_again(
    vast: SimulatedVast, clock: ManualClock, exporter: Exporter, webhook: Webhook, chain: str
) -> None:
    fleet = vast.fleet
    interruptible = [number for number in fleet.ids() if fleet.instance(number).contract.is_bid]
    lost, *others = interruptible
    assert others  # which keep silent
    exporter.switch_off("notifications")
    with exporter.running():
        wait_until(
            lambda: (
                samples(chain, "account_instance:vastai_instance_running:present_1d", "instance_id")
                == set(map(str, interruptible))
            )
        )
        # It runs on for some seconds with `stopped` intended, and is `exited` then; nothing says why.
        vast.inject(IncidentType.OUTBID, lost, 1e6)
        clock.advance(60)
        webhook.wait_for("firing", "VastaiInstanceOutbid")
        fleet.set_status(lost, "running")
        webhook.wait_for("resolved", "VastaiInstanceOutbid")
    notifications = webhook.groups()["VastaiInstanceOutbid"]
    assert_told_once("VastaiInstanceOutbid", notifications)
    assert objects(notifications) == {str(lost)}
    assert labels(notifications, "severity") == {"warning"}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def samples(prometheus: str, query: str, label: str) -> set[str]:
    """Return the values of a label in Prometheus's answer to a query."""
    reply = requests.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=PATIENCE)
    return {sample["metric"][label] for sample in reply.json()["data"]["result"]}


@pytest.mark.usefixtures("chain")
def test_an_outbid_is_told_by_the_inbox_with_both_bids(
    vast: SimulatedVast, clock: ManualClock, exporter: Exporter, webhook: Webhook
) -> None:
    fleet = vast.fleet
    outbid = next(number for number in fleet.ids() if fleet.instance(number).contract.is_bid)
    with exporter.running():
        vast.inject(IncidentType.OUTBID, outbid, 1e6)
        clock.advance(60)  # its container has ended
        webhook.wait_for("firing", "VastaiInstanceOutbid")
        vast.fleet.destroy(outbid)
        webhook.wait_for("resolved", "VastaiInstanceOutbid")
    groups = webhook.groups()
    assert set(groups) == {"VastaiInstanceOutbid"}
    assert objects(groups["VastaiInstanceOutbid"]) == {str(outbid)}
    (told,) = groups["VastaiInstanceOutbid"][0]["alerts"]
    assert told["annotations"]["summary"].endswith("no longer runs: it was outbid.")
    assert re.search(
        r"Its bid was \$\d+\.\d{3} an hour, the new one is \$\d", told["annotations"]["description"]
    )


def one_on_each_host(fleet: Fleet) -> list[int]:
    by_host = {fleet.instance(number).contract.machine.host_id: number for number in fleet.ids()}
    return list(by_host.values())


def labels(notifications: list[dict[str, Any]], name: str) -> set[str]:
    return {alert["labels"][name] for notification in notifications for alert in notification["alerts"]}


def objects(notifications: list[dict[str, Any]]) -> set[str]:
    return labels(notifications, "instance_id")


def assert_told_once(alert: str, notifications: list[dict[str, Any]]) -> None:
    """Each alert of the one group fires and resolves once, and each notification has something to say."""
    states = [{told["fingerprint"]: told["status"] for told in one["alerts"]} for one in notifications]
    for fingerprint in set().union(*states):
        told = [state[fingerprint] for state in states if fingerprint in state]
        assert [status for status, _ in groupby(told)] == ["firing", "resolved"], (alert, states)
    assert all(earlier != later for earlier, later in pairwise(states)), (alert, states)
    assert len({notification["groupKey"] for notification in notifications}) == 1, alert


def test_the_programs_end_with_the_stack(stack: ModuleType, tmp_path: Path) -> None:
    with ExitStack() as both, stack.Receiver(lambda _: None) as receiver:
        chain = both.enter_context(
            stack.Stack(
                tmp_path, exporter="127.0.0.1:1", notify=receiver.url, values={}, interval=60, waits=(1, 1)
            )
        )
        addresses = [chain.prometheus, chain.alertmanager]
    for address in addresses:
        port = int(address.rpartition(":")[2])
        assert stack.free_port(port) == port
