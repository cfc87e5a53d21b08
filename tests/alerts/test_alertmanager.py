"""Alertmanager sends each alert where it belongs, and keeps back what another one explains."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess
    from types import ModuleType

    Run = Callable[..., CompletedProcess[str]]
    Alert = dict[str, str]

pytestmark = pytest.mark.peers

INSTANCE = {"area": "instance", "account": "a", "instance_id": "1"}
ACCOUNT = {"area": "account", "account": "a"}
COLLECTOR = {"area": "collector", "account": "a", "collector": "instances"}
EXPORTER = {"area": "exporter", "job": "vastai-exporter", "instance": "x", "account": "a"}


def alert(name: str, severity: str, labels: Alert, **others: str) -> Alert:
    return {"alertname": name, "severity": severity, **labels, **others}


#: What explains, and what it keeps back.
INHIBITED = {
    "critical silences warning of the same alert": (
        alert("VastaiInstanceDown", "critical", INSTANCE),
        alert("VastaiInstanceDown", "warning", INSTANCE),
    ),
    "warning silences info of the same alert": (
        alert("VastaiContractEnding", "warning", INSTANCE),
        alert("VastaiContractEnding", "info", INSTANCE),
    ),
    "an offline host explains all else of an instance": (
        alert("VastaiInstanceOffline", "warning", INSTANCE),
        alert("VastaiContractEnding", "critical", INSTANCE),
    ),
    "a dead exporter silences its accounts": (
        alert("VastaiExporterDown", "critical", EXPORTER),
        alert("VastaiInstanceDown", "critical", INSTANCE),
    ),
    "a label that was displaced silences what is told by it": (
        alert("VastaiLabelDisplaced", "critical", EXPORTER, displaced="instance_id"),
        alert("VastaiInstanceDown", "critical", INSTANCE),
    ),
    "an absent exporter silences everything": (
        alert("VastaiExporterAbsent", "critical", {"area": "exporter", "job": "vastai-exporter"}),
        alert("VastaiDataMissing", "critical", COLLECTOR, account="b"),
    ),
    "a refused key silences its failures": (
        alert("VastaiKeyRejected", "critical", COLLECTOR),
        alert("VastaiCollectorFailing", "warning", COLLECTOR),
    ),
    "a refused key silences the account": (
        alert("VastaiKeyRejected", "critical", COLLECTOR),
        alert("VastaiCreditRunningOut", "critical", ACCOUNT),
    ),
    "missing data silences the account": (
        alert("VastaiDataMissing", "critical", COLLECTOR),
        alert("VastaiInstanceIdle", "warning", INSTANCE),
    ),
    "missing data silences the failures behind it": (
        alert("VastaiDataMissing", "critical", COLLECTOR),
        alert("VastaiCollectorFailing", "warning", COLLECTOR),
    ),
    "a failing collector silences its stale data": (
        alert("VastaiCollectorFailing", "warning", COLLECTOR),
        alert("VastaiDataStale", "warning", COLLECTOR),
    ),
    "without credit everything is stopped": (
        alert("VastaiCreditExhausted", "critical", ACCOUNT),
        alert("VastaiInstanceDown", "critical", INSTANCE),
    ),
    "nor can anything be queued, or keep a bid": (
        alert("VastaiCreditExhausted", "critical", ACCOUNT),
        alert("VastaiInstanceOutbid", "warning", INSTANCE),
    ),
    "auto-billing that is too small has failed already": (
        alert("VastaiCreditExhausted", "critical", ACCOUNT),
        alert("VastaiAutobillTooSmall", "warning", ACCOUNT),
    ),
    "the sum speaks for each idle instance": (
        alert("VastaiIdleWaste", "critical", ACCOUNT),
        alert("VastaiInstanceIdle", "warning", INSTANCE),
    ),
    "an expired contract is why an instance is down": (
        alert("VastaiContractExpired", "critical", INSTANCE),
        alert("VastaiInstanceDown", "warning", INSTANCE),
    ),
    "an expired contract is why an instance is not queued any more": (
        alert("VastaiContractExpired", "critical", INSTANCE),
        alert("VastaiInstanceQueued", "warning", INSTANCE),
    ),
    "an instance that is down needs no word about its disk": (
        alert("VastaiInstanceDown", "warning", INSTANCE),
        alert("VastaiStoppedStorage", "info", INSTANCE),
    ),
    "nor does one whose start was given up": (
        alert("VastaiInstanceBootFailed", "warning", INSTANCE),
        alert("VastaiStoppedStorage", "info", INSTANCE),
    ),
    "a price increase without an answer is why a contract ends": (
        alert("VastaiPriceIncrease", "critical", INSTANCE),
        alert("VastaiContractEnding", "critical", INSTANCE),
    ),
    "a label's budget that is used up": (
        alert("VastaiLabelBudgetUsed", "critical", ACCOUNT, label="train"),
        alert("VastaiLabelBudgetUsed", "warning", ACCOUNT, label="train"),
    ),
    "a disk that is full is not filling any more": (
        alert("VastaiDiskFull", "critical", INSTANCE),
        alert("VastaiDiskFilling", "warning", INSTANCE),
    ),
    "a host that is unreliable has fallen": (
        alert("VastaiReliabilityLow", "info", INSTANCE),
        alert("VastaiReliabilityFalling", "info", INSTANCE),
    ),
}
#: What does not explain the other.
TOLD = {
    "another instance is down": (
        alert("VastaiInstanceDown", "critical", INSTANCE),
        alert("VastaiInstanceDown", "warning", INSTANCE, instance_id="2"),
    ),
    "another alert of the same instance": (
        alert("VastaiGpuHot", "critical", INSTANCE),
        alert("VastaiDiskFull", "warning", INSTANCE),
    ),
    "another label has used up its budget": (
        alert("VastaiLabelBudgetUsed", "critical", ACCOUNT, label="train"),
        alert("VastaiLabelBudgetUsed", "warning", ACCOUNT, label="serve"),
    ),
    "another instance is offline": (
        alert("VastaiInstanceOffline", "critical", INSTANCE),
        alert("VastaiInstanceIdle", "warning", INSTANCE, instance_id="2"),
    ),
    "two instances are offline": (
        alert("VastaiInstanceOffline", "warning", INSTANCE),
        alert("VastaiInstanceOffline", "warning", INSTANCE, instance_id="2"),
    ),
    "another exporter tells of the account": (
        alert("VastaiExporterDown", "warning", EXPORTER, account=""),
        alert("VastaiInstanceDown", "critical", INSTANCE),
    ),
    "of another exporter nobody knows what it told of": (
        alert("VastaiExporterDown", "critical", EXPORTER, account="", instance="y"),
        alert("VastaiExporterDown", "warning", EXPORTER, account=""),
    ),
    "the exporter of another account is down": (
        alert("VastaiExporterDown", "critical", EXPORTER, account="b"),
        alert("VastaiInstanceDown", "critical", INSTANCE),
    ),
    "the key may not read the account, but instances": (
        alert("VastaiKeyRejected", "critical", COLLECTOR, collector="account"),
        alert("VastaiInstanceDown", "critical", INSTANCE),
    ),
}


@pytest.fixture(scope="module")
def config(root: Path) -> Path:
    return root / "deploy/alertmanager/alertmanager.yml"


def test_the_configuration_is_good(config: Path, run: Run) -> None:
    checked = run("amtool", "check-config", config)
    assert checked.returncode == 0, checked.stderr


def test_the_receivers_that_it_proposes_are_good_too_and_hold_no_secret(
    config: Path, run: Run, tmp_path: Path
) -> None:
    text = config.read_text()
    proposed = yaml.safe_load("\n".join(re.findall(r"^#   (.*)$", text, flags=re.MULTILINE)))
    assert set(proposed) == {"webhook_configs", "email_configs", "slack_configs", "pagerduty_configs"}
    whole = yaml.safe_load(text)
    for receiver in whole["receivers"]:
        receiver.update(proposed)
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(whole))
    checked = run("amtool", "check-config", tmp_path / "alertmanager.yml")
    assert checked.returncode == 0, checked.stderr
    assert not re.search(r"(?:password|token|key|api_url|credentials): ", text)


@pytest.mark.parametrize("area", ["instance", "account", "collector", "exporter"])
@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_the_severity_decides_who_is_told(severity: str, area: str, config: Path, run: Run) -> None:
    labels = (f"severity={severity}", f"area={area}", "account=a", "alertname=Any")
    flags = (f"--config.file={config}", f"--verify.receivers={severity}")
    tested = run("amtool", "config", "routes", "test", *flags, *labels)
    assert tested.returncode == 0, tested.stderr


def test_all_that_the_inhibitions_name_exists(config: Path, alerts: list[dict[str, Any]]) -> None:
    known = {rule["alert"] for rule in alerts}
    for rule in yaml.safe_load(config.read_text())["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            assert set(re.findall(r"Vastai\w+", matcher)) <= known, matcher
    for pairs in (INHIBITED, TOLD):
        assert {told["alertname"] for pair in pairs.values() for told in pair} <= known


@pytest.fixture(scope="module")
def alertmanager(stack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real one with the repository's configuration; its URL."""
    folder = tmp_path_factory.mktemp("alertmanager")
    with (
        stack.Receiver(lambda _: None) as receiver,
        stack.Stack(
            folder, exporter="127.0.0.1:1", notify=receiver.url, values={}, interval=3600, waits=(1, 1)
        ) as it,
    ):
        yield it.alertmanager


@pytest.fixture(scope="module")
def inhibited(alertmanager: str) -> dict[str, bool]:
    """Whether the second alert of each pair is kept back; each pair in a world of its own."""
    pairs = INHIBITED | TOLD
    numbers = {name: str(number) for number, name in enumerate(pairs)}

    def apart(labels: Alert, number: str) -> Alert:
        """Return labels that no other pair shares: inhibitions compare account."""
        return (
            labels
            | {"pair": number}
            | ({"account": labels["account"] + number} if labels.get("account") else {})
        )

    for name, (source, target) in pairs.items():
        told = [{"labels": apart(labels, numbers[name])} for labels in (source, target)]
        if source["alertname"] == "VastaiExporterAbsent":
            continue
        requests.post(f"{alertmanager}/api/v2/alerts", json=told, timeout=10).raise_for_status()
    found = states(alertmanager, 2 * (len(pairs) - 1))
    result = {
        name: bool(
            found[numbers[name], target["alertname"], target["severity"], target.get("instance_id", "")]
        )
        for name, (source, target) in pairs.items()
        if source["alertname"] != "VastaiExporterAbsent"
    }
    name = "an absent exporter silences everything"
    told = [{"labels": apart(labels, numbers[name])} for labels in pairs[name]]
    requests.post(f"{alertmanager}/api/v2/alerts", json=told, timeout=10).raise_for_status()
    found = states(alertmanager, 2 * len(pairs))
    return result | {name: bool(found[numbers[name], "VastaiDataMissing", "critical", ""])}


def states(alertmanager: str, number: int) -> dict[tuple[str, ...], list[str]]:
    """Return what each alert is inhibited by, when all `number` of them have been looked at."""
    deadline = time.monotonic() + 60
    while True:
        reply = requests.get(f"{alertmanager}/api/v2/alerts", timeout=10).json()
        if len(reply) == number and all(entry["status"]["state"] != "unprocessed" for entry in reply):
            break
        assert time.monotonic() < deadline, reply
        time.sleep(0.1)
    keys = ("pair", "alertname", "severity", "instance_id")
    return {
        tuple(entry["labels"].get(key, "") for key in keys): entry["status"]["inhibitedBy"] for entry in reply
    }


@pytest.mark.parametrize("name", INHIBITED)
def test_it_keeps_back(name: str, inhibited: dict[str, bool]) -> None:
    assert inhibited[name]


@pytest.mark.parametrize("name", TOLD)
def test_it_tells_of_both(name: str, inhibited: dict[str, bool]) -> None:
    assert not inhibited[name]
