"""The endpoints: what each answers, and the way of a request through key, pace and faults to its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.routing import Route

from exporter.simulator.account import describe_user
from exporter.simulator.columns import row
from exporter.simulator.listing import QueryError, page, parse
from exporter.simulator.traffic import DROPPED, Asked, Reply, error_reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from exporter.simulator.account import Account
    from exporter.simulator.server import SimulatedVast

INSTANCES = "/api/v1/instances/"
OLD_INSTANCES = "/api/v0/instances/"
INSTANCE = "/api/v0/instances/{id}/"
FILTERS = "/api/v0/instances/filters/"
USER = "/api/v0/users/current/"

#: The documented least seconds between two requests; not stated for the others.
THRESHOLDS = {INSTANCES: 1.0, INSTANCE: 2.0}

PIECES = 10


@dataclass(frozen=True, slots=True)
class Question:
    """What an endpoint gets to answer."""

    account: Account
    params: Mapping[str, str]
    path_params: Mapping[str, str]


def list_instances(question: Question) -> Reply:
    """A page of the account's instances."""
    try:
        return json_reply(page(question.account.fleet, parse(question.params)))
    except QueryError as error:
        return json_reply({"error": error.error, "msg": error.message}, 400)


def list_instances_v0(_: Question) -> Reply:
    """The list that was switched off."""
    message = "This endpoint is deprecated. Use /api/v1/instances/ instead."
    return error_reply(410, "deprecated_endpoint", message)


def show_instance(question: Question) -> Reply:
    """One instance; null when there is none with that id."""
    text = question.path_params["id"]
    if not text.isdecimal():
        return error_reply(400, "invalid_args", f"Invalid instance id: {text}")
    fleet = question.account.fleet
    with fleet.lock:
        instance = fleet.roster.get(int(text))
        return json_reply({"instances": None if instance is None else row(instance, fleet.now)})


def list_filters(question: Question) -> Reply:
    """The combinations of status, verification and GPU that occur."""
    fleet = question.account.fleet
    with fleet.lock:
        combinations = {
            (i.status, i.contract.machine.verification, i.contract.machine.gpu.name): None
            for i in fleet.roster
        }
    names = ("actual_status", "verification", "gpu_name")
    return json_reply({"filters": [dict(zip(names, values, strict=True)) for values in combinations]})


def show_user(question: Question) -> Reply:
    """The user and their credit."""
    return json_reply(describe_user(question.account))


#: In the order in which they are tried: a path that is spelt out comes before one with a number.
ENDPOINTS: tuple[tuple[str, Callable[[Question], Reply]], ...] = (
    (INSTANCES, list_instances),
    (OLD_INSTANCES, list_instances_v0),
    (FILTERS, list_filters),
    (INSTANCE, show_instance),
    (USER, show_user),
)


class Endpoint:
    """One endpoint as an ASGI application."""

    def __init__(self, vast: SimulatedVast, path: str, answer: Callable[[Question], Reply]) -> None:
        self._vast = vast
        self._path = path
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        reply = self._reply(scope)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.drop:
            await hang_up(receive)
        else:
            await deliver(reply, receive, send)

    def _reply(self, scope: Scope) -> Reply:
        vast = self._vast
        arrived = vast.monotonic()
        headers = dict(scope["headers"])
        params = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        key = key_of(headers, params)
        account = vast.account_of(key)
        reply = self._decide(key, account, params, scope.get("path_params", {}), arrived)
        status = DROPPED if reply.drop else reply.status
        agent = headers.get(b"user-agent", b"").decode("latin-1")
        name = account.name if account else ""
        vast.requests.append(Asked(arrived, self._path, name, params, agent, status))
        return reply

    def _decide(
        self,
        key: str | None,
        account: Account | None,
        params: dict[str, str],
        path_params: Mapping[str, str],
        arrived: float,
    ) -> Reply:
        if key is None:
            return error_reply(403, "auth_error", "This action requires login.")
        if account is None:
            return error_reply(404, "auth_error", "Invalid user key")
        refusal = self._vast.pace.refuse(self._path, key, arrived)
        if refusal is not None:
            return refusal

        def due() -> Reply:
            account.fleet.advance(self._vast.clock())
            return self._answer(Question(account, params, path_params))

        return self._vast.faults.apply(self._path, account.name, params, due)


def key_of(headers: Mapping[bytes, bytes], params: Mapping[str, str]) -> str | None:
    """The key that a request carries, in the header or in the query."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return params.get("api_key") or None


async def deliver(reply: Reply, receive: Receive, send: Send) -> None:
    """Send a reply, or as much of it as it says."""
    headers = {"content-length": str(len(reply.body)), **reply.headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    body = reply.body if reply.cut is None else reply.body[: reply.cut]
    size = max(1, -(-len(body) // PIECES)) if reply.pause else len(body)
    for first in range(0, len(body), size or 1) if reply.pause or reply.cut is not None else ():
        await send({"type": "http.response.body", "body": body[first : first + size], "more_body": True})
        await asyncio.sleep(reply.pause)
    if reply.cut is not None:
        await hang_up(receive)
    else:
        rest = b"" if reply.pause else body
        await send({"type": "http.response.body", "body": rest, "more_body": False})


async def hang_up(receive: Receive) -> None:
    """Close the connection under a request: ASGI has no word for it, so this takes the server's transport."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("connections can be dropped only when uvicorn serves the application directly")
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def build_app(vast: SimulatedVast) -> Starlette:
    """All endpoints."""
    return Starlette(
        routes=[Route(path, Endpoint(vast, path, answer), methods=["GET"]) for path, answer in ENDPOINTS]
    )
