"""Walk the pages of a list and determine the key range that each page covers.

In a list sorted by key, a page lists all rows after the previous page, up to its own last row. It can replace
exactly that range.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from exporter.vast.errors import ApiError, BadReplyError, IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.vast.endpoints import Endpoint

#: Identifies a row and sorts the rows of a list.
Key = TypeVar("Key", int, str)
Row = Mapping[str, Any]

#: Larger than every id in the API.
LARGEST_ID = 2**63 - 1
#: Pages after which a list counts as endless, unless the API reports more rows.
USUAL_PAGES = 1_000
#: Pages after which a list counts as endless in any case.
MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[Key]):
    """How the API lists one kind of object.

    Attributes:
        endpoint: the endpoint.
        rows: reply field that contains the rows.
        key: returns a row's key, or None if the row has no usable one.
        params: query parameters of every request.
        limit: rows per page, the API's maximum; None if one reply contains all rows.
        total: reply field with the total number of rows, or "" if there is none.
        none: values of the API's field `error` that mean that there are no rows.

    """

    endpoint: Endpoint
    rows: str
    key: Callable[[Row], Key | None]
    params: Mapping[str, str]
    limit: int | None = None
    total: str = ""
    none: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Key]):
    """One page: all rows with after < key <= upto.

    Attributes:
        number: page number, from 1.
        last: whether it is the last page.
        after: key after which the page starts; None for the start of the list.
        upto: last key that the page covers, or None for the end of the list; equals `after` if the page
            covers nothing.
        rows: usable rows in ascending key order.
        left_out: number of rows without a usable key, duplicated, or outside the page's range.
        total: total number of rows, as the API sent it.

    """

    number: int
    last: bool
    after: Key | None
    upto: Key | None
    rows: tuple[tuple[Key, Row], ...]
    left_out: int
    total: object

    @property
    def speaks(self) -> bool:
        """Whether the page covers any range; a page before the last one without usable rows does not."""
        return self.last or bool(self.rows)


class Asks(Protocol):
    """Client interface that a walk needs."""

    def ask(self, endpoint: Endpoint, params: Mapping[str, str], /) -> Row:
        """Return the JSON object from `endpoint`."""


def walk(client: Asks, listing: Listing[Key], params: Mapping[str, str] | None = None) -> Iterator[Page[Key]]:
    """Yield the pages of a list sorted by ascending key, or the only page of an unsorted list.

    Args:
        client: API client.
        listing: the list.
        params: query parameters of this walk, in addition to the listing's.

    Raises:
        ApiError: a page failed, or the pagination does not end.
        Stopped: a wait was interrupted.

    """
    after: Key | None = None
    for number, (reply, last) in enumerate(replies(client, listing, params), start=1):
        page = _page(reply, listing, number=number, after=after, last=last)
        yield page
        after = page.upto


def replies(
    client: Asks, listing: Listing[Any], params: Mapping[str, str] | None = None
) -> Iterator[tuple[Row, bool]]:
    """Yield the replies of a list in any order, each with whether it is the last; raises like `walk`."""
    asked = {**listing.params, **(params or {})}
    seen: set[str] = set()
    number, token = 0, None
    while True:
        reply = _reply(client, listing, asked if token is None else {**asked, "after_token": token})
        number += 1
        token = _token(reply) if listing.limit is not None else None
        yield reply, token is None
        if token is None:
            return
        _check_progress(reply, listing, number, token, seen)
        seen.add(token)


def _reply(client: Asks, listing: Listing[Any], params: Mapping[str, str]) -> Row:
    try:
        return client.ask(listing.endpoint, params)
    except ApiError as error:
        if error.error in listing.none:
            return {listing.rows: []}
        raise


def id_of(row: Row) -> int | None:
    """Return a row's `id` if it is a positive integer, or one written as text, else None."""
    value = row.get("id")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < LARGEST_ID:
        return None
    return value


def compact_json(value: object) -> str:
    """Return JSON without spaces: each would take three characters in every request's URL."""
    return json.dumps(value, separators=(",", ":"))


def rows_of(reply: Row, listing: Listing[Any]) -> list[object]:
    """Return the rows of a reply.

    Raises:
        BadReplyError: the reply has no list of rows, not even an empty one.

    """
    rows = reply.get(listing.rows)
    if rows is None and listing.rows in reply and (not listing.total or reply.get(listing.total) == 0):
        return []  # the API may write an empty list as null; if it reports rows, null is an error
    if not isinstance(rows, list):
        raise BadReplyError(f"the reply has no list of {listing.rows}")
    return rows


def _token(reply: Row) -> str | None:
    token = reply.get("next_token")
    if token is None or token == "":
        return None
    if not isinstance(token, str) or not token.isprintable():  # a lone surrogate cannot be part of a URL
        raise BadReplyError("next_token is not a string")
    return token


def _page(reply: Row, listing: Listing[Key], *, number: int, after: Key | None, last: bool) -> Page[Key]:
    rows = rows_of(reply, listing)
    if listing.limit is not None and len(rows) > listing.limit:
        raise IncompleteError(f"page {number} has {len(rows)} rows; requested at most {listing.limit}")
    if not rows and not last:
        raise IncompleteError(f"page {number} is empty but points to a next page")
    keyed = [(key, row) for row in rows if isinstance(row, dict) and (key := listing.key(row)) is not None]
    usable = [(key, row) for key, row in keyed if after is None or key > after]
    if not usable and any(after is not None and key < after for key, _ in keyed):
        raise IncompleteError(f"page {number} contains only rows that belong to earlier pages")
    # The API puts the last row's key into the token, so rows beyond it belong to the next page.
    upto = None if last else usable[-1][0] if usable else after
    kept = {key: row for key, row in reversed(usable) if upto is None or key <= upto}
    return Page(
        number=number,
        last=last,
        after=after,
        upto=upto,
        rows=tuple(sorted(kept.items(), key=lambda item: item[0])),
        left_out=len(rows) - len(kept),
        total=reply.get(listing.total),
    )


def _check_progress(reply: Row, listing: Listing[Any], number: int, token: str, seen: set[str]) -> None:
    if token in seen:
        raise IncompleteError(f"page {number} points to a page that was already read")
    total, limit = reply.get(listing.total), listing.limit or 1
    promised = total if isinstance(total, int) else 0
    if number >= min(MOST_PAGES, max(USUAL_PAGES, 4 * promised // limit)):
        raise IncompleteError(f"no last page after {number} pages")
