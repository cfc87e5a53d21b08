"""Incidents of a simulated Vast.ai arrive at a webhook, once each, in groups, and resolve.

Simulator, exporter, Prometheus, Alertmanager and webhook are real; only waiting times are short, and the
simulated time stands still but for what the test does, so that nothing else happens.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from exporter.simulator import IncidentType, ManualClock, SimulatedVast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import Popen
    from types import ModuleType

    from exporter.simulator import Fleet

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

#: Seconds that something may take to arrive; on an idle machine it is a fifth.
PATIENCE = 60.0
COLLECTORS = ("instances", "account", "notifications")
SECOND_KEY = "key-of-the-second-account"
#: What a row of an instance without trouble shows.
CALM: dict[str, object] = {
    "gpu_util": 80.0,
    "gpu_temp": 60.0,
    "disk_util": 0.3,
    "mem_usage": 0.1,
    "reliability2": 0.99,
}
#: Everything fires after a second but what would only be more of the same, or could come of a late scrape.
DURATIONS = {
    "keep_firing": "3s",
    "exporter_down_for": "4s",
    "exporter_absent_for": "4s",
    "idle_window": "3s",
    "slow_interval": "1s",
    "readings_interval": "1s",
    "hot_window": "3s",
    "offline_critical_for": "1h",
    "down_critical_for": "1h",
}


class Webhook:
    """What Alertmanager has notified so far."""

    def __init__(self) -> None:
        self._notifications: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def notified(self, notification: dict[str, Any]) -> None:
        with self._changed:
            self._notifications.append(notification)
            self._changed.notify_all()

    def groups(self) -> dict[str, list[dict[str, Any]]]:
        """Notifications by name of the alert, in order."""
        found = defaultdict(list)
        for notification in self._notifications:
            found[notification["groupLabels"]["alertname"]].append(notification)
        return dict(found)

    def wait_for(self, status: str, *alerts: str) -> None:
        """Wait until the last notification of each of these says so."""

        def arrived() -> bool:
            groups = self.groups()
            return all(alert in groups and groups[alert][-1]["status"] == status for alert in alerts)

        with self._changed:
            assert self._changed.wait_for(arrived, PATIENCE), (status, alerts, self.groups())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())


@pytest.fixture
def vast(clock: ManualClock) -> Iterator[SimulatedVast]:
    """Two accounts in which all instances run, and have no trouble."""
    with SimulatedVast(size=12, clock=clock, thresholds=False, incidents=False) as vast:
        vast.add_account("second", SECOND_KEY, size=4, seed=2)
        for name in ("default", "second"):
            calm(vast.fleet_of(name), clock())
        yield vast


def calm(fleet: Fleet, now: float) -> None:
    fleet.set_autobill(None, None)
    fleet.set_credit(1e6)
    for number in fleet.ids():
        if fleet.instance(number).status == "running":
            fleet.override(number, **CALM, end_date=now + 1e8)
        else:
            fleet.destroy(number)


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


class Exporter:
    """The exporter as a process, with a configuration in `folder`."""

    def __init__(self, stack: ModuleType, folder: Path, url: str, keys: dict[str, str]) -> None:
        self._stack, self._folder = stack, folder
        self.address = f"127.0.0.1:{stack.free_port()}"
        for account, key in keys.items():
            self.put_key(account, key)
        config = {
            "api": {"url": url, "min_interval": "10ms"},
            "accounts": [{"name": name, "api_key_file": str(self._key_file(name))} for name in keys],
            "collectors": {
                name: {"enabled": True, "interval": "1s", "stale_after": "1h"} for name in COLLECTORS
            },
            "web": {"listen_address": self.address},
        }
        self._config = folder / "config.yaml"
        self._config.write_text(yaml.safe_dump(config))

    def switch_off(self, collector: str) -> None:
        config = yaml.safe_load(self._config.read_text())
        config["collectors"][collector] = {"enabled": False}
        self._config.write_text(yaml.safe_dump(config))

    def put_key(self, account: str, key: str) -> None:
        self._key_file(account).write_text(key)

    @contextmanager
    def running(self) -> Iterator[Popen[bytes]]:
        command = [sys.executable, "-m", "exporter", "--config.file", str(self._config)]
        with self._stack.running(command, self._folder / "exporter.log") as process:
            yield process

    def _key_file(self, account: str) -> Path:
        return self._folder / f"{account}.key"


@pytest.fixture
def exporter(vast: SimulatedVast, stack: ModuleType, tmp_path: Path) -> Exporter:
    return Exporter(stack, tmp_path, vast.url, {"default": vast.key, "second": SECOND_KEY})


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
