"""Assumptions about an instance's addresses; `probe` never requests them, so none is checked."""

from __future__ import annotations

from exporter.collectors.assumptions.declaration import Assumption

ASSUMPTIONS = (
    Assumption(
        name="instances_ports",
        sentence='`ports` holds Docker\'s mappings, `{"8000/tcp": [{"HostIp", "HostPort"}]}`, of running'
        " instances, and `public_ipaddr` with a `HostPort` leads to the container",
        consequence="read only with `discovery`; anything else is no target, and is counted",
        confidence="likely",
        origin="documents",
    ),
)
