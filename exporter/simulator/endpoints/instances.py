"""List instances in pages, a single instance, and filter values; the old list is switched off."""

from __future__ import annotations

from collections import Counter

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.paging import Table, take_page
from exporter.simulator.api.query import PageLimits, parse_query
from exporter.simulator.api.replies import Reply, error_reply, json_reply
from exporter.simulator.fleet.instance_row import STORED, row

INSTANCES = "/api/v1/instances/"
OLD_INSTANCES = "/api/v0/instances/"
INSTANCE = "/api/v0/instances/{id}/"
FILTERS = "/api/v0/instances/filters/"

LIMITS = PageLimits(default=25, most=25, low=5)


def list_instances(question: Question) -> Reply:
    """Return a page of the account's instances."""
    fleet = question.account.fleet
    query = parse_query(question.params, LIMITS, STORED, key="id")
    with fleet.lock:
        page = take_page(Table(fleet.roster, STORED, key="id", after=fleet.roster.after), query)
        rows = [row(instance, fleet.now, query.columns) for instance in page.rows]
        return json_reply(
            {
                "success": True,
                "instances_found": len(rows),
                "total_instances": page.total,
                "label_counts": Counter(instance.contract.label or "" for instance in page.rows),
                "next_token": page.next_token,
                "instances": rows,
            }
        )


def list_instances_v0(_: Question) -> Reply:
    """Refuse the old list, which was switched off."""
    message = "This endpoint is deprecated. Use /api/v1/instances/ instead."
    return error_reply(410, "deprecated_endpoint", message)


def show_instance(question: Question) -> Reply:
    """Return one instance, or null if the id does not exist."""
    text = question.path_params["id"]
    if not text.isdecimal():
        return error_reply(400, "invalid_args", f"Invalid instance id: {text}")
    fleet = question.account.fleet
    with fleet.lock:
        instance = fleet.roster.get(int(text))
        return json_reply({"instances": None if instance is None else row(instance, fleet.now)})


def list_filters(question: Question) -> Reply:
    """Return the combinations of status, verification and GPU that occur."""
    fleet = question.account.fleet
    with fleet.lock:
        combinations = {
            (i.status, i.contract.machine.verification, i.contract.machine.gpu.name): None
            for i in fleet.roster
        }
    names = ("actual_status", "verification", "gpu_name")
    return json_reply({"filters": [dict(zip(names, values, strict=True)) for values in combinations]})


ENDPOINTS = (
    SimulatedEndpoint(INSTANCES, list_instances, threshold=1.0),
    SimulatedEndpoint(OLD_INSTANCES, list_instances_v0),
    SimulatedEndpoint(INSTANCE, show_instance, threshold=2.0),
    SimulatedEndpoint(FILTERS, list_filters),
)
