"""Small fleets of which everything is known, written as Prometheus would have scraped them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana import history, tsdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

STEP = 60.0
HOUR = 3600.0
DAY = 24 * HOUR
GIB = 2.0**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Rented:
    """An instance, as it is all the time."""

    number: int
    account: str = "research"
    label: str = "train"
    gpu_name: str = "H100 SXM"
    cost: float = 1.0
    price: float = 1.0
    status: str = "running"
    intended: str = "running"
    util: float | None = 0.9
    temperature: float = 60.0
    ends_in: float = 30 * DAY
    disk: float = 0.1

    def samples(self, now: float) -> Iterator[tuple[str, float]]:
        """Yield what is scraped of it."""
        own = {"account": self.account, "instance_id": str(self.number)}
        info = own | {"label": self.label, "gpu_name": self.gpu_name, "machine_id": "7", "host_id": "3"}
        status = own | {"status": self.status, "intended_status": self.intended}
        yield series("vastai_instance_info", info | {"rental": "on_demand"}), 1
        yield series("vastai_instance_status", status), 1
        values: dict[str, float | None] = {
            "status_since_timestamp_seconds": history.END - 5 * HOUR,
            "burn_dollars_per_hour": self.cost,
            "dph_total_dollars_per_hour": self.price,
            "storage_total_cost_dollars_per_hour": 0.1,
            "num_gpus": 2,
            "disk_util_ratio": self.disk,
            "disk_space_bytes": 1e11,
            "end_timestamp_seconds": now + self.ends_in,
        }
        if self.status == "running":
            values["gpu_util_ratio"] = self.util
            values["gpu_temp_celsius"] = self.temperature
            values["telemetry_missing"] = self.util is None
            values["vmem_usage_bytes"] = 8 * GIB
            values["gpu_totalram_bytes"] = 80 * GIB
        for name, value in values.items():
            if value is not None:
                yield series(f"vastai_instance_{name}", own), float(value)


def series(name: str, labels: Mapping[str, str]) -> str:
    """Return a series as OpenMetrics writes it."""

    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return name + "{" + ",".join(f'{label}="{escaped(value)}"' for label, value in labels.items()) + "}"


def scraped(fleet: Iterable[Rented], now: float) -> Iterator[tuple[str, float]]:
    """Yield what is scraped of a fleet at one moment, all collectors being well."""
    fleet = list(fleet)
    for rented in fleet:
        yield from rented.samples(now)
    for account in dict.fromkeys(rented.account for rented in fleet):
        own = {"account": account}
        running = sum(rented.account == account and rented.status == "running" for rented in fleet)
        yield series("vastai_instances", own | {"status": "running"}), running
        yield series("vastai_account_credit_dollars", own), 1e5
        for collector in ("instances", "account"):
            of_it = own | {"collector": collector, "job": "vastai-exporter", "instance": "one"}
            yield series("vastai_collector_success", of_it), 1
            yield series("vastai_collector_last_success_timestamp_seconds", of_it), now
            yield series("vastai_collector_interval_seconds", of_it), 60
            yield series("vastai_collector_duration_seconds", of_it), 2


def write(folder: Path, fleet: Iterable[Rented], hours: float) -> None:
    """Put hours of a fleet, up to the end of histories, and what rules make of them into `folder`."""
    fleet = list(fleet)
    begin = history.END - hours * HOUR
    moments = [begin + number * STEP for number in range(round(hours * HOUR / STEP) + 1)]
    lines = (
        f"{name} {value:.17g} {now:.0f}\n".encode() for now in moments for name, value in scraped(fleet, now)
    )
    tsdb.write(folder, (*lines, b"# EOF\n"))
    tsdb.evaluate(folder, history.RULES, begin, history.END, STEP)


def known(folder: Path, samples: Mapping[str, float], minutes: int = 30) -> None:
    """Put series that do not change into `folder`, recorded ones too, as if rules had been evaluated."""
    lines = (
        f"{name} {value:.17g} {history.END + number * STEP:.0f}\n".encode()
        for name, value in samples.items()
        for number in range(1 - minutes, 1)
    )
    tsdb.write(folder, (*lines, b"# EOF\n"))
