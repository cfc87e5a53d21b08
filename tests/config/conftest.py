"""Configurations as users write them."""

from __future__ import annotations

from tests.support.program import (
    certificates,
    environment,
    eventually,
    hashed,
    prometheus,
    run,
    settings,
    start,
    vast,
    write,
)

__all__ = [
    "certificates",
    "environment",
    "eventually",
    "hashed",
    "prometheus",
    "run",
    "settings",
    "start",
    "vast",
    "write",
]
