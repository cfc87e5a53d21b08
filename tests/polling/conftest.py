"""Loops against an API that does whatever a test says."""

from __future__ import annotations

from tests.support.loops import logged, new_loop, text
from tests.support.pipeline import promtool
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
    "logged",
    "new_loop",
    "promtool",
    "proxy",
    "second_api",
    "setup",
    "text",
    "time",
    "tls",
    "trusted_tls",
]
