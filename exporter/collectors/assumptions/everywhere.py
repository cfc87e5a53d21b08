"""Assumptions about the API as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import error_word
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import counted, number_in, numbers_in, rounded

if TYPE_CHECKING:
    from exporter.collectors.assumptions.evidence import Evidence

#: Headers about rate limits; no other header is read.
RATE_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")
REFUSED = 429


def _rate_headers(evidence: Evidence) -> Finding:
    found = [
        f"{name} in {count} of {len(evidence.headers)}{_values(evidence, name)}"
        for name in RATE_HEADERS
        if (count := sum(name in headers for headers in evidence.headers))
    ]
    refused = any(answer.error and answer.error.status == REFUSED for answer in evidence.answers)
    if not found:
        return untold(f"none in {counted(len(evidence.headers), 'reply', 'replies')}")
    used_up = any(number_in(headers, "x-ratelimit-remaining") == 0 for headers in evidence.headers)
    return (holds if used_up and not refused else untold)(", ".join(found))


def _values(evidence: Evidence, name: str) -> str:
    if not name.endswith(("-limit", "-remaining")):
        return ""  # a reset time would only reveal when the probe ran
    numbers = sorted({rounded(value) for value in numbers_in(evidence.headers, name)})
    return f" ({' and '.join(numbers[:3])})" if numbers else ""


def _retry_after(evidence: Evidence) -> Finding:
    refused = [answer for answer in evidence.answers if answer.error and answer.error.status == REFUSED]
    if not refused:
        return untold("no 429, which the probe does not provoke")
    sent = any("retry-after" in headers for headers in evidence.headers)
    return (holds if sent else fails)(f"{counted(len(refused), '429')}, {'with' if sent else 'without'} it")


def _permission(evidence: Evidence) -> Finding:
    refused = [answer for answer in evidence.answers if answer.error and answer.error.reason == "auth"]
    came = ", ".join(sorted({f"{answer.endpoint.path}: {error_word(answer)}" for answer in refused}))
    if not refused or not evidence.replies:
        return untold(came or "nothing was refused")
    told = all(answer.error and answer.error.status in {401, 403} for answer in refused)
    return (holds if told else fails)(came)


ASSUMPTIONS = (
    Assumption(
        name="missing_permission",
        sentence=(
            "a request that the key does not permit is answered with 401 or 403; the error word is not known"
        ),
        consequence="the collector fails with the reason `auth`; no other collector is affected",
        confidence="open",
        origin="documents",
        check=_permission,
    ),
    Assumption(
        name="unknown_key",
        sentence="an unknown or revoked key is answered with 404 and `auth_error`",
        consequence="the reason is `auth` for any status if the error is `auth_error`",
        confidence="sure",
        origin="measured",
    ),
    Assumption(
        name="rate_headers",
        sentence=(
            "ordinary replies have `x-ratelimit-*` headers, even with 0 requests left; they do not predict"
            " a 429"
        ),
        consequence="the exporter does not read them",
        confidence="likely",
        origin="measured",
        check=_rate_headers,
    ),
    Assumption(
        name="retry_after",
        sentence=(
            "a 429 has a `Retry-After`; the vendor's client has honoured it since 2026-10, but its"
            " documents deny it"
        ),
        consequence="the exporter honours it up to 60 s, and also works without it",
        confidence="likely",
        origin="client",
        check=_retry_after,
    ),
    Assumption(
        name="threshold_scope",
        sentence="a threshold applies to each key; the documents also name the address",
        consequence="the exporter keeps the pace for each key",
        confidence="open",
        origin="documents",
    ),
)
