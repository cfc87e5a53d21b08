"""The paginated list of instances: filters, order, cursor, columns.

Sorted by id, a page costs what its own rows cost, however many instances there are. A filter looks at
every instance, because total_instances counts what matches; any other order sorts them.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import islice
from operator import eq, ne
from typing import TYPE_CHECKING

from exporter.simulator.columns import STORED, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.simulator.fleet import Fleet
    from exporter.simulator.instance import Instance

MAX_LIMIT = 25
#: What a limit of 0 or less means.
LOW_LIMIT = 5

OPERATORS: dict[str, Callable[[object, object], bool]] = {
    "eq": eq,
    "neq": ne,
    "gt": lambda a, b: _difference(a, b) == 1,
    "gte": lambda a, b: _difference(a, b) in (0, 1),
    "lt": lambda a, b: _difference(a, b) == -1,
    "lte": lambda a, b: _difference(a, b) in (-1, 0),
    "in": lambda a, b: a in _list(b),
    "notin": lambda a, b: a not in _list(b),
}


class QueryError(Exception):
    """The query can't be answered; `error` is the API's word for why."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by; what is null comes last, or first when descending."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A request for one page, understood."""

    limit: int
    after: tuple[object, ...] | None
    orders: tuple[Order, ...]
    columns: tuple[str, ...] | None
    filters: tuple[tuple[str, str, object], ...]


def parse(params: Mapping[str, str]) -> Query:
    """Understand a request's parameters, or raise QueryError."""
    orders = _parse_orders(params.get("order_by", "[]"))
    token = params.get("after_token")
    return Query(
        limit=_parse_limit(params.get("limit", str(MAX_LIMIT))),
        after=_parse_token(token, orders) if token else None,
        orders=orders,
        columns=_parse_columns(params.get("select_cols", '["*"]')),
        filters=_parse_filters(params.get("select_filters", "{}")),
    )


def page(fleet: Fleet, query: Query) -> dict[str, object]:
    """The reply to a query, at the fleet's present time."""
    with fleet.lock:
        matching: list[Instance] | None = None
        if query.filters:
            matching = [i for i in fleet.roster if _matches(i, query.filters)]
        total = len(fleet.roster) if matching is None else len(matching)
        found = list(islice(_sorted_after(fleet, query, matching), query.limit + 1))
        shown = found[: query.limit]
        rows = [row(instance, fleet.now, query.columns) for instance in shown]
        return {
            "success": True,
            "instances_found": len(rows),
            "total_instances": total,
            "label_counts": Counter(instance.contract.label or "" for instance in shown),
            "next_token": make_token(shown[-1], query.orders) if len(found) > query.limit else None,
            "instances": rows,
        }


def make_token(instance: Instance, orders: tuple[Order, ...]) -> str:
    """The cursor that continues after an instance."""
    values = {order.column: STORED[order.column](instance) for order in orders}
    return base64.b64encode(json.dumps({"values": values}).encode()).decode()


def _sorted_after(fleet: Fleet, query: Query, matching: list[Instance] | None) -> Iterator[Instance]:
    """The instances behind the cursor, in the order asked for."""
    if query.orders == (Order("id", descending=False),):
        after = query.after[0] if query.after else None
        if after is not None and not isinstance(after, int):
            raise QueryError("invalid_token", "Invalid after_token")
        if matching is None:
            return fleet.roster.after(after)
        return (instance for instance in matching if after is None or instance.id > after)
    return _sort(fleet.roster if matching is None else matching, query)


def _sort(instances: Iterable[Instance], query: Query) -> Iterator[Instance]:
    getters = [STORED[order.column] for order in query.orders]
    turns = [-1 if order.descending else 1 for order in query.orders]

    def compare(left: tuple[object, ...], right: tuple[object, ...]) -> int:
        for turn, a, b in zip(turns, left, right, strict=True):
            if a != b:
                return turn * _before_or_after(a, b)
        return 0

    key = cmp_to_key(compare)
    keyed = [(key(tuple(getter(instance) for getter in getters)), instance) for instance in instances]
    if query.after is not None:
        cursor = key(query.after)
        try:
            keyed = [pair for pair in keyed if pair[0] > cursor]
        except TypeError as error:
            raise QueryError("invalid_token", "Invalid after_token") from error
    keyed.sort(key=lambda pair: pair[0])
    return (instance for _, instance in keyed)


def _before_or_after(a: object, b: object) -> int:
    """-1 if `a` comes first, 1 if `b` does; null comes last."""
    if a is None or b is None:
        return 1 if a is None else -1
    return -1 if a < b else 1  # type: ignore[operator]


def _matches(instance: Instance, filters: tuple[tuple[str, str, object], ...]) -> bool:
    return all(OPERATORS[name](STORED[column](instance), wanted) for column, name, wanted in filters)


def _difference(value: object, wanted: object) -> int | None:
    """-1, 0 or 1 as `value` is less, equal or more; None, which is neither, where one of them is null."""
    if value is None or wanted is None:
        return None
    try:
        return 0 if value == wanted else _before_or_after(value, wanted)
    except TypeError as error:
        raise _bad(f"{wanted!r} can't be compared") from error


def _list(wanted: object) -> list[object]:
    if not isinstance(wanted, list):
        raise _bad("in and notin want a list")
    return wanted


def _parse_limit(text: str) -> int:
    try:
        limit = int(text)
    except ValueError as error:
        raise _bad(f"limit {text} is not a number") from error
    return LOW_LIMIT if limit <= 0 else min(limit, MAX_LIMIT)


def _parse_orders(text: str) -> tuple[Order, ...]:
    directives = _parse_json(text, "order_by")
    if not isinstance(directives, list) or not all(isinstance(item, dict) for item in directives):
        raise _bad("order_by is not a list of objects")
    orders = []
    for directive in directives:
        column = directive.get("col")
        if not isinstance(column, str) or column not in STORED:
            raise _bad(f"{column} is not a valid sort key")
        orders.append(Order(column, directive.get("dir") == "desc"))
    if not any(order.column == "id" for order in orders):
        orders.append(Order("id", descending=False))
    return tuple(orders)


def _parse_token(token: str, orders: tuple[Order, ...]) -> tuple[object, ...]:
    try:
        values = json.loads(base64.b64decode(token, validate=True))["values"]
        return tuple(values[order.column] for order in orders)
    except (binascii.Error, ValueError, LookupError, TypeError) as error:
        raise QueryError("invalid_token", "Invalid after_token") from error


def _parse_columns(text: str) -> tuple[str, ...] | None:
    columns = _parse_json(text, "select_cols")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise _bad("select_cols is not a list of names")
    return None if "*" in columns else tuple(columns)


def _parse_filters(text: str) -> tuple[tuple[str, str, object], ...]:
    filters = _parse_json(text, "select_filters")
    if not isinstance(filters, dict):
        raise _bad("select_filters is not an object")
    found = []
    for column, conditions in filters.items():
        if column not in STORED:
            raise _bad(f"{column} is not a valid search key")
        if not isinstance(conditions, dict):
            raise _bad(f"{column} needs an operator")
        for name, wanted in conditions.items():
            if name not in OPERATORS:
                raise _bad(f"{name} is not a valid operator")
            found.append((column, name, wanted))
    return tuple(found)


def _parse_json(text: str, name: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _bad(f"{name} is not JSON") from error


def _bad(message: str) -> QueryError:
    return QueryError("invalid_request", f"Error in query parameters: {message}")
