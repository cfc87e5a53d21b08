"""What incidents are watched with: a calm fleet, the exporter as a process, the webhook that is notified."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import Popen
    from types import ModuleType

    from exporter.simulator import Fleet

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
    "stopped_for": "1h",
    # Inhibited by VastaiKeyRejected, once that has reached Alertmanager.
    "failing_for": "10s",
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


def calm(fleet: Fleet, now: float) -> None:
    fleet.set_autobill(None, None)
    fleet.set_credit(1e6)
    for number in fleet.ids():
        if fleet.instance(number).status == "running":
            fleet.override(number, **CALM, end_date=now + 1e8)
        else:
            fleet.destroy(number)


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
