"""Describe the effective settings of a configuration for `check-config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.config.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.config.loading import AccountKey, Loaded
    from exporter.config.models import CollectorSettings, Discovery


def described(loaded: Loaded, file: Path | None) -> Iterator[str]:
    """Yield a line for each part of a valid configuration; `file` is its path, if any."""
    config = loaded.config
    yield f"{file or 'environment'}: valid"
    yield f"api: {config.api.url}"
    yield f"accounts: {', '.join(account.name for account in loaded.accounts)}"
    yield from filter(None, map(_budgets, loaded.accounts))
    for name, settings in config.collectors:
        yield f"collector {name}: {_times(settings)}"
    yield f"discovery: {_targets(config.discovery)}"
    yield f"metrics: {config.web.listen_address}{config.web.telemetry_path}"
    if config.web.config_file is not None:
        yield f"web configuration: {config.web.config_file}: valid"


def _budgets(account: AccountKey) -> str:
    """Return the monthly budgets of an account, or "" if it has none."""
    whole = [] if account.budget is None else [f"{account.budget:,.15g}"]
    labels = [f"{label or 'no label'}: {value:,.15g}" for label, value in account.label_budgets.items()]
    told = ", ".join([*whole, *labels])
    return f"budget {account.name}: {told} dollars per month" if told else ""


def _times(settings: CollectorSettings) -> str:
    if not settings.enabled:
        return "off"
    return f"every {format_duration(settings.interval)}, stale after {format_duration(settings.stale_after)}"


def _targets(discovery: Discovery) -> str:
    if not discovery.enabled:
        return "off"
    ports = f"ports {', '.join(map(str, discovery.ports))}" if discovery.ports else "all exposed TCP ports"
    if not discovery.labels:
        return f"{ports} of all running instances"
    return f"{ports} of running instances with label {', '.join(map(repr, discovery.labels))}"
