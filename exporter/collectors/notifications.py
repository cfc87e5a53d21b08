"""Collect the inbox: events of instances and of the account that the user did not cause.

It marks nothing as read. Notifications are counted by type, and each one is logged. It does not read their
subject and message.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from exporter.collectors import inbox
from exporter.collectors.assumptions import notifications as assumptions
from exporter.collectors.base import Collector, Progress, Run
from exporter.metrics import lines
from exporter.metrics.fields import Problems
from exporter.metrics.rows import DOLLARS_PER_HOUR, Metric
from exporter.metrics.snapshot import NO_LINES, Part
from exporter.vast.endpoints import Endpoint
from exporter.vast.pages import Listing, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.collectors.inbox import Inbox, Notification
    from exporter.metrics.snapshot import Snapshot

#: The threshold is undocumented; 1 s is the smallest of any endpoint.
ENDPOINT = Endpoint("/api/v0/notifications/inbox/", 1.0, documented=False)
LISTING: Listing[int] = Listing(endpoint=ENDPOINT, rows="notifications", key=lambda _: None, params={})
DAYS = f"{inbox.SHOWN_SECONDS / 86_400:g} days"

NOTIFICATIONS = Metric(
    name="vastai_notifications_total",
    help="Total number of notifications that arrived in the inbox, by type (API field notif_type).",
    type="counter",
    labels=("account", "type"),
    notes="notifications found by the first reading are not counted; each one is also logged; type is "
    + ", ".join(inbox.TYPES)
    + f", or {inbox.OTHER}",
)
GAPS = Metric(
    name="vastai_notifications_gaps_total",
    help="Total number of inbox readings that shared no notification with the previous one, so some may be"
    " missing (API field event_id).",
    type="counter",
    notes=f"the API returns only the newest {inbox.ROWS}",
)
LATEST = Metric(
    name="vastai_instance_notification_timestamp_seconds",
    help="Time of the latest notification of each type about the instance (API fields created_at,"
    " notif_type, associated_id).",
    labels=("account", "instance_id", "type"),
    notes=f"kept for {DAYS}, even if the instance is gone; only the newest {inbox.MOST_SHOWN} pairs of"
    " instance and type",
)
OWN_BID = Metric(
    name=f"vastai_instance_outbid_own_bid_{DOLLARS_PER_HOUR}",
    help="Bid of the instance when it was last outbid (API field your_bid).",
    labels=("account", "instance_id"),
    notes=f"for {DAYS}",
)
NEW_BID = Metric(
    name=f"vastai_instance_outbid_new_bid_{DOLLARS_PER_HOUR}",
    help="Lowest winning bid when the instance was last outbid (API field new_min_bid).",
    labels=("account", "instance_id"),
    notes=f"kept for {DAYS}; may be below the own bid if an on-demand renter or the host took the GPUs",
)

_log = logging.getLogger(__name__)


def collect(run: Run) -> Iterator[Progress]:
    """Request the newest notifications; see `exporter.collectors.base.Collect`."""
    problems = Problems()
    rows = rows_of(run.client.ask(ENDPOINT), LISTING)
    notifications = inbox.read(rows, problems)
    run.report(problems)
    snapshot = run.store.snapshot
    known, new = inbox.after(snapshot.memory, notifications, run.wall_clock(), full=len(rows) >= inbox.ROWS)
    for each in new:
        _tell(run.account, each)
    part = Part(confirmed=run.clock(), lines=NO_LINES, items={1: None})
    run.store.snapshot = snapshot.replacing([part]).with_memory(known)
    yield Progress(pages=1, objects=len(rows), total=len(rows))


def _tell(account: str, notification: Notification) -> None:
    fields: dict[str, object] = {"account": account, "type": notification.type}
    if notification.instance is not None:
        fields["instance_id"] = notification.instance
    if notification.machine:
        fields["machine_id"] = notification.machine
    _log.info("notification", extra={"fields": fields})


def summarise(
    account: str, _parts: tuple[Part[int, None], ...], snapshot: Snapshot[int, None], _most_labels: int
) -> Mapping[str, bytes]:
    """Return the lines of all metrics; see `exporter.collectors.base.Summarise`."""
    known: Inbox = snapshot.memory
    outbids = [((str(instance),), outbid) for instance, outbid in known.outbids.items()]
    return {
        NOTIFICATIONS.name: lines.of_samples(
            NOTIFICATIONS, account, [((name,), count) for name, count in known.counts.items()]
        ),
        GAPS.name: lines.of_samples(GAPS, account, [((), known.gaps)]),
        LATEST.name: lines.of_samples(
            LATEST,
            account,
            [((str(instance), name), created) for (instance, name), created in known.latest.items()],
        ),
        OWN_BID.name: lines.of_samples(
            OWN_BID, account, [(ids, bid.own_bid) for ids, bid in outbids if bid.own_bid is not None]
        ),
        NEW_BID.name: lines.of_samples(
            NEW_BID, account, [(ids, bid.new_bid) for ids, bid in outbids if bid.new_bid is not None]
        ),
    }


COLLECTOR = Collector(
    name="notifications",
    title="Notifications",
    about="notifications in the inbox: outbids, maintenance, offline hosts, payments",
    permission="",
    endpoints=(ENDPOINT,),
    objects="notifications",
    interval=60.0,
    stale_after=300.0,
    collect=collect,
    undocumented=True,
    summaries=(NOTIFICATIONS, GAPS, LATEST, OWN_BID, NEW_BID),
    summarise=summarise,
    further_fields=inbox.FIELDS,
    not_exported={
        "subject": "sensitive: free text, with names of images in it",
        "message": "sensitive: free text, with names of images in it",
        "last_seen_at": "what its user has looked at is no matter of the exporter's",
        "seen_through_at": "what its user has looked at is no matter of the exporter's",
        "unread_count": "what its user has looked at is no matter of the exporter's",
    },
    assumptions=assumptions.ASSUMPTIONS,
)
