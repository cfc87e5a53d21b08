"""List charges by contract for a range of days."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.paging import Table, take_page
from exporter.simulator.api.query import (
    Order,
    PageLimits,
    Query,
    QueryError,
    bad_query,
    parse_limit,
    parse_token,
)
from exporter.simulator.api.replies import Reply, error_reply, json_reply
from exporter.simulator.fleet.instance import KB_OF_GB
from exporter.simulator.fleet.ledger import DAY, day_of
from exporter.simulator.fleet.serverless import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.simulator.fleet.fleet import Fleet
    from exporter.simulator.fleet.instance import Contract
    from exporter.simulator.fleet.spending import Amounts

CHARGES = "/api/v0/charges/"
LIMITS = PageLimits(default=100, most=500, low=1)
TYPES = ("instance", "volume", "serverless")


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of one contract."""

    contract: Contract
    amounts: Amounts
    start: int
    end: int

    @property
    def type(self) -> str:
        """One of `TYPES`."""
        return "serverless" if endpoint_of(self.contract) else "instance"


def list_charges(question: Question) -> Reply:
    """Return a page of charges for the requested days."""
    try:
        first, last, types = parse_filters(question.params)
        query = parse_charges_query(question.params)
    except QueryError as error:
        return error_reply(400, error.error, error.message)
    fleet = question.account.fleet
    with fleet.lock:
        charges = [one for one in charges_of(fleet, first, last) if one.type in types]
    stored = {"start": lambda one: one.start, "id": lambda one: one.contract.id}
    page = take_page(Table(charges, stored, key="id"), query)
    rows = [describe(one) for one in page.rows]
    if question.params.get("format") == "tree":
        rows = collapse(page.rows)
    return json_reply(
        {
            "success": True,
            "count": len(page.rows),
            "total": page.total,
            "next_token": page.next_token,
            "results": rows,
        }
    )


def parse_filters(params: Mapping[str, str]) -> tuple[int, int, tuple[str, ...]]:
    """Return the first day, the last day and the types."""
    try:
        filters = json.loads(params.get("select_filters", "{}"))
        first, last = (day_of(float(filters["day"][bound])) for bound in ("gte", "lte"))
        return first, last, tuple(filters.get("type", {}).get("in", TYPES))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        message = "Must provide both 'day' gte and lte filters for instance charges"
        raise QueryError("invalid_args", message) from error


def parse_charges_query(params: Mapping[str, str]) -> Query:
    """Return the order and the page."""
    latest_first = params.get("latest_first", "true").lower()
    if latest_first not in ("true", "false"):
        raise bad_query("latest_first is true or false")
    orders = (Order("start", latest_first == "true"), Order("id", latest_first == "true"))
    return Query(parse_limit(params, LIMITS), parse_token(params, orders), orders)


def charges_of(fleet: Fleet, first: int, last: int) -> list[Charge]:
    """Return the cost of each contract on these days."""
    ledger = fleet.ledger
    until = min((last + 1) * DAY, fleet.now)
    found = []
    for contract_id, amounts in ledger.between(first, last).items():
        contract = ledger.contract(contract_id)
        start = int(max(contract.start_date, first * DAY))
        found.append(Charge(contract, amounts, start, int(until)))
    return found


def describe(charge: Charge) -> dict[str, Any]:
    """Return a charge's row."""
    items = describe_items(charge)
    contract, endpoint = charge.contract, endpoint_of(charge.contract)
    metadata = {
        "template_id": contract.template.number,
        "label": contract.label,
        "endpoint_id": endpoint.id if endpoint else None,
        "workergroup_id": endpoint.workergroup_id if endpoint else None,
    }
    days = max(1, day_of(charge.end) - day_of(charge.start) + 1)
    return {
        "start": charge.start,
        "end": charge.end,
        "type": "instance",
        "source": f"instance-{contract.id}",
        "description": f"Instance {contract.id} Charges - {days} days",
        "amount": round(sum(item["amount"] for item in items), 3),
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "items": items,
    }


def describe_items(charge: Charge) -> list[dict[str, Any]]:
    """Return a charge's items; items without cost are omitted."""
    amounts, contract = charge.amounts, charge.contract
    up, down = contract.traffic_cost(amounts.up_kb, amounts.down_kb)
    machine = contract.machine
    found = (
        ("gpu", amounts.gpu, f"{amounts.gpu_hours:.3f} hours at ${contract.dph_base:.3f}/hour"),
        ("disk", amounts.disk, f"{amounts.disk_hours:.3f} hours at ${contract.storage_total_cost:.5f}/hour"),
        ("bwd", down, f"{amounts.down_kb / KB_OF_GB:.3f} GB at ${machine.inet_down_cost:.3f}/GB"),
        ("bwu", up, f"{amounts.up_kb / KB_OF_GB:.3f} GB at ${machine.inet_up_cost:.3f}/GB"),
    )
    return [
        {
            "start": charge.start,
            "end": charge.end,
            "type": name,
            "source": None,
            "description": description,
            "amount": round(amount, 6),
            "metadata": {},
            "items": [],
        }
        for name, amount, description in found
        if round(amount, 6)
    ]


def collapse(charges: list[Charge]) -> list[dict[str, Any]]:
    """Return the rows as a tree: workers below their endpoint and its group, others at the top."""
    rows: list[dict[str, Any]] = []
    below: dict[int, list[dict[str, Any]]] = {}
    for charge in charges:
        endpoint, row = endpoint_of(charge.contract), describe(charge)
        if endpoint is None:
            rows.append(row)
        elif endpoint.id in below:
            below[endpoint.id].append(row)
        else:
            below[endpoint.id] = [row]
            group = wrapper(f"workergroup-{endpoint.workergroup_id}", below[endpoint.id])
            rows.append(wrapper(f"endpoint-{endpoint.id}", [group]))
    for row in rows:
        total(row)
    return rows


def wrapper(source: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a row that groups contracts, without its amount."""
    shared = {"type": "serverless", "source": source, "description": f"{source} charges", "metadata": {}}
    return {**shared, "start": items[0]["start"], "end": items[0]["end"], "items": items}


def total(row: dict[str, Any]) -> float:
    """Return the amount of a row, and set it in grouping rows."""
    if "amount" not in row:
        row["amount"] = round(sum(total(item) for item in row["items"]), 3)
    return float(row["amount"])


ENDPOINTS = (SimulatedEndpoint(CHARGES, list_charges, threshold=1.0),)
