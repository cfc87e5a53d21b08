"""Assumptions about the list of instances: its pages, order, counts and columns."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import error_word, filled
from exporter.collectors.assumptions.declaration import Assumption, Finding, Question, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, number_in, rows_in
from exporter.vast.pages import id_of

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

ROWS = "instances"
A_PAGE = 25
#: A column name that the API will never have.
NO_COLUMN = "no_such_column"
BAD_REQUEST = 400
#: Fraction of instances that may come and go between two pages.
USUAL_CHANGE = 0.05


def _order(evidence: Evidence) -> Finding:
    ids = [number for row in evidence.rows(ROWS) if (number := id_of(row)) is not None]
    came = f"{counted(len(ids))} on {counted(len(evidence.replies), 'page')}"
    if len(ids) <= 1:
        return untold(came)
    falling = sum(later <= earlier for earlier, later in pairwise(ids))
    return fails(f"{came}, {falling} out of order") if falling else holds(came)


def _limit(evidence: Evidence) -> Finding:
    answer = evidence.answer
    if answer is None or answer.reply is None:
        refused = answer is not None and answer.error is not None and answer.error.status == BAD_REQUEST
        return (fails if refused else untold)(error_word(answer) if answer is not None else "not asked")
    rows, total = len(rows_in(answer.reply, ROWS)), number_in(answer.reply, "total_instances")
    if rows > A_PAGE:
        return fails(counted(rows))
    if total is None or total <= A_PAGE:
        return untold(f"accepted, with {counted(rows)}: there are no more than a page holds")
    return (holds if rows == A_PAGE else fails)(f"accepted, with {counted(rows)}")


def _columns(evidence: Evidence) -> Finding:
    answer = evidence.answer
    if answer is None or answer.reply is None:
        refused = answer is not None and answer.error is not None and answer.error.status == BAD_REQUEST
        return (fails if refused else untold)(error_word(answer) if answer is not None else "not asked")
    rows = rows_in(answer.reply, ROWS)
    if not rows:
        return untold("no row")
    if any(NO_COLUMN not in row for row in rows):
        return fails("left out")
    if any(set(row) - {"id", NO_COLUMN} for row in rows):
        return fails("columns that were not asked for came too")
    return (holds if all(row[NO_COLUMN] is None for row in rows) else fails)("in the rows")


def _label_counts(evidence: Evidence) -> Finding:
    seen = 0
    for reply in evidence.replies:
        counts, total = reply.get("label_counts"), number_in(reply, "total_instances")
        rows = len(rows_in(reply, ROWS))
        if not isinstance(counts, dict):
            continue
        seen += 1
        found = sum(count for label in counts if (count := number_in(counts, label)) is not None)
        if rows == total or not rows:
            continue
        if found == rows:
            return holds("the page's rows")
        if found == total:
            return fails("all rows that match")
        return fails("neither the page's rows nor all that match")
    return untold("one page holds all" if seen else "no label_counts")


def _found(evidence: Evidence) -> Finding:
    pairs = [(number_in(reply, "instances_found"), len(rows_in(reply, ROWS))) for reply in evidence.replies]
    pairs = [(said, rows) for said, rows in pairs if said is not None]
    if not pairs:
        return untold("no instances_found")
    wrong = sum(said != rows for said, rows in pairs)
    came = f"{counted(len(pairs), 'page')}"
    return fails(f"other than the rows on {wrong} of {came}") if wrong else holds(came)


def _total(evidence: Evidence) -> Finding:
    rows = len(evidence.rows(ROWS))
    totals = [number_in(reply, "total_instances") for reply in evidence.replies]
    said = [total for total in totals if total is not None]
    if not said:
        return untold("no total_instances")
    whole = evidence.replies[-1].get("next_token") is None
    spare = max(2.0, USUAL_CHANGE * max(said))
    missing = max(said) - rows
    came = f"{counted(rows)} of {max(said):.6g}{'' if whole else ', not walked to the end'}"
    return (fails if missing < -spare or (whole and missing > spare) else holds)(came)


ASSUMPTIONS = (
    Assumption(
        name="page_order",
        sentence="pages come in ascending order of `id`, as `order_by` asks",
        consequence="a page replaces its range of ids; a row outside of it is dropped and counted",
        confidence="sure",
        origin="documents",
        check=_order,
    ),
    Assumption(
        name="page_limit",
        sentence="the API treats a `limit` above 25 as 25",
        consequence="the exporter requests 25",
        confidence="open",
        origin="client",
        check=_limit,
        question=Question(params={"limit": "100", "select_cols": '["id"]'}),
    ),
    Assumption(
        name="unknown_columns",
        sentence="an unknown column comes back as null, and columns outside `select_cols` are not returned",
        consequence=(
            "a renamed field leaves its metric without samples but causes no failure; secrets are never"
            " received"
        ),
        confidence="sure",
        origin="documents",
        check=_columns,
        question=Question(params={"limit": "1", "select_cols": f'["id","{NO_COLUMN}"]'}),
    ),
    Assumption(
        name="label_counts",
        sentence="`label_counts` counts the rows of the page, not all matching rows",
        consequence="the exporter does not read it; it counts labels from the rows",
        confidence="open",
        origin="documents",
        check=_label_counts,
    ),
    Assumption(
        name="instances_found",
        sentence="`instances_found` counts the rows of the page",
        consequence="the exporter does not read it",
        confidence="sure",
        origin="documents",
        check=_found,
    ),
    Assumption(
        name="total_instances",
        sentence="`total_instances` counts all matching rows",
        consequence="exported as `vastai_api_instances`; it does not end a walk",
        confidence="likely",
        origin="documents",
        check=_total,
    ),
    Assumption(
        name="never_null",
        sentence="fields that describe an instance and its cost are never null",
        consequence="if one is null, this instance has no sample of that metric",
        confidence="likely",
        origin="documents",
        check=filled(
            ROWS,
            "intended_status",
            "gpu_name",
            "num_gpus",
            "machine_id",
            "start_date",
            "disk_space",
            "dph_base",
            "dph_total",
            "storage_total_cost",
        ),
    ),
)
