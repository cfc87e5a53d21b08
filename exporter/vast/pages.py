"""Every page of a keyset-paginated list, in ascending order of id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from exporter.vast.errors import BadReplyError, IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.vast.pace import Endpoint

#: Rows a page, the most that the API gives.
LIMIT = 25
#: Where a list ends: above every id.
END = 2**63 - 1
#: Pages after which a walk is taken for endless, where the API does not promise more rows itself.
USUAL_PAGES = 1_000
#: Pages after which it is in any case.
MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one page says: these are all the rows with after < id <= upto.

    Attributes:
        number: 1 for the first page of a walk.
        after: the id that the page begins behind.
        upto: the last id that it speaks for, `END` on the last page.
        rows: usable rows by ascending id.
        left_out: rows without a usable id, given twice, or outside the page's range.
        total: `total_instances` as the API sent it.

    """

    number: int
    after: int
    upto: int
    rows: tuple[tuple[int, Mapping[str, Any]], ...]
    left_out: int
    total: object


class Asks(Protocol):
    """What a walk needs of a client."""

    def get(self, endpoint: Endpoint, params: Mapping[str, str], /) -> Mapping[str, Any]:
        """Return the object that `endpoint` answers."""


def walk(
    client: Asks,
    endpoint: Endpoint,
    *,
    columns: Sequence[str],
    filters: Mapping[str, Any],
) -> Iterator[Page]:
    """Yield the pages of `endpoint` until the one without a token.

    Raises:
        ApiError: a page could not be had, or the pages lead to no end.
        Stopped: from a wait.

    """
    params = {
        "limit": str(LIMIT),
        "order_by": _json([{"col": "id", "dir": "asc"}]),
        "select_cols": _json(list(columns)),
        "select_filters": _json(dict(filters)),
    }
    after, number = 0, 0
    seen: set[str] = set()
    token: str | None = None
    while True:
        reply = client.get(endpoint, params if token is None else {**params, "after_token": token})
        number += 1
        token = _token(reply)
        page = _page(reply, number=number, after=after, last=token is None)
        yield page
        if token is None:
            return
        _check_progress(page, token, seen)
        after = page.upto
        seen.add(token)


def _token(reply: Mapping[str, Any]) -> str | None:
    token = reply.get("next_token")
    if token is None or token == "":
        return None
    if not isinstance(token, str) or not token.isprintable():  # half a surrogate pair fits in no URL
        raise BadReplyError("next_token is not text")
    return token


def _page(reply: Mapping[str, Any], *, number: int, after: int, last: bool) -> Page:
    rows = _rows(reply)
    if len(rows) > LIMIT:
        raise IncompleteError(f"page {number} has {len(rows)} rows, {LIMIT} were asked for")
    if not rows and not last:
        raise IncompleteError(f"page {number} is empty and names a next one")
    known = [(key, row) for row in rows if isinstance(row, dict) and (key := _usable_id(row)) is not None]
    usable = [(key, row) for key, row in known if key > after]
    if not usable and any(key < after for key, _ in known):
        raise IncompleteError(f"page {number} has only rows that belong before it")
    # The API puts the last row's id into the token: what lies beyond it belongs to the next page.
    upto = END if last else usable[-1][0] if usable else after
    kept = {key: row for key, row in reversed(usable) if key <= upto}
    return Page(
        number=number,
        after=after,
        upto=upto,
        rows=tuple(sorted(kept.items())),
        left_out=len(rows) - len(kept),
        total=reply.get("total_instances"),
    )


def _rows(reply: Mapping[str, Any]) -> list[object]:
    rows = reply.get("instances")
    if rows is None and "instances" in reply and reply.get("total_instances") == 0:
        return []  # how the API may write an empty list; with rows promised, null is a fault
    if not isinstance(rows, list):
        raise BadReplyError("a reply without a list of instances")
    return rows


def _usable_id(row: Mapping[str, Any]) -> int | None:
    """Return the row's id, a whole number above 0 (as text too), or None."""
    value = row.get("id")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < END:
        return None
    return value


def _check_progress(page: Page, token: str, seen: set[str]) -> None:
    if token in seen:
        raise IncompleteError(f"page {page.number} names a page that was there before")
    promised = page.total if isinstance(page.total, int) else 0
    most = min(MOST_PAGES, max(USUAL_PAGES, 4 * promised // LIMIT))
    if page.number >= most:
        raise IncompleteError(f"no end after {page.number} pages")


def _json(value: object) -> str:
    """Return JSON without blanks: each would be three more characters of every request's URL."""
    return json.dumps(value, separators=(",", ":"))
