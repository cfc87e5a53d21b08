"""Assumptions about an instance's status and states, and who changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import words
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, word_in
from exporter.collectors.assumptions.instance_pages import ROWS
from exporter.collectors.fleet import STATUSES

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

ALLOCATIONS = ("running", "stopped", "unloaded")


def _allocations(evidence: Evidence) -> Finding:
    found = [words(ROWS, name, ALLOCATIONS)(evidence) for name in ("cur_state", "next_state")]
    came = "; ".join(f"{name}: {each.came}" for name, each in zip(("cur", "next"), found, strict=True))
    verdicts = {each.verdict for each in found}
    if "does not hold" in verdicts:
        return fails(came)
    return (holds if verdicts == {"holds"} else untold)(came)


def _running(evidence: Evidence) -> Finding:
    running = [row for row in evidence.rows(ROWS) if word_in(row, "actual_status") == "running"]
    if not running:
        return untold("none is running")
    given = sum(word_in(row, "cur_state") == "running" for row in running)
    # An outbid instance reports running for another half minute.
    return (holds if 2 * given >= len(running) else fails)(f"{given} of {counted(len(running))}")


ASSUMPTIONS = (
    Assumption(
        name="actual_status_words",
        sentence="`actual_status` is null or one of " + ", ".join(f"`{each}`" for each in STATUSES[1:]),
        consequence=(
            "null becomes `provisioning`; any other text is exported as sent in `vastai_instance_status`"
        ),
        confidence="likely",
        origin="measured",
        check=words(ROWS, "actual_status", STATUSES[1:], nullable=True),
    ),
    Assumption(
        name="intended_status_words",
        sentence="`intended_status` is `running`, `stopped` or `frozen`",
        consequence="any other text is exported as sent in `vastai_instance_status`",
        confidence="likely",
        origin="documents",
        check=words(ROWS, "intended_status", ("running", "stopped", "frozen")),
    ),
    Assumption(
        name="allocation_words",
        sentence="`cur_state` and `next_state` are `running`, `stopped` or `unloaded`",
        consequence="any other text is exported as sent in `vastai_instance_state`",
        confidence="likely",
        origin="measured",
        check=_allocations,
    ),
    Assumption(
        name="running_is_allocated",
        sentence="a running instance holds its GPU: `cur_state` is also `running`",
        consequence=(
            "`vastai_instance_state` distinguishes instances that wait for a GPU from those that hold one"
        ),
        confidence="likely",
        origin="measured",
        check=_running,
    ),
    Assumption(
        name="way_of_a_start",
        sentence=(
            "a start passes from null through `created` and `loading` to `running`, while `running` is"
            " intended"
        ),
        consequence=(
            "`vastai_instance_status_since_timestamp_seconds` shows how long an instance has been in a status"
        ),
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="underbid",
        sentence=(
            "an instance whose first bid is too low is parked in `created` or null, and within 47 s its"
            " intended status is `stopped`"
        ),
        consequence="no rule treats this as a stop by the user",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="outbid",
        sentence=(
            "after an outbid, the intended status is `stopped` within 2 s; the status stays `running` for"
            " 10 to 30 s, and then becomes `exited`"
        ),
        consequence=(
            "an interruptible instance whose intended status flips may be outbid; the inbox proves it"
        ),
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="resumes_by_itself",
        sentence=(
            "an outbid instance resumes on its own about a minute after the competitor has left, so"
            " `exited` is not final"
        ),
        consequence="no rule relies on `exited` alone",
        confidence="likely",
        origin="measured",
    ),
    Assumption(
        name="own_bid_lowered",
        sentence=(
            "lowering the own bid looks like an outbid, but causes no notification and needs a manual start"
        ),
        consequence="the fields do not distinguish it from an outbid",
        confidence="likely",
        origin="measured",
    ),
    Assumption(
        name="host_gives_up",
        sentence=(
            "if a host gives up during a start, the status stays `created` or `loading` while `stopped` is"
            " intended"
        ),
        consequence=(
            "`vastai_instance_state` is then (stopped, stopped): the instance does not start any more"
        ),
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="queued",
        sentence=(
            "if others hold the GPU, a start is queued without limit, with (`stopped`, `running`) as"
            " `cur_state` and `next_state`; the instance starts, and costs money, once the GPU is free"
        ),
        consequence="`vastai_instance_state` shows the pair",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="blip",
        sentence="a healthy container may be `exited` for a moment, while `running` stays intended",
        consequence="no alert fires on a single reading",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="stopped_by_its_user",
        sentence="an instance that its user stopped is `stopped` or `exited`, and `stopped` is intended",
        consequence="exported as sent",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="intention_is_not_the_users",
        sentence=(
            "`stopped` is also intended after an outbid, a failure of the host, a credit of 0 and the end"
            " of the contract; the fields do not show who stopped it"
        ),
        consequence="no rule treats `intended_status` as what the user wants",
        confidence="sure",
        origin="measured",
    ),
)
