"""Return the undocumented inbox: the newest 50, which stay unread."""

from __future__ import annotations

from exporter.simulator.api.endpoint import Question, SimulatedEndpoint
from exporter.simulator.api.replies import Reply, json_reply

INBOX = "/api/v0/notifications/inbox/"


def show_inbox(question: Question) -> Reply:
    """Return the notifications, newest first."""
    fleet = question.account.fleet
    with fleet.lock:
        notices = list(fleet.notices.newest)[::-1]
    rows = [
        {
            "event_id": notice.event_id,
            "notif_type": notice.type,
            "user_context": "client",
            "created_at": notice.created_at,
            "subject": notice.subject,
            "message": notice.message,
            "associated_id": dict(notice.associated) or None,
        }
        for notice in notices
    ]
    return json_reply(
        {
            "success": True,
            "notifications": rows,
            "last_seen_at": None,
            "seen_through_at": None,
            "unread_count": len(rows),
        }
    )


ENDPOINTS = (SimulatedEndpoint(INBOX, show_inbox),)
