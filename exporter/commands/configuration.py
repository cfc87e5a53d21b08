"""Load the configuration of this program: the models of `exporter.config` with all collectors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.collectors import COLLECTORS, instances
from exporter.config import loading
from exporter.config.mistakes import ConfigError
from exporter.config.models import config_model
from exporter.web.access import read_access

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.config.loading import Loaded, Shard

CONFIG = config_model(COLLECTORS)


def load(
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, str | None],
    shard: Shard = loading.ONLY_SHARD,
) -> Loaded:
    """Read and check everything, including the web configuration; see `exporter.config.loading.load`.

    Raises:
        ConfigError: the configuration is invalid.

    """
    loaded = loading.load(CONFIG, path, environ, flags, shard)
    _check_discovery(loaded)
    if loaded.config.web.config_file is not None:
        read_access(loaded.config.web.config_file)  # to report errors before anything changes
    return loaded


def with_run_url(loaded: Loaded, url: str) -> Loaded:
    """Return the configuration with `url` as the host for serverless workers."""
    api = loaded.config.api.model_copy(update={"run_url": url})
    return replace(loaded, config=loaded.config.model_copy(update={"api": api}))


def with_discovery(loaded: Loaded) -> Loaded:
    """Return the configuration with discovery enabled.

    Raises:
        ConfigError: a required collector is disabled.

    """
    discovery = loaded.config.discovery.model_copy(update={"enabled": True})
    loaded = replace(loaded, config=loaded.config.model_copy(update={"discovery": discovery}))
    _check_discovery(loaded)
    return loaded


def _check_discovery(loaded: Loaded) -> None:
    config = loaded.config
    if config.discovery.enabled and not config.collectors.named(instances.COLLECTOR.name).enabled:
        raise ConfigError(["discovery.enabled: true: requires collectors.instances.enabled: true"])


def with_all_collectors(loaded: Loaded) -> Loaded:
    """Return the configuration with all collectors enabled."""
    switched_on = {
        name: settings.model_copy(update={"enabled": True}) for name, settings in loaded.config.collectors
    }
    collectors = loaded.config.collectors.model_copy(update=switched_on)
    return replace(loaded, config=loaded.config.model_copy(update={"collectors": collectors}))
