"""All endpoints: each module here lists its own in `ENDPOINTS` and needs no other registration.

def list_things(question: Question) -> Reply:
    fleet = question.account.fleet
    with fleet.lock:
        return json_reply({"things": [{"id": instance.id} for instance in fleet.roster]})

ENDPOINTS = (SimulatedEndpoint("/api/v0/things/", list_things, threshold=5.5),)
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.simulator.api.endpoint import SimulatedEndpoint


@cache
def find_endpoints() -> tuple[SimulatedEndpoint, ...]:
    """Return all endpoints in matching order: literal paths before paths with placeholders.

    Raises:
        ValueError: two endpoints have the same path.

    """
    found: dict[str, SimulatedEndpoint] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for endpoint in import_module(module.name).ENDPOINTS:
            if endpoint.path in found:
                raise ValueError(f"two endpoints have the path {endpoint.path}")
            found[endpoint.path] = endpoint
    return tuple(sorted(found.values(), key=lambda endpoint: endpoint.path.count("{")))
