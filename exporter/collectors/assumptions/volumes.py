"""Assumptions about volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import disk_price, error_word, words
from exporter.collectors.assumptions.declaration import Assumption, Finding, Question, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, word_in

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

ROWS = "volumes"


def _slash(evidence: Evidence) -> Finding:
    without = error_word(evidence.answers[0]) if evidence.answers else "not asked"
    with_one = error_word(evidence.answer) if evidence.answer is not None else "not asked"
    came = f"without: {without}; with: {with_one}"
    if evidence.answers and evidence.answers[0].codes[-1:] == ("200",):
        return (holds if len(evidence.answers[0].codes) == 1 else fails)(came)
    moved = evidence.answer is not None and evidence.answer.reply is not None
    return (fails if moved else untold)(came)


def _statuses(evidence: Evidence) -> Finding:
    found = {word_in(row, "status") for row in evidence.rows(ROWS)}
    return untold(counted(len(found), "different text")) if found else untold("no row")


def _instances(evidence: Evidence) -> Finding:
    rows = [row for row in evidence.rows(ROWS) if row.get("instances") is not None]
    if not rows:
        return untold("no row")
    lists = sum(isinstance(row["instances"], list) for row in rows)
    return (holds if lists == len(rows) else fails)(f"a list in {lists} of {counted(len(rows))}")


ASSUMPTIONS = (
    Assumption(
        name="volumes_slash",
        sentence="`/api/v0/volumes` answers without a trailing slash and without a redirect",
        consequence="the exporter sends the same request as the vendor's client",
        confidence="likely",
        origin="client",
        check=_slash,
        question=Question(path="/api/v0/volumes/"),
    ),
    Assumption(
        name="volume_types",
        sentence="`type` is `machine` for a local volume, or `network`",
        consequence="exported as sent in `vastai_volume_info`",
        confidence="likely",
        origin="client",
        check=words(ROWS, "type", ("machine", "network")),
    ),
    Assumption(
        name="volume_statuses",
        sentence="the values of `status` are not known",
        consequence="exported as sent in `vastai_volume_info`; no rule reads it",
        confidence="open",
        origin="documents",
        check=_statuses,
    ),
    Assumption(
        name="volume_price",
        sentence="`storage_total_cost` is dollars per hour for the whole volume",
        consequence="exported as sent in `vastai_volume_storage_total_cost_dollars_per_hour`",
        confidence="likely",
        origin="client",
        check=lambda evidence: disk_price(evidence.rows(ROWS)),
    ),
    Assumption(
        name="volume_instances",
        sentence=(
            "`instances` lists the instances that the volume is attached to; a destroyed instance stays for"
            " 30 s"
        ),
        consequence="`vastai_volume_instances` counts these instances",
        confidence="likely",
        origin="client",
        check=_instances,
    ),
)
