"""Assumptions about the inbox, which Vast.ai does not document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import epoch_seconds, error_word, words
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, number_in, numbers_in, word_in
from exporter.collectors.inbox import OUTBID, ROWS, TYPES
from exporter.vast.pages import id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.collectors.assumptions.evidence import Evidence, Row

INBOX = "notifications"
ABOUT = "associated_id"
#: Types that concern one instance.
OF_INSTANCES = {each for each in TYPES if each.startswith("instance_")} | {
    OUTBID,
    "error_msgs",
    "idle_gpu",
    "low_disk_space",
    "machine_maintenance",
    "near_end_date",
    "storage_full",
    "upcoming_downtime",
}


def _answers(evidence: Evidence) -> Finding:
    refused = [answer for answer in evidence.answers if answer.error is not None]
    if refused:
        absent = any(answer.error and answer.error.absent for answer in refused)
        return (fails if absent else untold)(", ".join(sorted({error_word(each) for each in refused})))
    return (holds if evidence.replies else untold)(counted(len(evidence.rows(INBOX))))


def _newest(evidence: Evidence) -> Finding:
    rows = evidence.rows(INBOX)
    times = numbers_in(rows, "created_at")
    if not times:
        return untold("no row")
    newest_first = times == sorted(times, reverse=True)
    came = f"{counted(len(rows))}, {'the newest first' if newest_first else 'in another order'}"
    return (holds if len(rows) <= ROWS and newest_first else fails)(came)


def _ids(evidence: Evidence) -> Finding:
    ids = [word_in(row, "event_id") for row in evidence.rows(INBOX)]
    if not ids:
        return untold("no row")
    right = len({each for each in ids if each})
    return (holds if right == len(ids) else fails)(f"{counted(right, 'id')} in {counted(len(ids))}")


def _instance(evidence: Evidence) -> Finding:
    rows = [row for row in evidence.rows(INBOX) if word_in(row, "notif_type") in OF_INSTANCES]
    return _share(rows, lambda about: id_of({"id": about.get("instance_id")}) is not None)


def _bids(evidence: Evidence) -> Finding:
    rows = [row for row in evidence.rows(INBOX) if word_in(row, "notif_type") == OUTBID]
    return _share(
        rows, lambda about: None not in (number_in(about, "your_bid"), number_in(about, "new_min_bid"))
    )


def _share(rows: list[Row], names_it: Callable[[Row], bool]) -> Finding:
    """Check that each row's associated object has the expected content."""
    if not rows:
        return untold("no row of the kind")
    about = [row.get(ABOUT) for row in rows]
    right = sum(isinstance(each, dict) and names_it(each) for each in about)
    return (holds if right == len(rows) else fails)(f"so in {right} of {counted(len(rows))}")


ASSUMPTIONS = (
    Assumption(
        name="inbox",
        sentence="the undocumented `GET /api/v0/notifications/inbox/` accepts an ordinary key",
        consequence=(
            "it is the only source of events and off by default; with 404, 410 or a missing permission it"
            " is reported as not available, which is not a failure"
        ),
        confidence="sure",
        origin="measured",
        check=_answers,
    ),
    Assumption(
        name="inbox_read",
        sentence="reading the inbox does not mark anything as read",
        consequence="the exporter reads it every minute and never writes to it",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="inbox_newest",
        sentence=f"a reply has the newest {ROWS} notifications, and there is no way to get older ones",
        consequence=(
            "`vastai_notifications_gaps_total` counts readings that share no notification with the reading"
            " before"
        ),
        confidence="sure",
        origin="measured",
        check=_newest,
    ),
    Assumption(
        name="inbox_ids",
        sentence="`event_id` identifies a notification",
        consequence=(
            "each id counts once; a notification without it is dropped, and counted as field `event_id`"
        ),
        confidence="sure",
        origin="measured",
        check=_ids,
    ),
    Assumption(
        name="inbox_seconds",
        sentence="`created_at` is epoch seconds",
        consequence="exported as sent in `vastai_instance_notification_timestamp_seconds`",
        confidence="sure",
        origin="measured",
        check=epoch_seconds(INBOX, "created_at"),
    ),
    Assumption(
        name="inbox_types",
        sentence=f"`notif_type` is one of {len(TYPES)} words for renters",
        consequence="any other counts as `other` in `vastai_notifications_total`",
        confidence="likely",
        origin="measured",
        check=words(INBOX, "notif_type", TYPES),
    ),
    Assumption(
        name="inbox_instance",
        sentence=(
            "a notification about an instance names the instance and its machine; a webhook names neither"
        ),
        consequence="the inbox is the source of events by instance; webhooks are not used",
        confidence="sure",
        origin="measured",
        check=_instance,
    ),
    Assumption(
        name="inbox_bids",
        sentence="an `outbid` has both bids, in dollars per hour for all GPUs of the instance",
        consequence="`vastai_instance_outbid_own_bid_dollars_per_hour`,"
        " `vastai_instance_outbid_new_bid_dollars_per_hour`",
        confidence="sure",
        origin="measured",
        check=_bids,
    ),
    Assumption(
        name="instance_resumed",
        sentence=(
            "`instance_resumed` appears whenever an instance leaves the queue, not only after an outbid"
        ),
        consequence="it only shows that an outbid is over; a later stop is a new event",
        confidence="sure",
        origin="documents",
    ),
)
