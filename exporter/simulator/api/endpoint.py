"""Define an endpoint: its request parameters and the function that answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.simulator.account import Account
    from exporter.simulator.api.replies import Reply


class Host(Enum):
    """The vendor's host that answers."""

    #: console.vast.ai, which answers nearly everything: `SimulatedVast.url`.
    CONSOLE = "console"
    #: run.vast.ai, which lists the workers of serverless endpoints: `SimulatedVast.run_url`.
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Question:
    """A request to an endpoint; the account's fleet is at the current time."""

    account: Account
    #: Query parameters.
    params: Mapping[str, str]
    #: Values of the path's placeholders.
    path_params: Mapping[str, str]
    #: JSON value of the body, or None.
    body: object = None


@dataclass(frozen=True, slots=True)
class SimulatedEndpoint:
    """One endpoint.

    Attributes:
        path: path with {name} for variable parts; unique, because limits, faults and the log use it.
        answer: handles one request after another; a `QueryError` becomes a reply with status 400.
        method: HTTP method.
        threshold: documented minimum seconds between two requests, or None.
        per_minute: maximum number of requests per minute, or None for no limit.
        host: the host that answers.

    """

    path: str
    answer: Callable[[Question], Reply]
    method: str = "GET"
    threshold: float | None = None
    per_minute: int | None = None
    host: Host = Host.CONSOLE
