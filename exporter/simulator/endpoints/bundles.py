"""Search the market's offers: at most 64 per search, with a daily quota of searches."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.query import OPERATORS, Filter, QueryError, bad_query
from exporter.simulator.api.replies import Reply, json_reply
from exporter.simulator.fleet.instance import MONTH_HOURS
from exporter.simulator.fleet.ledger import DAY, day_of
from exporter.simulator.fleet.offers import offers_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.simulator.account import Account
    from exporter.simulator.fleet.offers import Offer

BUNDLES = "/api/v0/bundles/"
#: Maximum number of offers, whatever the request's limit.
MOST = 64
PER_MINUTE = 10
#: Default disk size in GB that an offer's price includes.
USUAL_STORAGE = 8.0
RENTALS = ("on-demand", "ondemand", "bid", "reserved")
#: Keys of the request that are not filters.
SETTINGS = frozenset({"type", "order", "limit", "allocated_storage", "external"})
#: A disk-only offer, without a GPU.
DISK_OFFER = {"id": 8_999_999, "ask_contract_id": 8_999_999, "machine_id": 49_999, "resource_type": "disk"}


def search_offers(question: Question) -> Reply:
    """Return the matching offers in the requested order."""
    account, now = question.account, question.account.fleet.now
    refusal = use_quota(account, now)
    if refusal is not None:
        return refusal
    body = question.body
    if not isinstance(body, dict):
        raise QueryError("invalid_request", "Invalid json body")
    rental = body.get("type", "on-demand")
    if rental not in RENTALS:
        raise bad_query(f"{rental} is not a valid type")
    storage = number_of(body, "allocated_storage", USUAL_STORAGE)
    rows: list[dict[str, Any]] = [
        describe(one, rental, storage, now) for one in offers_at(account.fleet.seed, now)
    ]
    rows.append(describe_disk(rows[0]))
    filters = list(filters_of(body))
    # A filter may use a name that rows lack: `verified` corresponds to a text in the row.
    asked = [({**row, "verified": row["verification"] == "verified"}, row) for row in rows]
    rows = [row for seen, row in asked if all(accepts(seen) for accepts in filters)]
    limit = min(int(number_of(body, "limit", MOST)), MOST)
    return json_reply({"offers": sort(rows, body.get("order", [["score", "desc"]]))[:limit]})


def use_quota(account: Account, now: float) -> Reply | None:
    """Count a search; return the refusal if the quota since midnight (UTC) is exhausted."""
    account.searches[day_of(now)] += 1
    if account.searches[day_of(now)] <= account.search_quota:
        return None
    body = {"success": False, "error": "search_quota_exceeded", "msg": "Daily search quota exceeded"}
    refusal = json_reply(body, 429)
    reset = str(int((day_of(now) + 1) * DAY))
    return Reply(429, refusal.body, {**refusal.headers, "x-ratelimit-reset": reset})


def filters_of(body: Mapping[str, Any]) -> Iterable[Callable[[Mapping[str, Any]], bool]]:
    """Yield the conditions that every row must meet."""
    for column, conditions in body.items():
        if column in SETTINGS:
            continue
        if not isinstance(conditions, dict) or not conditions.keys() <= OPERATORS.keys():
            raise bad_query(f"{column} needs an operator")
        for name, wanted in conditions.items():
            yield accepts_rows(column, name, wanted)


def accepts_rows(column: str, operator: str, wanted: object) -> Callable[[Mapping[str, Any]], bool]:
    """Return a row filter; it also accepts numbers written as text, which the vendor's client sends."""

    def accepts(row: Mapping[str, Any]) -> bool:
        value, meant = row.get(column), wanted
        if isinstance(value, int | float) and isinstance(wanted, str):
            with suppress(ValueError):
                meant = float(wanted)
        return Filter(column, operator, meant).accepts(value)

    return accepts


def is_pair(order: object) -> bool:
    """Return whether `order` is a pair of column and direction."""
    return isinstance(order, list) and [type(one) for one in order] == [str, str]


def number_of(body: Mapping[str, Any], name: str, usual: float) -> float:
    """Return a number in the request."""
    value = body.get(name, usual)
    if not isinstance(value, int | float):
        raise bad_query(f"{name} is not a number")
    return value


def sort(rows: list[dict[str, Any]], order: object) -> list[dict[str, Any]]:
    """Return rows in the requested order; null comes last."""
    if not isinstance(order, list) or not all(map(is_pair, order)):
        raise bad_query("order is not a list of pairs")
    for column, turn in reversed(order):
        known = [row for row in rows if row.get(column) is not None]
        known.sort(key=lambda row: row[column], reverse=turn == "desc")
        rows = known + [row for row in rows if row.get(column) is None]
    return rows


def describe(offer: Offer, rental: str, storage: float, now: float) -> dict[str, Any]:
    """Return an offer's row for the requested rental type."""
    machine, gpu = offer.machine, offer.machine.gpu
    floor = machine.floor * offer.num_gpus
    base = floor if rental == "bid" else offer.gpu_price(now) * offer.num_gpus
    disk = machine.storage_cost * storage / MONTH_HOURS
    dlperf = gpu.dlperf * offer.num_gpus
    return {
        "id": offer.id,
        "ask_contract_id": offer.id,
        "bundle_id": offer.id - 1_000_000,
        "machine_id": machine.machine_id,
        "host_id": machine.host_id,
        "resource_type": "gpu",
        "gpu_name": gpu.name,
        "gpu_ram": gpu.ram_mib,
        "gpu_total_ram": gpu.ram_mib * offer.num_gpus,
        "gpu_frac": offer.num_gpus / machine.num_gpus,
        "gpu_arch": "nvidia",
        "gpu_max_power": 450.0,
        "gpu_max_temp": 90.0,
        "num_gpus": offer.num_gpus,
        "dlperf": dlperf,
        "dlperf_per_dphtotal": dlperf / (base + disk),
        "score": dlperf / (base + disk),
        "is_bid": rental == "bid",
        "min_bid": round(floor, 4),
        "dph_base": round(base, 6),
        "dph_total": round(base + disk, 6),
        "discounted_dph_total": round(base * (0.7 if rental == "reserved" else 1.0) + disk, 6),
        "storage_cost": machine.storage_cost,
        "storage_total_cost": disk,
        "inet_up": machine.inet_up,
        "inet_down": machine.inet_down,
        "inet_up_cost": machine.inet_up_cost,
        "inet_down_cost": machine.inet_down_cost,
        "reliability": machine.reliability,
        "reliability2": machine.reliability,
        "expected_reliability": machine.reliability,
        "verification": machine.verification,
        "is_vm_deverified": False,
        "rentable": True,
        "rented": False,
        "duration": 30 * DAY,
        "end_date": now + 30 * DAY,
        "geolocation": machine.place.geolocation,
        "static_ip": machine.static_ip,
        "public_ipaddr": machine.ip,
        "cpu_name": machine.board.cpu_name,
        "cpu_cores": machine.board.cpu_cores,
        "cpu_ram": machine.ram_mib,
        "cuda_max_good": machine.cuda_max_good,
        "driver_version": machine.driver_version,
        "hostname": None,
        "cluster_id": None,
        "webpage": None,
    }


def describe_disk(like: Mapping[str, Any]) -> dict[str, Any]:
    """Return a disk-only offer, which the market has too."""
    return {
        **like,
        **DISK_OFFER,
        "gpu_name": "N/A",
        "num_gpus": 0,
        "min_bid": None,
        "dph_base": 0.0,
        "dph_total": like["storage_total_cost"],
        "dlperf": None,
        "dlperf_per_dphtotal": None,
        "score": None,
    }


ENDPOINTS = (SimulatedEndpoint(BUNDLES, search_offers, method="POST", per_minute=PER_MINUTE),)
