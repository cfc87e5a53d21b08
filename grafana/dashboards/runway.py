"""The credit runway: the tile of Fleet and Cost, and its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.palette import AUTO_TOP_UP, CRITICAL, GOOD, WARNING, WATCH
from grafana.lib.panels import SECONDS, Query, stat
from grafana.lib.promql import LASTS
from grafana.lib.thresholds import span, threshold

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

RUNWAY_STEPS = (
    (None, CRITICAL),
    (threshold("credit_critical_seconds"), WARNING),
    (threshold("credit_warning_seconds"), WATCH),
    (threshold("credit_info_seconds"), GOOD),
)


def credit_runway() -> Panel:
    """Return the tile for the credit runway."""
    return stat(
        "Credit runway",
        "How long the account's credit lasts at the present spend; with several accounts, the first to run"
        f" out. Orange below {span('credit_warning_seconds')}, red below {span('credit_critical_seconds')}."
        " Auto top-up: automatic billing refills the credit, so a low credit is fine. Reserved instances"
        " spend their own prepaid credit and do not count. The variables for label and GPU model do not"
        " apply. Not known: the account spends nothing, or the exporter does not read it.",
        Query(f"min({LASTS})"),
        unit=SECONDS,
        decimals=1,
        mappings=AUTO_TOP_UP,
        steps=RUNWAY_STEPS,
        no_value="Not known",
    )
