"""The few colours, and what each means on every dashboard.

Grafana's own names, which have a shade for the dark and one for the light theme; grey has none there.
"""

from __future__ import annotations

GOOD = "green"
#: Known, and neither good nor bad: money spent, work done.
NEUTRAL = "blue"
#: Soon.
WATCH = "yellow"
#: Now, at leisure.
WARNING = "orange"
#: Now.
CRITICAL = "red"
#: Paid for nothing.
WASTE = "purple"
#: Stopped.
OFF = "#808080"
#: Not coloured.
PLAIN = "text"

#: Every status that the API documents, in the order in which an instance passes through them.
STATUSES = {
    "running": GOOD,
    "provisioning": "super-light-blue",
    "created": "light-blue",
    "loading": NEUTRAL,
    "rebooting": "dark-blue",
    "frozen": WASTE,
    "stopped": "#8f8f8f",
    "exited": OFF,
    "unknown": WARNING,
    "offline": CRITICAL,
}
#: Every state of a serverless worker that is documented. Idle is ready: it waits for requests, or works.
WORKER_STATES = {
    "idle": GOOD,
    "running": GOOD,
    "pending": "super-light-blue",
    "creating": "super-light-blue",
    "created": STATUSES["created"],
    "starting": STATUSES["created"],
    "loading": STATUSES["loading"],
    "model_loading": STATUSES["loading"],
    "rebooting": STATUSES["rebooting"],
    "stopping": STATUSES["stopped"],
    "stopped": STATUSES["stopped"],
    "destroying": OFF,
    "unknown": STATUSES["unknown"],
    "unavail": CRITICAL,
    "error": CRITICAL,
}
STATUS_WORDS = {status: (status, color) for status, color in STATUSES.items()}

#: account_instance_reason:vastai_instance_trouble:rank, the reasons in words; the worst stands first.
REASONS = {
    "expired": ("contract has ended", CRITICAL),
    "offline": ("host is offline", CRITICAL),
    "down": ("should run, does not", CRITICAL),
    "boot_failed": ("host gave up its start", CRITICAL),
    "outbid": ("outbid or stopped", CRITICAL),
    "hot": ("GPU too hot", CRITICAL),
    "full": ("disk nearly full", WARNING),
    "stuck": ("stuck while starting", WARNING),
    "ending": ("contract ends soon", WARNING),
    "queued": ("waits for its GPU", WATCH),
    "memory": ("memory nearly full", WARNING),
    "idle": ("paid for, but idle", WASTE),
}
#: What the status alone doesn't tell: the reasons of above that take its place, in words and colours.
INSTEAD = {"queued": ("queued", WATCH), "boot_failed": ("boot failed", "semi-dark-red")}
#: What stands in place of the time that credit lasts where automatic billing tops it up (promql.FOR_EVER).
AUTO_BILLED = {str(10**12): ("Auto-billed", GOOD)}
#: From this rank on it is something that is lost, or does no work: red.
CRITICAL_RANK = 7
