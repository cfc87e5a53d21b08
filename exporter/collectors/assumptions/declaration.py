"""What an assumption is: a sentence, its certainty, its consequence, and the check that can refute it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

#: `sure`: seen on the live API, more than once. `likely`: seen once, or nothing speaks against it.
Confidence = Literal["sure", "likely", "open"]
#: Where it comes from: live replies, the vendor's client, the vendor's documents, or a conclusion.
Origin = Literal["measured", "client", "documents", "inferred"]
Verdict = Literal["holds", "does not hold", "can't be told"]


class Finding(NamedTuple):
    """What came, in words of ours, and what that says of an assumption.

    `came` has names of fields, kinds, counts and rounded numbers in it, and never a text of a reply: it is
    made to be shown to everybody.
    """

    came: str
    verdict: Verdict


Check = Callable[["Evidence"], Finding]


def holds(came: str) -> Finding:
    """Return that it is so."""
    return Finding(came, "holds")


def fails(came: str) -> Finding:
    """Return that it is not so."""
    return Finding(came, "does not hold")


def untold(came: str) -> Finding:
    """Return that what came does not tell."""
    return Finding(came, "can't be told")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One more request than a run makes: the first one of the run, with something changed.

    Attributes:
        params: of the query, beside or instead of those of the run.
        path: asked instead of the run's; at the same pace, as it may be the same to the API.

    """

    params: Mapping[str, str] = field(default_factory=dict)
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One thing that is taken for true of the API.

    Attributes:
        name: tells it from all others.
        sentence: what is taken for true.
        consequence: what the exporter does about it.
        confidence: how sure it is.
        origin: where it comes from.
        check: holds it against what came; None where a minute of reading can't tell.
        question: what is asked for it alone; `Evidence.answer` has what came.

    """

    name: str
    sentence: str
    consequence: str
    confidence: Confidence
    origin: Origin
    check: Check | None = None
    question: Question | None = None
