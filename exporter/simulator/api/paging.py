"""Return one page of rows, with filters, order and cursor.

The cursor contains the last row's sort keys, so a page continues correctly even if that row has gone. If the
rows are stored in the requested order, the cost of a page depends only on its own rows. A filter reads all
rows, because the total counts the matches. Any other order sorts all rows.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from exporter.simulator.api.query import Order, Query, bad_token, comes_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

RowT = TypeVar("RowT")
RowT_co = TypeVar("RowT_co", covariant=True)


class Rows(Protocol[RowT_co]):
    """A collection whose rows can be counted."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[RowT_co]: ...


@dataclass(frozen=True, slots=True)
class Table(Generic[RowT]):
    """The rows to list.

    Attributes:
        rows: all rows, in the order of the key if `after` is given.
        stored: columns for filters and orders, and how to read each from a row.
        key: column with unique values.
        after: returns the rows with a higher key, which is a number, or all rows for None.

    """

    rows: Rows[RowT]
    stored: Mapping[str, Callable[[RowT], object]]
    key: str
    after: Callable[[int | None], Iterator[RowT]] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """The rows of one page, the number of matches on all pages, and the cursor of the next page."""

    rows: list[RowT]
    total: int
    next_token: str | None


def take_page(table: Table[RowT], query: Query) -> Page[RowT]:
    """Return the page for a query."""
    matching: list[RowT] | None = None
    if query.filters:
        matching = [row for row in table.rows if _matches(table, row, query)]
    total = len(table.rows) if matching is None else len(matching)
    found = list(islice(_sorted_after(table, query, matching), query.limit + 1))
    shown = found[: query.limit]
    token = make_token(table, shown[-1], query.orders) if len(found) > query.limit else None
    return Page(shown, total, token)


def make_token(table: Table[RowT], row: RowT, orders: tuple[Order, ...]) -> str:
    """Return the cursor that continues after a row."""
    values = {order.column: table.stored[order.column](row) for order in orders}
    return base64.b64encode(json.dumps({"values": values}).encode()).decode()


def _matches(table: Table[RowT], row: RowT, query: Query) -> bool:
    return all(wanted.accepts(table.stored[wanted.column](row)) for wanted in query.filters)


def _sorted_after(table: Table[RowT], query: Query, matching: list[RowT] | None) -> Iterator[RowT]:
    """Return the rows after the cursor, in the requested order."""
    if table.after is None or query.orders != (Order(table.key, descending=False),):
        return _sort(table, table.rows if matching is None else matching, query)
    after = query.after[0] if query.after else None
    if after is not None and not isinstance(after, int):
        raise bad_token()
    if matching is None:
        return table.after(after)
    key = table.stored[table.key]
    return (row for row in matching if after is None or key(row) > after)  # type: ignore[operator]


def _sort(table: Table[RowT], rows: Iterable[RowT], query: Query) -> Iterator[RowT]:
    getters = [table.stored[order.column] for order in query.orders]
    turns = [-1 if order.descending else 1 for order in query.orders]

    def compare(left: tuple[object, ...], right: tuple[object, ...]) -> int:
        for turn, a, b in zip(turns, left, right, strict=True):
            if a != b:
                return turn * comes_first(a, b)
        return 0

    key = cmp_to_key(compare)
    keyed = [(key(tuple(getter(row) for getter in getters)), row) for row in rows]
    if query.after is not None:
        cursor = key(query.after)
        try:
            keyed = [pair for pair in keyed if pair[0] > cursor]
        except TypeError as error:
            raise bad_token() from error
    keyed.sort(key=lambda pair: pair[0])
    return (row for _, row in keyed)
