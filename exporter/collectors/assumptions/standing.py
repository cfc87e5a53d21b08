"""Assumptions about every collector: its run succeeds, and its fields exist and are readable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, named
from exporter.collectors.base import fields_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from exporter.collectors.assumptions.evidence import Evidence
    from exporter.collectors.base import Collector


def assumptions_of(collector: Collector) -> tuple[Assumption, ...]:
    """Return a collector's assumptions: the common ones and its own."""
    return (*_standing(collector), *collector.assumptions)


def _standing(collector: Collector) -> Iterator[Assumption]:
    name = collector.name
    yield Assumption(
        name=f"{name}_run",
        sentence="replies are usable: an object, with the promised list and pages",
        consequence=(
            "otherwise, the run fails with the reason `bad_reply` or `incomplete`, and the old data stays"
        ),
        confidence="likely",
        origin="documents",
        check=_run,
    )
    if fields := fields_of(collector.rows).names:
        yield Assumption(
            name=f"{name}_fields",
            sentence="the fields that metrics read exist",
            consequence="a field that is missing or null gives no sample",
            confidence="likely",
            origin="documents",
            check=lambda evidence: _fields(evidence, fields),
        )
    yield Assumption(
        name=f"{name}_values",
        sentence="the values of these fields have the documented type and range",
        consequence=(
            "other values give no sample; `vastai_unreadable_values_total` and"
            " `vastai_out_of_range_values_total` count them"
        ),
        confidence="likely",
        origin="documents",
        check=_values,
    )
    for endpoint in collector.endpoints:
        if not endpoint.documented:
            yield Assumption(
                name=f"{name}_threshold",
                sentence=(
                    f"requests to `{endpoint.path}` may be {endpoint.threshold:g} s apart; this is not"
                    " documented"
                ),
                consequence="the exporter keeps this distance plus 10 %",
                confidence="open",
                origin="inferred",
            )


def _run(evidence: Evidence) -> Finding:
    came = counted(len(evidence.replies), "reply", "replies")
    if evidence.failure is None:
        return (holds if evidence.replies else untold)(came)
    unfit = evidence.failure in {"bad_reply", "incomplete", "internal"}
    return (fails if unfit else untold)(f"{came}, then {evidence.failure}")


def _fields(evidence: Evidence, names: tuple[str, ...]) -> Finding:
    found = list(evidence.objects())
    # An object belongs to the collector if it shares enough fields with it.
    if max((len(each.keys() & set(names)) for each in found), default=0) * 2 < len(names):
        return untold("no object that has them")
    gone = [name for name in names if not any(name in each for each in found)]
    if gone:
        return fails(f"nowhere: {named(gone)}")
    empty = [name for name in names if all(each.get(name) is None for each in found)]
    if empty:
        return untold(f"all there; null wherever they are: {named(empty)}")
    return holds(f"all {len(names)} there, with a value somewhere")


def _values(evidence: Evidence) -> Finding:
    counts: Counter[str] = evidence.problems.unreadable + evidence.problems.out_of_range
    if counts:
        return fails("no use: " + ", ".join(f"{name} in {counted(count)}" for name, count in counts.items()))
    return (holds if evidence.replies else untold)("none that was no use")
