"""Choose format and encoding by the Accept and Accept-Encoding headers (RFC 9110, 12.5)."""

from __future__ import annotations

from typing import NamedTuple


class Offer(NamedTuple):
    """One element of a header: name in lower case, parameters, and weight (0 to 1)."""

    name: str
    parameters: dict[str, str]
    weight: float


def offers(header: str) -> list[Offer]:
    """Return the elements of an Accept-like header in order; invalid ones are left out."""
    found = []
    for element in header.split(","):
        name, *rest = (piece.strip() for piece in element.lower().split(";"))
        parameters = dict(_pair(piece) for piece in rest if "=" in piece)
        weight = _weight(parameters.pop("q", "1"))
        if name and weight is not None:
            found.append(Offer(name, parameters, weight))
    return found


def wants_openmetrics(accept: str) -> bool:
    """Return whether the client prefers OpenMetrics to the text format, which is the default.

    OpenMetrics must be requested by name; the text format need not be.
    """
    openmetrics = 0.0
    weights: dict[str, float] = {}
    for name, parameters, weight in offers(accept):
        if name == "application/openmetrics-text" and parameters.get("version", "1.0.0") in {
            "1.0.0",
            "0.0.1",
        }:
            openmetrics = max(openmetrics, weight)
        if parameters.get("version", "0.0.4") == "0.0.4":
            weights[name] = max(weights.get(name, 0.0), weight)
    text = weights.get("text/plain", weights.get("text/*", weights.get("*/*", 0.0)))
    return openmetrics > 0 and openmetrics >= text


def wants_gzip(accept_encoding: str) -> bool:
    """Return whether gzip is accepted, with at least the weight of no encoding."""
    weights = {name: weight for name, _, weight in reversed(offers(accept_encoding))}
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _pair(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    return name.strip(), value.strip().strip('"')


def _weight(text: str) -> float | None:
    if not text.replace(".", "", 1).isascii() or not text.replace(".", "", 1).isdigit():
        return None
    return min(1.0, float(text))
