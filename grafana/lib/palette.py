"""The few colours, and what each means on every dashboard.

Grafana's own names have a shade for the dark and one for the light theme. Each of INK stands out from the
panels of both by 3:1 at least, which is what WCAG's level AA asks of lines, areas and large text. Small
text is never coloured: a table colours the cell behind it instead, with FILLS, from which Grafana's black
or white text stands out by 4.5:1 (tests/grafana/test_palette.py).
"""

from __future__ import annotations

GOOD = "semi-dark-green"
#: Known, and neither good nor bad: money spent, work done.
NEUTRAL = "blue"
#: Soon. No yellow of Grafana's can be read on white.
WATCH = "#B58900"
#: Now, at leisure.
WARNING = "dark-orange"
#: Now.
CRITICAL = "red"
#: Paid for nothing.
WASTE = "purple"
#: Stopped.
OFF = "#808080"
#: Not coloured.
PLAIN = "text"
#: A second fact beside NEUTRAL.
OTHER = "#C2568B"
#: All of them.
INK = (GOOD, NEUTRAL, WATCH, WARNING, CRITICAL, WASTE, OFF, OTHER)

#: What is behind text in the place of each colour; what is as it should be stays plain.
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
#: Of a whole tile, with large text on it: what is as it should be, and what is stopped or not known.
GOOD_TILE = "dark-green"
OFF_TILE = "#666666"
TILES = FILLS | {GOOD: GOOD_TILE, OFF: OFF_TILE, PLAIN: OFF_TILE}

#: Every status that the API documents, in the order in which an instance passes through them.
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
#: Every state of a serverless worker that is documented. Idle is ready: it waits for requests, or works.
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
#: The same for a table's cells, where only what needs a look is coloured.
STATUS_WORDS = {
    status: (status, color if color in FILLS else OFF if status == "exited" else NEUTRAL)
    for status, color in STATUSES.items()
}

#: account_instance_reason:vastai_instance_trouble:rank, the reasons in words; the worst stands first.
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
#: What concerns an account as a whole.
ACCOUNT_REASONS = {"credit": ("credit low", CRITICAL), "stale": ("data stale", WARNING)}
#: What the status alone doesn't tell: the reasons of above that take its place, in words and colours.
INSTEAD = {"queued": ("queued", WATCH), "boot_failed": ("boot failed", "light-red")}
INSTEAD_TILES = {"queued": WATCH, "boot_failed": CRITICAL}
#: What stands in place of the time that credit lasts where automatic billing tops it up (promql.FOR_EVER).
AUTO_TOP_UP = {str(10**12): ("Auto top-up", GOOD)}
#: From this rank on it is something that is lost, or does no work: red.
CRITICAL_RANK = 7


def tile(color: str) -> str:
    """Return the colour of a whole tile for a colour of lines."""
    return TILES.get(color, TILES[NEUTRAL])
