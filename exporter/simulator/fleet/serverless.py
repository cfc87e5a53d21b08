"""Define the serverless endpoints and which instances are their workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.simulator.fleet.catalog import Workload

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Contract

#: One in this many contracts for serving with a template is a worker.
WORKER_EVERY = 2


@dataclass(frozen=True, slots=True)
class ServerlessEndpoint:
    """One endpoint with its only group of workers."""

    id: int
    workergroup_id: int
    name: str
    state: str
    min_load: float
    cold_workers: int
    max_workers: int


#: The first two have workers, assigned by contract id. The last is suspended.
ENDPOINTS = (
    ServerlessEndpoint(19_392, 25_355, "vLLM-Qwen3-8B", "active", 10.0, 2, 16),
    ServerlessEndpoint(19_407, 25_371, "embeddings", "active", 0.0, 1, 8),
    ServerlessEndpoint(18_011, 24_106, "comfy-preview", "suspended", 0.0, 0, 4),
)


def endpoint_of(contract: Contract) -> ServerlessEndpoint | None:
    """Return the endpoint for which a contract's instance works; None for an ordinary instance."""
    template = contract.template
    if template.workload is not Workload.SERVING or template.number is None or contract.id % WORKER_EVERY:
        return None
    return ENDPOINTS[contract.id // WORKER_EVERY % 2]
