"""Collectors: one module per API resource, with its requests, interval and rows of the metric table."""

from exporter.collectors import (
    account,
    backups,
    charges,
    instances,
    market,
    notifications,
    price_increases,
    serverless,
    volumes,
)
from exporter.collectors.base import Collector

__all__ = ["COLLECTORS", "Collector"]

#: In the order of the exposition.
COLLECTORS: tuple[Collector, ...] = (
    instances.COLLECTOR,
    account.COLLECTOR,
    charges.COLLECTOR,
    price_increases.COLLECTOR,
    volumes.COLLECTOR,
    notifications.COLLECTOR,
    backups.COLLECTOR,
    market.COLLECTOR,
    serverless.COLLECTOR,
)
