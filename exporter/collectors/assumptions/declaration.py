"""Declare an assumption: a sentence, its confidence, its consequence, and a check that can refute it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

#: `sure`: seen on the live API more than once. `likely`: seen once, or not contradicted.
Confidence = Literal["sure", "likely", "open"]
#: Source: live replies, the vendor's client, the vendor's documentation, or inference.
Origin = Literal["measured", "client", "documents", "inferred"]
Verdict = Literal["holds", "does not hold", "can't be told"]


class Finding(NamedTuple):
    """What was found, in our own words, and the verdict on an assumption.

    `came` contains field names, types, counts and rounded numbers, but never text from a reply. It is safe to
    share.
    """

    came: str
    verdict: Verdict


Check = Callable[["Evidence"], Finding]


def holds(came: str) -> Finding:
    """Return that the assumption holds."""
    return Finding(came, "holds")


def fails(came: str) -> Finding:
    """Return that the assumption does not hold."""
    return Finding(came, "does not hold")


def untold(came: str) -> Finding:
    """Return that the evidence is insufficient."""
    return Finding(came, "can't be told")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An additional request for a check: the run's first request with a change.

    Attributes:
        params: query parameters that extend or override the run's.
        path: path that replaces the run's; paced together with it, since the API may treat both as one.

    """

    params: Mapping[str, str] = field(default_factory=dict)
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One assumption about the API.

    Attributes:
        name: unique name.
        sentence: what is assumed.
        consequence: what the exporter does because of it.
        confidence: how sure it is.
        origin: its source.
        check: tests it against the evidence; None if a short probe cannot decide it.
        question: an additional request for this check; the result is in `Evidence.answer`.

    """

    name: str
    sentence: str
    consequence: str
    confidence: Confidence
    origin: Origin
    check: Check | None = None
    question: Question | None = None
