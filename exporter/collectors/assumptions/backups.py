"""Assumptions about backups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import epoch_seconds, error_word, words
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, numbers_in

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

ROWS = "backups"
STATUSES = ("pending", "success", "error")


def _all(evidence: Evidence) -> Finding:
    refused = [answer for answer in evidence.answers if answer.error is not None]
    if any(answer.error and answer.error.reason == "client_error" for answer in refused):
        return fails(", ".join(sorted({error_word(each) for each in refused})))
    rows = evidence.rows(ROWS)
    contracts = len(set(numbers_in(rows, "contract_id")))
    return (holds if contracts > 1 else untold)(f"{counted(len(rows))} of {counted(contracts, 'contract')}")


ASSUMPTIONS = (
    Assumption(
        name="backups_all",
        sentence="without `contract_id`, one reply contains the backups of all instances and volumes",
        consequence="one request per hour, whatever the number of instances",
        confidence="likely",
        origin="client",
        check=_all,
    ),
    Assumption(
        name="backups_permission",
        sentence="it is not known which permission backups need",
        consequence="without it, backups are reported as not available, which is not a failure",
        confidence="open",
        origin="documents",
    ),
    Assumption(
        name="backups_status",
        sentence="`status` is " + ", ".join(f"`{each}`" for each in STATUSES),
        consequence=(
            "the label `status` of `vastai_backup_created_timestamp_seconds`; any other value is exported"
            " as sent"
        ),
        confidence="likely",
        origin="client",
        check=words(ROWS, "status", STATUSES),
    ),
    Assumption(
        name="backups_seconds",
        sentence="`created_at` is epoch seconds",
        consequence="exported as sent in `vastai_backup_created_timestamp_seconds`",
        confidence="likely",
        origin="client",
        check=epoch_seconds(ROWS, "created_at"),
    ),
)
