"""What a request for a page asks for: how many rows, behind which, in which order, with which filters."""

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
    """The query can't be answered; `error` is the API's word for why."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class PageLimits:
    """How many rows a page may have: if nothing is said, at most, and for a limit of 0 or less."""

    default: int
    most: int
    low: int


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by; what is null comes last, or first when descending."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """What a column's value has to be."""

    column: str
    operator: str
    wanted: object

    def accepts(self, value: object) -> bool:
        """Whether it is."""
        return OPERATORS[self.operator](value, self.wanted)


@dataclass(frozen=True, slots=True)
class Query:
    """A request for one page, understood."""

    limit: int
    #: The sort keys of the last row of the page before.
    after: tuple[object, ...] | None
    orders: tuple[Order, ...]
    #: None is all of them.
    columns: tuple[str, ...] | None = None
    filters: tuple[Filter, ...] = ()


def parse_query(params: Mapping[str, str], limits: PageLimits, stored: Container[str], *, key: str) -> Query:
    """Understand a request's parameters.

    Args:
        params: of the request.
        limits: of its pages.
        stored: what can be filtered and sorted by.
        key: the column that decides where all others are equal.

    Raises:
        QueryError: there is no answer to it.

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
    """How many rows the page has at most."""
    text = params.get("limit", str(limits.default))
    try:
        limit = int(text)
    except ValueError as error:
        raise bad_query(f"limit {text} is not a number") from error
    return limits.low if limit <= 0 else min(limit, limits.most)


def parse_token(params: Mapping[str, str], orders: tuple[Order, ...]) -> tuple[object, ...] | None:
    """Where the page begins; None is at the first row."""
    token = params.get("after_token")
    if not token:
        return None
    try:
        values = json.loads(base64.b64decode(token, validate=True))["values"]
        return tuple(values[order.column] for order in orders)
    except (binascii.Error, ValueError, LookupError, TypeError) as error:
        raise bad_token() from error


def parse_orders(text: str, stored: Container[str], key: str) -> tuple[Order, ...]:
    """What the rows are sorted by."""
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
    """Which columns are shown; None is all of them."""
    columns = parse_json(text, "select_cols")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise bad_query("select_cols is not a list of names")
    return None if "*" in columns else tuple(columns)


def parse_filters(text: str, stored: Container[str]) -> tuple[Filter, ...]:
    """Which rows are meant."""
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
    """What a parameter says."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise bad_query(f"{name} is not JSON") from error


def bad_query(message: str) -> QueryError:
    """The error of a request that can't be understood."""
    return QueryError("invalid_request", f"Error in query parameters: {message}")


def bad_token() -> QueryError:
    """The error of a cursor that leads nowhere."""
    return QueryError("invalid_token", "Invalid after_token")


def comes_first(a: object, b: object) -> int:
    """-1 if `a` comes first, 1 if `b` does; null comes last."""
    if a is None or b is None:
        return 1 if a is None else -1
    return -1 if a < b else 1  # type: ignore[operator]


def _difference(value: object, wanted: object) -> int | None:
    """-1, 0 or 1 as `value` is less, equal or more; None, which is neither, where one of them is null."""
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
