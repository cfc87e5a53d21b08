"""List serverless endpoints, and on another host the workers of one endpoint.

The API returns workers in one of three forms: a list, an object with a list, or a message with status 200.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from exporter.simulator.api.endpoint import Host, Question, SimulatedEndpoint
from exporter.simulator.api.replies import Reply, error_reply, json_reply
from exporter.simulator.fleet import sensors
from exporter.simulator.fleet.serverless import ENDPOINTS as ALL
from exporter.simulator.fleet.serverless import endpoint_of

if TYPE_CHECKING:
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.serverless import ServerlessEndpoint

ENDPOINT_JOBS = "/api/v0/endptjobs/"
ENDPOINT_WORKERS = "/get_endpoint_workers/"
#: Status of a worker by the status of its instance; all others are stopped.
STATES = {None: "creating", "created": "created", "loading": "loading", "rebooting": "rebooting"}
#: Seconds for which a running worker loads its model.
MODEL_SECONDS = 90.0


def list_endpoints(question: Question) -> Reply:
    """Return all endpoints of the account, with their keys."""
    account = question.account
    with account.fleet.lock:
        if not any(endpoint_of(instance.contract) for instance in account.fleet.roster):
            return error_reply(400, "invalid_args", "No endpoints for user found")
    return json_reply({"success": True, "results": [describe(one, account.name) for one in ALL]})


def list_workers(question: Question) -> Reply:
    """Return the workers of the endpoint in the body."""
    wanted = question.body.get("id") if isinstance(question.body, dict) else None
    endpoint = next((one for one in ALL if one.id == wanted), None)
    fleet = question.account.fleet
    with fleet.lock:
        workers = [
            describe_worker(instance, fleet.now)
            for instance in fleet.roster
            if endpoint is not None and endpoint_of(instance.contract) is endpoint
        ]
    if endpoint is None or not workers:
        return json_reply({"error_msg": f"authenticate_endpoint_apikey: endpoint {wanted} not found"})
    return json_reply(workers if endpoint is ALL[0] else {"workers": workers})


def describe(endpoint: ServerlessEndpoint, account: str) -> dict[str, object]:
    """Return an endpoint's row."""
    return {
        "id": endpoint.id,
        "endpoint_name": endpoint.name,
        "endpoint_state": endpoint.state,
        "min_load": endpoint.min_load,
        "min_cold_load": 0.0,
        "target_util": 0.9,
        "cold_mult": 2.5,
        "cold_workers": endpoint.cold_workers,
        "max_workers": endpoint.max_workers,
        "max_queue_time": 30.0,
        "target_queue_time": 10.0,
        "inactivity_timeout": None,
        "auto_delete_in_seconds": None,
        "auto_delete_due_24h": False,
        "user_id": 100_000,
        "created_at": "2025-10-01T12:00:00Z",
        "api_key": sha256(f"endpoint {account} {endpoint.id}".encode()).hexdigest(),
    }


def describe_worker(instance: Instance, now: float) -> dict[str, Any]:
    """Return a worker's row; its id is its instance's."""
    contract = instance.contract
    busy = sensors.load(contract.profile, now) if instance.shown_status == "running" else 0.0
    perf = contract.machine.gpu.dlperf * contract.num_gpus
    port = 20_000 + contract.id % 20_000
    return {
        "id": instance.id,
        "status": state_of(instance, now),
        "url": f"https://{contract.machine.ip}:{port}",
        "cur_load": round(perf * busy, 3),
        "new_load": round(perf * busy, 3),
        "cur_load_rolling_avg": round(perf * busy * 0.95, 3),
        "cur_perf": round(perf * min(1.0, busy * 1.02), 3),
        "perf": perf,
        "measured_perf": perf if instance.ever_ran else 0.0,
        "dlperf": contract.machine.gpu.dlperf * contract.num_gpus,
        "reliability": contract.machine.reliability,
        "reqs_working": int(busy * 12),
        "disk_usage": round(contract.disk_space * contract.profile.disk_share, 2),
        "loaded_at": instance.running_since or 0.0,
        "started_at": contract.start_date,
    }


def state_of(instance: Instance, now: float) -> str:
    """Return a worker's status."""
    if instance.intended == "stopped":
        return "stopped"
    if instance.running_since is not None:
        return "model_loading" if now - instance.running_since < MODEL_SECONDS else "idle"
    if instance.lost:
        return "unavail"
    return STATES.get(instance.shown_status, "stopped")


ENDPOINTS = (
    SimulatedEndpoint(ENDPOINT_JOBS, list_endpoints, threshold=3.0),
    SimulatedEndpoint(ENDPOINT_WORKERS, list_workers, method="POST", host=Host.RUN),
)
