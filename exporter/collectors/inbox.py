"""Track the state of an inbox: notifications received, the latest per instance, and gaps.

It never reads the text of a message, so it can neither keep nor show it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.metrics.fields import NEGATIVE, Fields, number_field, text_field
from exporter.metrics.values import Number, UnreadableError, number, text
from exporter.vast.pages import id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.metrics.fields import Problems

#: Notification types for renters; `OTHER` stands for all others, so that no new type creates a series.
TYPES = (
    "instance_created",
    "instance_started",
    "instance_stopped",
    "instance_resumed",
    "instance_deleted",
    "outbid",
    "machine_maintenance",
    "upcoming_downtime",
    "instance_offline",
    "instance_online",
    "error_msgs",
    "low_disk_space",
    "storage_full",
    "idle_gpu",
    "near_end_date",
    "low_credit",
    "payment_receipt",
    "credit_received",
    "billing_failed",
    "email_verification",
    "email_change",
    "password_reset",
    "team_invitation",
)
OTHER = "other"
OUTBID = "outbid"
#: Rows in a reply: the newest; older ones cannot be requested.
ROWS = 50
#: Number of ids to remember: several replies' worth, in case one comes back short.
REMEMBERED = 4 * ROWS
#: Seconds for which an instance's latest notification is shown.
SHOWN_SECONDS = 7 * 86_400.0
#: Maximum number of pairs of instance and type shown, newest first.
MOST_SHOWN = 2_000
#: Plausible range of times, in epoch seconds.
EARLIEST, LATEST = 1e9, 1e11


TYPE = text_field("notif_type")
CONTEXT = text_field("user_context")
#: Object in a row that describes its subject, and the fields read from it.
ASSOCIATED = "associated_id"
MACHINE = text_field("machine_id")
OWN_BID = number_field("your_bid", unknown=NEGATIVE)
NEW_BID = number_field("new_min_bid", unknown=NEGATIVE)

_ROW = Fields((TYPE, CONTEXT))
_ABOUT = Fields((MACHINE, OWN_BID, NEW_BID))
#: All fields read from a row.
FIELDS = ("event_id", "created_at", *_ROW.names, ASSOCIATED, "instance_id", *_ABOUT.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One row of the inbox.

    Attributes:
        event_id: unique id.
        type: one of `TYPES`, or `OTHER`.
        created: when it was sent (epoch).
        instance: id of the instance concerned, or None.
        machine: id of the machine concerned, or "".
        own_bid: for an outbid, the user's bid in dollars per hour, or None.
        new_bid: for an outbid, the new minimum bid in dollars per hour, or None.

    """

    event_id: str
    type: str
    created: float
    instance: int | None
    machine: str
    own_bid: Number | None
    new_bid: Number | None


class Outbid(NamedTuple):
    """Bids in an instance's latest outbid; None if not given."""

    created: float
    own_bid: Number | None
    new_bid: Number | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """State of an inbox since its first reading.

    Attributes:
        counts: number of notifications by type.
        gaps: number of readings between which notifications were lost because more arrived than fit into a
            reply.
        latest: time of the latest notification, by instance and type.
        outbids: bids in the latest outbid, by instance.
        seen: ids already seen, newest first.
        begin: older notifications existed before the first reading.

    """

    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys((*TYPES, OTHER), 0))
    gaps: int = 0
    latest: Mapping[tuple[int, str], float] = field(default_factory=dict)
    outbids: Mapping[int, Outbid] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    begin: float = -inf


def read(rows: Iterable[object], problems: Problems) -> list[Notification]:
    """Return the unique rows; rows without id or time and rows for hosts are left out."""
    found = {each.event_id: each for row in rows if (each := _notification(row, problems)) is not None}
    return list(found.values())


def _notification(row: object, problems: Problems) -> Notification | None:
    event_id = row.get("event_id") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(event_id, str) or not event_id:
        problems.unreadable["event_id"] += 1
        return None
    said = _ROW.read(row, problems)
    created = _time(row.get("created_at"))
    problems.unreadable["created_at"] += created is None
    if created is None or said.text(CONTEXT) == "host":
        return None
    sent = said.text(TYPE)
    associated = _associated(row, problems)
    about = _ABOUT.read(associated, problems)
    return Notification(
        event_id=text(event_id),
        type=sent if sent in TYPES else OTHER,
        created=created,
        instance=_instance(associated, problems),
        machine=about.text(MACHINE),
        own_bid=about.number(OWN_BID),
        new_bid=about.number(NEW_BID),
    )


def _time(value: object) -> float | None:
    try:
        seconds = float(number(value))
    except UnreadableError:
        return None
    return seconds if EARLIEST < seconds < LATEST else None


def _associated(row: Mapping[str, Any], problems: Problems) -> Mapping[str, Any]:
    value = row.get(ASSOCIATED)
    if value is not None and not isinstance(value, dict):
        problems.unreadable[ASSOCIATED] += 1
    return value if isinstance(value, dict) else {}


def _instance(associated: Mapping[str, Any], problems: Problems) -> int | None:
    sent = associated.get("instance_id")
    found = id_of({"id": sent})
    problems.unreadable["instance_id"] += found is None and sent is not None
    return found


def after(
    inbox: Inbox | None, rows: list[Notification], now: float, *, full: bool
) -> tuple[Inbox, list[Notification]]:
    """Return the state after a reply, and the new notifications.

    Args:
        inbox: previous state; None before the first reading, which yields no new ones.
        rows: the reply's notifications.
        now: epoch seconds.
        full: whether the reply has the maximum number of rows, so that there may be older ones.

    """
    first = inbox is None
    known = inbox or Inbox(begin=min((row.created for row in rows), default=-inf) if full else -inf)
    seen = frozenset(known.seen)
    new = [] if first else [row for row in rows if row.event_id not in seen and row.created >= known.begin]
    counts = dict(known.counts)
    for row in new:
        counts[row.type] += 1
    gap = not first and full and not any(row.event_id in seen for row in rows)
    came = dict.fromkeys(row.event_id for row in rows)
    latest = _latest(known, rows, now)
    return Inbox(
        counts=counts,
        gaps=known.gaps + gap,
        latest=latest,
        outbids=_outbids(known, rows, latest),
        seen=tuple(islice(came | dict.fromkeys(known.seen), REMEMBERED)),
        begin=known.begin,
    ), sorted(new, key=lambda row: row.created)


def _latest(known: Inbox, rows: Iterable[Notification], now: float) -> dict[tuple[int, str], float]:
    found = dict(known.latest)
    for row in rows:
        if row.instance is not None:
            key = row.instance, row.type
            found[key] = max(row.created, found.get(key, row.created))
    newest = sorted(found.items(), key=lambda item: item[1], reverse=True)[:MOST_SHOWN]
    return {key: created for key, created in newest if created > now - SHOWN_SECONDS}


def _outbids(
    known: Inbox, rows: Iterable[Notification], latest: Mapping[tuple[int, str], float]
) -> dict[int, Outbid]:
    """Return the bids of the outbids whose time is shown."""
    found = dict(known.outbids)
    for row in rows:
        if row.type == OUTBID and row.instance is not None:
            before = found.get(row.instance)
            if before is None or before.created <= row.created:
                found[row.instance] = Outbid(row.created, row.own_bid, row.new_bid)
    return {instance: outbid for instance, outbid in found.items() if (instance, OUTBID) in latest}
