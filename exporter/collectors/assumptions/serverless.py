"""Assumptions about serverless endpoints and their workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import error_word
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, numbers_in, rows_in, span, word_in

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Answer, Evidence, Row

ENDPOINTS = "results"
WORKERS = "workers"
STATES = ("active", "suspended", "stopped")
WORKER_STATES = (
    "idle",
    "loading",
    "model_loading",
    "stopped",
    "stopping",
    "starting",
    "creating",
    "created",
    "pending",
    "rebooting",
    "destroying",
    "error",
    "unavail",
)


def _of_workers(evidence: Evidence) -> list[Answer]:
    return [answer for answer in evidence.answers if answer.endpoint.host == "run"]


def _no_endpoints(evidence: Evidence) -> Finding:
    for answer in evidence.answers:
        if answer.endpoint.host == "api" and answer.error is not None and answer.error.status is not None:
            return (holds if evidence.failure is None else untold)(error_word(answer))
        if answer.endpoint.host == "api" and answer.reply is not None:
            rows = rows_in(answer.reply, ENDPOINTS)
            return untold(f"there are some: {counted(len(rows))}" if rows else "an answer without rows")
    return untold("no answer")


def _shapes(evidence: Evidence) -> Finding:
    replies = [answer.reply for answer in _of_workers(evidence) if answer.reply is not None]
    if not replies:
        return untold("no answer")
    lists = sum(isinstance(reply.get(WORKERS), list) for reply in replies)
    waiting = sum("error_msg" in reply and WORKERS not in reply for reply in replies)
    came = f"workers in {counted(lists, 'answer')}, an error_msg in {waiting}"
    return (holds if lists + waiting == len(replies) else fails)(came)


def _endpoint_states(evidence: Evidence) -> Finding:
    return _words(evidence.rows(ENDPOINTS), "endpoint_state", STATES)


def _worker_states(evidence: Evidence) -> Finding:
    return _words(evidence.rows(WORKERS), "status", WORKER_STATES)


def _words(rows: list[Row], name: str, known: tuple[str, ...]) -> Finding:
    """Check that a field has only known values, ignoring case."""
    if not rows:
        return untold("no row")
    found = [(word_in(row, name) or "").lower() for row in rows]
    other = sum(word not in known for word in found)
    came = ", ".join(f"{word} {found.count(word)}" for word in known if word in found)
    return fails(f"another text in {counted(other)}") if other else holds(came)


def _worker_fields(evidence: Evidence) -> Finding:
    rows = evidence.rows(WORKERS)
    if not rows:
        return untold("no row")
    gone = [name for name in ("cur_load", "perf", "reqs_working") if not any(name in row for row in rows)]
    return fails(f"nowhere: {', '.join(gone)}") if gone else holds(f"in {counted(len(rows))}")


def _perf(evidence: Evidence) -> Finding:
    """Check ready workers only, since others may not have been measured yet."""
    ready = [row for row in evidence.rows(WORKERS) if (word_in(row, "status") or "").lower() == "idle"]
    values = numbers_in(ready, "perf")
    if not values:
        return untold("no worker that is idle")
    return (holds if min(values) > 0 else fails)(span(values))


ASSUMPTIONS = (
    Assumption(
        name="serverless_permission",
        sentence="endpoints and workers need the permission `misc`, on both hosts",
        consequence="without it, the collector fails with the reason `auth`; nothing else is affected",
        confidence="open",
        origin="documents",
    ),
    Assumption(
        name="serverless_none",
        sentence=(
            "an account without endpoints gets HTTP 400 with words such as `No endpoints for user found`,"
            " or an empty list"
        ),
        consequence="both mean no endpoints; any other HTTP 400 is a failure",
        confidence="likely",
        origin="documents",
        check=_no_endpoints,
    ),
    Assumption(
        name="serverless_worker_shapes",
        sentence=(
            "workers come as a list, or as an object with the list `workers`; an object with `error_msg`"
            " and HTTP 200 means that the endpoint is not ready yet"
        ),
        consequence=(
            "after an `error_msg`, the endpoint has no workers, as in the vendor's client; plain text is a"
            " failure, because according to the documents the endpoint does not exist or the key is wrong"
        ),
        confidence="likely",
        origin="client",
        check=_shapes,
    ),
    Assumption(
        name="serverless_endpoint_states",
        sentence="`endpoint_state` is " + ", ".join(f"`{each}`" for each in STATES),
        consequence="alerts about missing workers cover only `active` endpoints",
        confidence="likely",
        origin="documents",
        check=_endpoint_states,
    ),
    Assumption(
        name="serverless_worker_states",
        sentence="a worker is in one of the documented states, in lower or upper case",
        consequence="any other state is exported as sent in `vastai_endpoint_workers`, in lower case",
        confidence="likely",
        origin="documents",
        check=_worker_states,
    ),
    Assumption(
        name="serverless_worker_fields",
        sentence="a worker has `cur_load`, `perf` and `reqs_working`",
        consequence="if no worker has a field, its sum has no sample",
        confidence="likely",
        origin="client",
        check=_worker_fields,
    ),
    Assumption(
        name="serverless_worker_perf",
        sentence="`perf` of an idle worker is above 0: its capacity per second, in the unit of `cur_load`",
        consequence="`vastai_endpoint_perf` is the sum over ready workers",
        confidence="likely",
        origin="documents",
        check=_perf,
    ),
    Assumption(
        name="serverless_worker_is_instance",
        sentence="a worker's id is the id of an instance in the account's list",
        consequence="exported as `vastai_endpoint_instance`; rules use it to exclude workers",
        confidence="likely",
        origin="client",
    ),
)
