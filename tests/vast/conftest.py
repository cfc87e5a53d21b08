"""The client against an API that does whatever a test says."""

from __future__ import annotations

from tests.support.scripted_api import (
    _no_proxies,
    api,
    certificate,
    chance,
    closed_port,
    endpoint,
    full_port,
    proxy,
    second_api,
    setup,
    time,
    tls,
    trusted_tls,
)

__all__ = [
    "_no_proxies",
    "api",
    "certificate",
    "chance",
    "closed_port",
    "endpoint",
    "full_port",
    "proxy",
    "second_api",
    "setup",
    "time",
    "tls",
    "trusted_tls",
]
