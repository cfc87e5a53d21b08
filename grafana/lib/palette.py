"""The few colours, each with the same meaning on every dashboard.

Grafana's colour names have one shade for the dark and one for the light theme. Each colour of INK has a
contrast of at least 3:1 to the panels of both, which WCAG level AA requires for lines, areas and large text.
Small text is never coloured. Instead, tables colour the cell behind it with FILLS, to which Grafana's black
or white text has a contrast of 4.5:1 (tests/grafana/test_palette.py).
"""

from __future__ import annotations

GOOD = "semi-dark-green"
#: Neither good nor bad: money spent, work done.
NEUTRAL = "blue"
#: Look at it soon. None of Grafana's yellows is readable on white.
WATCH = "#B58900"
#: A problem that can wait.
WARNING = "dark-orange"
#: Act now.
CRITICAL = "red"
#: Paid for nothing.
WASTE = "purple"
#: Stopped.
OFF = "#808080"
#: Not coloured.
PLAIN = "text"
#: A second value next to NEUTRAL.
OTHER = "#C2568B"
#: All colours.
INK = (GOOD, NEUTRAL, WATCH, WARNING, CRITICAL, WASTE, OFF, OTHER)

#: The fill behind text for each colour; good values stay plain.
FILLS = {
    GOOD: "transparent",
    NEUTRAL: "dark-blue",
    WATCH: "yellow",
    WARNING: "super-light-orange",
    CRITICAL: "dark-red",
    WASTE: "dark-purple",
    OFF: "transparent",
    PLAIN: "transparent",
}
#: Fills of whole tiles with large text: good, and stopped or unknown.
GOOD_TILE = "dark-green"
OFF_TILE = "#666666"
TILES = FILLS | {GOOD: GOOD_TILE, OFF: OFF_TILE, PLAIN: OFF_TILE}

#: Every documented status, in the order in which an instance passes through them.
STATUSES = {
    "running": GOOD,
    "provisioning": "light-blue",
    "created": "#2A94A8",
    "loading": NEUTRAL,
    "rebooting": "semi-dark-blue",
    "frozen": WASTE,
    "stopped": OFF,
    "exited": "#8f8f8f",
    "unknown": WARNING,
    "offline": CRITICAL,
}
#: Every documented state of a serverless worker. Idle means ready: it waits for requests or works.
WORKER_STATES = {
    "idle": GOOD,
    "running": GOOD,
    "pending": STATUSES["provisioning"],
    "creating": STATUSES["provisioning"],
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
#: The same for table cells; only statuses that need a look have a colour.
STATUS_WORDS = {
    status: (status, color if color in FILLS else OFF if status == "exited" else NEUTRAL)
    for status, color in STATUSES.items()
}

#: Reasons of account_instance_reason:vastai_instance_trouble:rank in words, the worst first.
REASONS = {
    "expired": ("contract ended", CRITICAL),
    "offline": ("host offline", CRITICAL),
    "down": ("down", CRITICAL),
    "boot_failed": ("boot failed", CRITICAL),
    "outbid": ("outbid or stopped", CRITICAL),
    "hot": ("GPU hot", CRITICAL),
    "full": ("disk full", WARNING),
    "stuck": ("stuck starting", WARNING),
    "ending": ("contract ending", WARNING),
    "queued": ("queued for GPU", WATCH),
    "memory": ("memory full", WARNING),
    "idle": ("GPU idle", WASTE),
}
#: Reasons that concern a whole account.
ACCOUNT_REASONS = {"credit": ("credit low", CRITICAL), "stale": ("data stale", WARNING)}
#: Reasons that replace the status, because it does not show them; in words and colours.
INSTEAD = {"queued": ("queued", WATCH), "boot_failed": ("boot failed", "light-red")}
INSTEAD_TILES = {"queued": WATCH, "boot_failed": CRITICAL}
#: Replaces the credit runway of accounts with automatic billing (promql.FOR_EVER).
AUTO_TOP_UP = {str(10**12): ("Auto top-up", GOOD)}
#: From this rank on, something is lost or does no work: red.
CRITICAL_RANK = 7


def tile(color: str) -> str:
    """Return the tile colour for a line colour."""
    return TILES.get(color, TILES[NEUTRAL])
