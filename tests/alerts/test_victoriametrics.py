"""VictoriaMetrics scrapes, vmalert evaluates the rules that ship, and its alerts say what is right."""

from __future__ import annotations

import subprocess
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from exporter.simulator import IncidentType
from tests.alerts.conftest import ROOT, RULE_FILES
from tests.support.alerting import DURATIONS, PATIENCE
from tests.support.victoriametrics import program, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from exporter.simulator import SimulatedVast
    from tests.support.alerting import Exporter

pytestmark = [pytest.mark.peers, pytest.mark.victoriametrics, pytest.mark.timeout(400)]


#: Seconds that alerts may take: VictoriaMetrics shows a new series after ten, and rules stand upon rules.
SETTLED = 200.0


class Notifier:
    """What vmalert has sent so far, as it would to Alertmanager."""

    def __init__(self) -> None:
        self._received: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def notified(self, alerts: Any) -> None:  # noqa: ANN401 - a list, where a webhook gets a dictionary
        with self._changed:
            self._received.extend(alerts)
            self._changed.notify_all()

    def wait_for(self, *alerts: str) -> dict[str, dict[str, Any]]:
        """Wait until each of these has fired; return the first of each by its name."""

        def fired() -> dict[str, dict[str, Any]]:
            return {alert["labels"]["alertname"]: alert for alert in reversed(self._received)}

        with self._changed:
            assert self._changed.wait_for(lambda: set(alerts) <= fired().keys(), SETTLED), fired()
        return fired()


def flag_of_rules(folder: Path) -> str:
    return "-rule=" + ",".join(str(folder / name) for name in RULE_FILES)


def test_vmalert_takes_the_rules_that_ship() -> None:
    command = [program("vmalert"), "-dryRun", flag_of_rules(ROOT / "deploy/prometheus")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def notifier() -> Notifier:
    return Notifier()


@pytest.fixture
def victoriametrics(
    exporter: Exporter, notifier: Notifier, stack: ModuleType, generator: ModuleType, tmp_path: Path
) -> Iterator[str]:
    """VictoriaMetrics, whose URL it is, scrapes the exporter by the job that ships; vmalert notifies."""
    url, alerting = (f"http://127.0.0.1:{stack.free_port()}" for _ in range(2))
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [exporter.address]}]
    scrape = tmp_path / "scrape.yml"
    scrape.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    values = {name: "1s" for name in generator.defaults() if name.endswith("_for")} | DURATIONS
    # On a busy machine a scrape may be seconds late.
    values["idle_window"] = "15s"
    for name, text in generator.generate(values).items():
        (tmp_path / name).write_text(text)
    receiver = stack.Receiver(notifier.notified)
    database = [
        program("victoria-metrics"),
        f"-storageDataPath={tmp_path / 'data'}",
        f"-httpListenAddr={url.removeprefix('http://')}",
        f"-promscrape.config={scrape}",
        # What is scraped and recorded can be asked for at once, and not after 30 s.
        "-search.latencyOffset=0s",
        "-inmemoryDataFlushInterval=1s",
    ]
    evaluation = [
        program("vmalert"),
        flag_of_rules(tmp_path),
        f"-datasource.url={url}",
        f"-remoteWrite.url={url}",
        f"-remoteRead.url={url}",
        f"-notifier.url={receiver.url.rstrip('/')}",
        f"-httpListenAddr={alerting.removeprefix('http://')}",
        "-evaluationInterval=1s",
        "-rule.evalDelay=0s",
        "-remoteWrite.flushInterval=100ms",
    ]
    with ExitStack() as running:
        running.enter_context(receiver)
        running.enter_context(serving(url, database, tmp_path / "victoriametrics.log"))
        running.enter_context(serving(alerting, evaluation, tmp_path / "vmalert.log"))
        yield url


def test_incidents_are_recorded_and_arrive(
    vast: SimulatedVast,
    exporter: Exporter,
    notifier: Notifier,
    victoriametrics: str,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    def asked(query: str) -> dict[str, float]:
        reply = requests.get(f"{victoriametrics}/api/v1/query", params={"query": query}, timeout=PATIENCE)
        return {
            one["metric"].get("account", ""): float(one["value"][1]) for one in reply.json()["data"]["result"]
        }

    idle, *_ = fleet = vast.fleet.ids()
    vast.inject(IncidentType.IDLE, idle, 1e6)
    del vast.fleet.instance(idle).overrides["gpu_util"]
    vast.fleet.set_credit(0.01)
    vast.revoke("second")
    with exporter.running():
        fired = notifier.wait_for("VastaiInstanceIdle", "VastaiCreditRunningOut", "VastaiKeyRejected")
        eventually(lambda: asked("sum by (account) (vastai_instances)") == {"default": len(fleet)})
        burn = "account:vastai_instance_burn_dollars_per_hour:sum"
        eventually(
            lambda: (
                asked(burn)
                == pytest.approx(asked("sum by (account) (vastai_instance_burn_dollars_per_hour)"))
            )
        )

    assert fired["VastaiInstanceIdle"]["labels"]["instance_id"] == str(idle)
    assert " is idle and costs $" in fired["VastaiInstanceIdle"]["annotations"]["summary"]
    assert fired["VastaiCreditRunningOut"]["labels"]["account"] == "default"
    assert fired["VastaiKeyRejected"]["labels"]["account"] == "second"
