"""The alerts' thresholds: a panel changes colour where an alert fires, and shows the same reason."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[2] / "deploy/prometheus/thresholds.yml"


@cache
def _all() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def threshold(name: str) -> float:
    """Return a numeric threshold."""
    return float(_all()[name]["value"])


def duration(name: str) -> str:
    """Return a duration in Prometheus's format."""
    return str(_all()[name]["value"])


def span(name: str) -> str:
    """Return a threshold in seconds as words, such as 3 days."""
    hours = round(threshold(name) / 3600)
    number, unit = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"{number} {unit}{'s' if number > 1 else ''}"


def why(name: str) -> str:
    """Return the reason of a threshold."""
    return str(_all()[name]["why"])
