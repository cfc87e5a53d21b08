"""Parse a request for a page: number of rows, cursor, order and filters."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from operator import eq, ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping


class QueryError(Exception):
    """An invalid query; `error` is the API's error code."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Rows per page: the default, the maximum, and the number for a limit of 0 or less."""

    default: int
    most: int
    low: int


@dataclass(frozen=True, slots=True)
class Order:
    """A sort column; null comes last, or first in descending order."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a column's value."""

    column: str
    operator: str
    wanted: object

    def accepts(self, value: object) -> bool:
        """Return whether the value meets the condition."""
        return OPERATORS[self.operator](value, self.wanted)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed request for one page."""

    limit: int
    #: Sort keys of the previous page's last row.
    after: tuple[object, ...] | None
    orders: tuple[Order, ...]
    #: None for all columns.
    columns: tuple[str, ...] | None = None
    filters: tuple[Filter, ...] = ()


def parse_query(params: Mapping[str, str], limits: PageLimits, stored: Container[str], *, key: str) -> Query:
    """Parse the parameters of a request.

    Args:
        params: query parameters.
        limits: page limits.
        stored: columns for filters and orders.
        key: column that breaks ties.

    Raises:
        QueryError: the query is invalid.

    """
    orders = parse_orders(params.get("order_by", "[]"), stored, key)
    return Query(
        limit=parse_limit(params, limits),
        after=parse_token(params, orders),
        orders=orders,
        columns=parse_columns(params.get("select_cols", '["*"]')),
        filters=parse_filters(params.get("select_filters", "{}"), stored),
    )


def parse_limit(params: Mapping[str, str], limits: PageLimits) -> int:
    """Return the maximum number of rows of the page."""
    text = params.get("limit", str(limits.default))
    try:
        limit = int(text)
    except ValueError as error:
        raise bad_query(f"limit {text} is not a number") from error
    return limits.low if limit <= 0 else min(limit, limits.most)


def parse_token(params: Mapping[str, str], orders: tuple[Order, ...]) -> tuple[object, ...] | None:
    """Return the sort keys after which the page starts, or None for the first row."""
    token = params.get("after_token")
    if not token:
        return None
    try:
        values = json.loads(base64.b64decode(token, validate=True))["values"]
        return tuple(values[order.column] for order in orders)
    except (binascii.Error, ValueError, LookupError, TypeError) as error:
        raise bad_token() from error


def parse_orders(text: str, stored: Container[str], key: str) -> tuple[Order, ...]:
    """Return the sort columns."""
    directives = parse_json(text, "order_by")
    if not isinstance(directives, list) or not all(isinstance(item, dict) for item in directives):
        raise bad_query("order_by is not a list of objects")
    orders = []
    for directive in directives:
        column = directive.get("col")
        if not isinstance(column, str) or column not in stored:
            raise bad_query(f"{column} is not a valid sort key")
        orders.append(Order(column, directive.get("dir") == "desc"))
    if not any(order.column == key for order in orders):
        orders.append(Order(key, descending=False))
    return tuple(orders)


def parse_columns(text: str) -> tuple[str, ...] | None:
    """Return the columns to show, or None for all."""
    columns = parse_json(text, "select_cols")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise bad_query("select_cols is not a list of names")
    return None if "*" in columns else tuple(columns)


def parse_filters(text: str, stored: Container[str]) -> tuple[Filter, ...]:
    """Return the filters."""
    filters = parse_json(text, "select_filters")
    if not isinstance(filters, dict):
        raise bad_query("select_filters is not an object")
    found = []
    for column, conditions in filters.items():
        if column not in stored:
            raise bad_query(f"{column} is not a valid search key")
        if not isinstance(conditions, dict):
            raise bad_query(f"{column} needs an operator")
        for name, wanted in conditions.items():
            if name not in OPERATORS:
                raise bad_query(f"{name} is not a valid operator")
            found.append(Filter(column, name, wanted))
    return tuple(found)


def parse_json(text: str, name: str) -> object:
    """Return the JSON value of a parameter."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise bad_query(f"{name} is not JSON") from error


def bad_query(message: str) -> QueryError:
    """Return the error for a query that cannot be parsed."""
    return QueryError("invalid_request", f"Error in query parameters: {message}")


def bad_token() -> QueryError:
    """Return the error for an invalid cursor."""
    return QueryError("invalid_token", "Invalid after_token")


def comes_first(a: object, b: object) -> int:
    """Return -1 if `a` comes first, 1 if `b` does; null comes last."""
    if a is None or b is None:
        return 1 if a is None else -1
    return -1 if a < b else 1  # type: ignore[operator]


def _difference(value: object, wanted: object) -> int | None:
    """Return -1, 0 or 1 if `value` is less, equal or greater; None if either is null."""
    if value is None or wanted is None:
        return None
    try:
        return 0 if value == wanted else comes_first(value, wanted)
    except TypeError as error:
        raise bad_query(f"{wanted!r} can't be compared") from error


def _list(wanted: object) -> list[object]:
    if not isinstance(wanted, list):
        raise bad_query("in and notin want a list")
    return wanted


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
