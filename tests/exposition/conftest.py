"""The bytes of /metrics."""

from __future__ import annotations

from tests.support.pipeline import account, api, exporter, golden, new_exporter, promtool, whole_row

__all__ = [
    "account",
    "api",
    "exporter",
    "golden",
    "new_exporter",
    "promtool",
    "whole_row",
]
