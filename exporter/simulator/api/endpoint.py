"""What an endpoint is: how it is asked, and the function that answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.simulator.account import Account
    from exporter.simulator.api.replies import Reply


class Host(Enum):
    """Which of the vendor's hosts answers."""

    #: console.vast.ai, which answers nearly everything: `SimulatedVast.url`.
    CONSOLE = "console"
    #: run.vast.ai, which is asked about the workers of serverless endpoints: `SimulatedVast.run_url`.
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Question:
    """What an endpoint gets to answer; the account's fleet stands at the present time."""

    account: Account
    #: The query.
    params: Mapping[str, str]
    #: What stands in the path's place holders.
    path_params: Mapping[str, str]
    #: What the JSON in the body says; None without any.
    body: object = None


@dataclass(frozen=True, slots=True)
class SimulatedEndpoint:
    """One endpoint.

    Attributes:
        path: with {name} where something varies; limits, faults and the log go by it, so it is its own.
        answer: called with one request after another; a `QueryError` of its own is answered with status 400.
        method: of HTTP.
        threshold: the documented least seconds between two requests; None where none is.
        per_minute: how many requests are answered within a minute; None where that is not limited.
        host: who answers.

    """

    path: str
    answer: Callable[[Question], Reply]
    method: str = "GET"
    threshold: float | None = None
    per_minute: int | None = None
    host: Host = Host.CONSOLE
