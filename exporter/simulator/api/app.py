"""Route a request through key check, limits and faults to the endpoint that answers it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.routing import Host as HostRoute
from starlette.routing import Route, Router

from exporter.simulator.api.delivery import deliver, hang_up, read_body
from exporter.simulator.api.endpoint import Host, Question
from exporter.simulator.api.query import QueryError
from exporter.simulator.api.replies import Reply, error_reply, json_reply
from exporter.simulator.api.request_log import DROPPED, LoggedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import Receive, Scope, Send

    from exporter.simulator.account import Account
    from exporter.simulator.api.endpoint import SimulatedEndpoint
    from exporter.simulator.server import SimulatedVast

#: Host name that serves the endpoints of `Host.RUN`, along with all others; same address.
RUN_HOST = "localhost"

#: Sent with ordinary replies, even the first; they do not lead to a refusal.
LIMIT_HEADERS = {"x-ratelimit-limit": "3.0", "x-ratelimit-remaining": "0"}


class EndpointApp:
    """One endpoint as an ASGI application."""

    def __init__(self, vast: SimulatedVast, endpoint: SimulatedEndpoint) -> None:
        self._vast = vast
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        arrived = self._vast.monotonic()
        reply = self._log_and_answer(scope, parse_body(await read_body(receive)), arrived)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.drop:
            await hang_up(receive)
        else:
            await deliver(reply, receive, send)

    def _log_and_answer(self, scope: Scope, body: object, arrived: float) -> Reply:
        headers = dict(scope["headers"])
        params = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        key = key_of(headers, params, body)
        account = self._vast.account_of(key)
        reply = self._answer_or_refuse(key, account, arrived, (params, scope.get("path_params", {}), body))
        request = LoggedRequest(
            time=arrived,
            endpoint=self._endpoint.path,
            account=account.name if account else "",
            params=params,
            user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
            status=DROPPED if reply.drop else reply.status,
            method=scope["method"],
            body=body,
        )
        self._vast.requests.append(request)
        return reply

    def _answer_or_refuse(
        self,
        key: str | None,
        account: Account | None,
        arrived: float,
        asked: tuple[Mapping[str, str], Mapping[str, str], object],
    ) -> Reply:
        if key is None:
            return error_reply(403, "auth_error", "This action requires login.")
        if account is None:
            return error_reply(404, "auth_error", "Invalid user key")
        path = self._endpoint.path
        refusal = self._vast.rate_limits.refuse(path, key, arrived)
        if refusal is not None:
            return refusal
        question = Question(account, *asked)
        return self._vast.faults.apply(path, account.name, question.params, lambda: self._answer(question))

    def _answer(self, question: Question) -> Reply:
        question.account.fleet.advance(self._vast.clock())
        try:
            reply = self._endpoint.answer(question)
        except QueryError as error:
            reply = json_reply({"error": error.error, "msg": error.message}, 400)
        return replace(reply, headers={**reply.headers, **LIMIT_HEADERS})


def key_of(headers: Mapping[bytes, bytes], params: Mapping[str, str], body: object) -> str | None:
    """Return the key in a request's header, query or body."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    given = body.get("api_key") if isinstance(body, dict) else None
    return params.get("api_key") or (given if isinstance(given, str) else None) or None


def parse_body(body: bytes) -> object:
    """Return the JSON value of a body, or None if it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def build_app(vast: SimulatedVast, endpoints: Iterable[SimulatedEndpoint]) -> Starlette:
    """Return an application with all endpoints of both hosts; those of `Host.RUN` need its host name."""
    endpoints = tuple(endpoints)

    def routes(hosts: Iterable[Host]) -> list[Route]:
        return [
            Route(endpoint.path, EndpointApp(vast, endpoint), methods=[endpoint.method])
            for endpoint in endpoints
            if endpoint.host in hosts
        ]

    return Starlette(routes=[HostRoute(RUN_HOST, Router(routes(Host))), *routes([Host.CONSOLE])])
