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
        consequence="null is `provisioning`; any other text is passed on in `vastai_instance_status`",
        confidence="likely",
        origin="measured",
        check=words(ROWS, "actual_status", STATUSES[1:], nullable=True),
    ),
    Assumption(
        name="intended_status_words",
        sentence="`intended_status` is `running`, `stopped` or `frozen`",
        consequence="any other text is passed on in `vastai_instance_status`",
        confidence="likely",
        origin="documents",
        check=words(ROWS, "intended_status", ("running", "stopped", "frozen")),
    ),
    Assumption(
        name="allocation_words",
        sentence="`cur_state` and `next_state` are `running`, `stopped` or `unloaded`",
        consequence="any other text is passed on in `vastai_instance_state`",
        confidence="likely",
        origin="measured",
        check=_allocations,
    ),
    Assumption(
        name="running_is_allocated",
        sentence="what runs has its GPU: `cur_state` is running too",
        consequence="`vastai_instance_state` tells what waits for a GPU from what has one",
        confidence="likely",
        origin="measured",
        check=_running,
    ),
    Assumption(
        name="way_of_a_start",
        sentence="a start goes from null by `created` and `loading` to `running`, with `running` intended",
        consequence="`vastai_instance_status_since_timestamp_seconds` tells how long it has stood there",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="underbid",
        sentence="what bids too little at its creation is parked: `created` or null, and within 47 s"
        " `stopped` is intended",
        consequence="no rule takes it for a wish of its user",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="outbid",
        sentence="what is outbid has `stopped` intended within 2 s, says `running` for 10 to 30 s more, and"
        " then `exited`",
        consequence="an interruptible instance whose intention flips is the sign; the inbox is the proof",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="resumes_by_itself",
        sentence="it resumes by itself about a minute after the competitor left: `exited` is not the end",
        consequence="nothing is concluded from `exited` alone",
        confidence="likely",
        origin="measured",
    ),
    Assumption(
        name="own_bid_lowered",
        sentence="lowering one's own bid looks the same, with no notification, and needs a start by hand",
        consequence="the fields do not tell it from an outbid",
        confidence="likely",
        origin="measured",
    ),
    Assumption(
        name="host_gives_up",
        sentence="a host that gives up in mid-start leaves `created` or `loading` with `stopped` intended",
        consequence="`vastai_instance_state` is (stopped, stopped) then: it does not start any more",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="queued",
        sentence="a start while others have the GPU is queued without limit: (`stopped`, `running`) as"
        " `cur_state` and `next_state`; it starts, and costs, once that is free",
        consequence="`vastai_instance_state` shows the pair",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="blip",
        sentence="a healthy container may be `exited` for a moment, with `running` intended all the time",
        consequence="one reading alone alerts nobody",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="stopped_by_its_user",
        sentence="what its user stopped is `stopped` or `exited`, with `stopped` intended",
        consequence="passed on",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="intention_is_not_the_users",
        sentence="`stopped` is intended after an outbid, a failure of the host, a credit of 0 and the end of"
        " the contract too: the fields do not tell who stopped it",
        consequence="no rule takes `intended_status` for the wish of the user",
        confidence="sure",
        origin="measured",
    ),
)
