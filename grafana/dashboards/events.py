"""Events: status changes, new and gone instances, and notifications in Vast.ai's inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import Annotation, instance_link
from grafana.lib.palette import (
    CRITICAL,
    GOOD,
    NEUTRAL,
    OFF,
    OTHER,
    PLAIN,
    STATUSES,
    WARNING,
    WASTE,
    WATCH,
)
from grafana.lib.panels import (
    COUNT,
    DATE,
    DOLLARS_PER_HOUR,
    Query,
    as_events,
    lines,
    renamed,
    stacked,
    without_values,
)
from grafana.lib.promql import (
    ACCOUNT,
    CHOICE,
    CHOSEN_INFO,
    HOURLY,
    called,
    events,
    of_accounts,
    one,
    unique,
)
from grafana.lib.tables import Column, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from grafana.lib.panels import Panel

CHANGES = "vastai_status_changes_total"
LATEST = "vastai_instance_notification_timestamp_seconds"
BACKUP = "vastai_backup_created_timestamp_seconds"
OWN_BID = "vastai_instance_outbid_own_bid_dollars_per_hour"
NEW_BID = "vastai_instance_outbid_new_bid_dollars_per_hour"
#: How long the exporter shows a notification, and a backup counts as news.
SHOWN = "7d"
SHOWN_SECONDS = 7 * 86_400
#: Maximum rows of the table, and maximum marks.
MOST, MOST_MARKS = 100, 20
#: Excludes routine types, mostly caused by the user: a fleet has so many that they would hide the rest.
ROUTINE = 'type!~"instance_(created|started|stopped|resumed|deleted)"'
#: Statuses that are bad news.
BAD = 'to=~"offline|unknown|exited|frozen"'

#: Every type of notification in words, the worst first.
TYPES = {
    "outbid": ("outbid", CRITICAL),
    "instance_offline": ("host offline", CRITICAL),
    "error_msgs": ("error", CRITICAL),
    "billing_failed": ("billing failed", CRITICAL),
    "low_credit": ("low credit", CRITICAL),
    "machine_maintenance": ("maintenance", WARNING),
    "upcoming_downtime": ("downtime ahead", WARNING),
    "near_end_date": ("contract ending", WARNING),
    "storage_full": ("storage full", WARNING),
    "low_disk_space": ("low disk space", WATCH),
    "idle_gpu": ("GPU idle", WASTE),
    "instance_online": ("host online", GOOD),
    "instance_created": ("instance created", GOOD),
    "instance_started": ("instance started", GOOD),
    "instance_resumed": ("instance resumed", GOOD),
    "instance_stopped": ("instance stopped", OFF),
    "instance_deleted": ("instance deleted", OFF),
    "payment_receipt": ("payment", NEUTRAL),
    "credit_received": ("credit received", NEUTRAL),
    "email_verification": ("e-mail verification", OTHER),
    "email_change": ("e-mail changed", OTHER),
    "password_reset": ("password reset", OTHER),
    "team_invitation": ("team invitation", OTHER),
    "other": ("other", PLAIN),
}
#: The same for charts, which need to distinguish types of the same colour.
SHADES = {name: color for name, (_, color) in TYPES.items()} | {
    "instance_offline": "semi-dark-red",
    "error_msgs": "light-red",
    "storage_full": "#B5651D",
}
#: Other rows among the notifications: backups, and the reason why there are none.
FURTHER = {
    "backup_success": ("backup made", NEUTRAL),
    "backup_pending": ("backup begun", NEUTRAL),
    "backup_error": ("backup failed", WARNING),
    "off": ("collector notifications is off", PLAIN),
    "unavailable": ("inbox not available", PLAIN),
}
TYPE_WORDS = {
    name: (text, PLAIN if color == OTHER else color) for name, (text, color) in TYPES.items()
} | FURTHER
NOT_READ = (
    "The collectors notifications and backups are off by default (docs/configuration.md). A row says so if"
    " notifications is off, or if the API has no inbox for a key."
)


def marks() -> list[Annotation]:
    """Return the annotations for events of a fleet, off by default."""
    times = f"1000 * topk({MOST_MARKS}, {_newest(of_accounts(LATEST, ROUTINE))})"
    changes = events(CHANGES, "from", "to", matchers=f"{ACCOUNT},{BAD}", step="1m")
    return [
        _mark("Notifications", WARNING, times, "{{type}}", "{{account}} {{instance_id}}", at=True),
        _mark("Status changes", OFF, f"{changes} > 0", "{{from}} to {{to}}", "{{account}}"),
    ]


def marks_of_one() -> list[Annotation]:
    """Return the annotations for events of the one instance."""
    since = one("vastai_instance_status_since_timestamp_seconds")
    status = unique(one("account_instance:vastai_instance_status:topk"))
    changed = f"1000 * {since} * on (account, instance_id) group_left (status) {status}"
    whose = "{{account}} {{instance_id}}"
    return [
        _mark("Notifications", WARNING, f"1000 * {_newest(one(LATEST))}", "{{type}}", whose, at=True),
        _mark("Status changes", NEUTRAL, changed, "now {{status}}", whose, at=True),
    ]


def _mark(name: str, color: str, expression: str, title: str, text: str, *, at: bool = False) -> Annotation:
    """Return an annotation; with `at` the value is its time in milliseconds."""
    when = {"useValueForTime": True} if at else {}
    return Annotation(
        name, color, expression, shown=False, step="60s", titleFormat=title, textFormat=text, **when
    )


def _newest(series: str) -> str:
    """Return times once for each instance and type, whatever the number of exporters."""
    return f"max by (account, instance_id, type) ({series})"


def status_changes() -> Panel:
    """Return how many instances entered each status."""
    return stacked(
        as_events(
            without_values(
                lines(
                    "Status changes",
                    "Number of instances that entered each status per step, as the exporter saw it from one"
                    " reading to the next. Only the variable Account applies. The exporter's log has a line"
                    " for each change.",
                    Query(f"sum by (to) ({events(CHANGES, 'from', 'to')}) > 0", "{{to}}"),
                    unit=COUNT,
                    decimals=0,
                    colors=STATUSES,
                    no_value="No status changed in the selected time range",
                )
            )
        )
    )


def came_and_went() -> Panel:
    """Return how many instances appeared and disappeared."""
    return as_events(
        without_values(
            lines(
                "Appeared and disappeared",
                "Number of instances per step that appeared for the first time, and that disappeared."
                " Usually somebody rented or destroyed them. Only the variable Account applies.",
                Query(f"sum({events('vastai_instances_appeared_total')}) > 0", "appeared"),
                Query(f"sum({events('vastai_instances_disappeared_total')}) > 0", "disappeared"),
                unit=COUNT,
                decimals=0,
                colors={"appeared": NEUTRAL, "disappeared": OFF},
                no_value="No instance appeared or disappeared in the selected time range",
            )
        )
    )


def notifications() -> Panel:
    """Return the number of new notifications by type."""
    came = events("vastai_notifications_total", "type", matchers=f"{ACCOUNT},{ROUTINE}")
    panel = stacked(
        as_events(
            without_values(
                lines(
                    "Notifications",
                    "Notifications in Vast.ai's inbox per step, by type. Red: something is lost or does no"
                    " work. Orange: look at it when you have time. Routine types, mostly caused by the"
                    " user, are left out: created, started, stopped, resumed, deleted. Only the variable"
                    " Account applies.",
                    Query(f"sum by (type) ({came}) > 0", "{{type}}"),
                    unit=COUNT,
                    decimals=0,
                    colors=SHADES,
                    no_value="None in the selected time range, or the collector notifications is off",
                )
            )
        )
    )
    return renamed(panel, {name: text for name, (text, _) in TYPES.items()})


def latest() -> Panel:
    """Return the newest notifications of the selected instances, with the bids of outbids."""
    # A destroyed instance has no labels any more, but its recorded cost has.
    spent = f"last_over_time({HOURLY}{{{CHOICE}}}[{SHOWN}])"
    here = f"group by (account, instance_id, label, gpu_name) ({CHOSEN_INFO})"
    known = unique(f"({here} or on (account, instance_id) {spent})")

    def described(times: str) -> str:
        return f"({times} + on (account, instance_id) group_left (label, gpu_name) 0 * {known})"

    return _table(
        "Latest notifications",
        "The newest notification of each type for each selected instance, existing or gone, and the backups"
        f" that Vast.ai made of it: at most {MOST}, from {SHOWN_SECONDS // 86_400} days. Routine types,"
        " mostly caused by the user, are left out: created, started, stopped, resumed, deleted; the"
        " dashboard Instance shows them. Own bid and new bid: the bid at the time of the outbid, and the"
        " lowest bid that won. If the new bid is lower, an on-demand renter or the host took the GPUs."
        f" {NOT_READ}",
        of_accounts,
        described,
        (
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label", least=120),
            Column(field="gpu_name", title="GPU model", least=105),
        ),
        (Column(field="account", title="account", least=90),),
        ROUTINE,
    )


def latest_of_one() -> Panel:
    """Return the newest notification of each type about the one instance."""
    return _table(
        "Latest notifications",
        "The newest notification of each type for this instance, and the backups that Vast.ai made of it,"
        f" from {SHOWN_SECONDS // 86_400} days. Own bid and new bid: the bid at the time of the outbid, and"
        " the lowest bid that won. If the new bid is lower, an on-demand renter or the host took the GPUs."
        f" {NOT_READ}",
        one,
        lambda times: times,
        (),
        (),
    )


def _table(
    title: str,
    about: str,
    select: Callable[..., str],
    described: Callable[[str], str],
    before: tuple[Column, ...],
    after: tuple[Column, ...],
    *matchers: str,
) -> Panel:
    copies = f'label_replace({select(BACKUP)}, "type", "backup_$1", "status", "(.+)")'
    recent = f"{_newest(copies)} > time() - {SHOWN_SECONDS}"
    times = described(f"({_newest(select(LATEST, *matchers))} or {recent})")
    outbids = f"""topk({MOST}, {described(_newest(select(LATEST, 'type="outbid"')))})"""

    def bid(metric: str) -> str:
        value = f"max by (account, instance_id) ({select(metric)})"
        return f"0 * {outbids} + on (account, instance_id) group_left () {value}"

    return rows(
        title,
        about,
        Query(f"1000 * topk({MOST}, {times})"),
        Query(bid(OWN_BID)),
        Query(bid(NEW_BID)),
        Query(_unread()),
        columns=(
            Column(field="Value #A", title="time", unit=DATE, width=155),
            Column(field="type", title="type", mappings=TYPE_WORDS, width=190 if before else None),
            *before,
            Column(field="Value #B", title="own bid", unit=DOLLARS_PER_HOUR, decimals=3, width=90),
            Column(field="Value #C", title="new bid", unit=DOLLARS_PER_HOUR, decimals=3, width=90),
            *after,
        ),
        worst_first="Value #A",
        most=MOST,
        no_value="No known notifications",
    )


def _unread() -> str:
    """Return a row that shows why there are none: the collector is off, or a key has no inbox."""
    of_it = 'collector="notifications"'
    anybody = f"""group({of_accounts("vastai_collector_success", 'collector="instances"')})"""
    off = f"({anybody} unless on () group({of_accounts('vastai_collector_success', of_it)}))"
    without = f"group by (account) ({of_accounts('vastai_collector_available', of_it)} == 0)"
    return f"{called(off, 'type', 'off')} or {called(without, 'type', 'unavailable')}"
