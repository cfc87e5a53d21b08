"""Assumptions about instances."""

from __future__ import annotations

from exporter.collectors.assumptions import (
    instance_addresses,
    instance_pages,
    instance_prices,
    instance_readings,
    instance_states,
    instance_traffic,
)

ASSUMPTIONS = (
    *instance_pages.ASSUMPTIONS,
    *instance_readings.ASSUMPTIONS,
    *instance_traffic.ASSUMPTIONS,
    *instance_prices.ASSUMPTIONS,
    *instance_states.ASSUMPTIONS,
    *instance_addresses.ASSUMPTIONS,
)
