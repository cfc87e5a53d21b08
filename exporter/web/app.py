"""Define the routes: metrics, health, readiness, discovery and the landing page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter.exposition.body import OPENMETRICS, PIECE, TEXT
from exporter.web.access import LiveAccess
from exporter.web.auth import AccessMiddleware
from exporter.web.http_rules import HttpRules, is_cross_site
from exporter.web.landing import page
from exporter.web.negotiation import wants_gzip, wants_openmetrics
from exporter.web.users import PasswordChecks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from exporter.discovery.targets import Targets
    from exporter.exposition.body import Body, Exposition
    from exporter.polling.loop import Loop

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
#: Health checks, which need no password.
HEALTH_PATHS = ("/-/healthy", "/healthz")
READY_PATHS = ("/-/ready", "/readyz")
DISCOVERY_PATH = "/sd/instances"
#: Maximum characters of a client's input to echo.
_LONGEST_SAID = 60


class Served(Protocol):
    """The poller's interface for the routes."""

    @property
    def exposition(self) -> Exposition:
        """Renders /metrics."""

    @property
    def targets(self) -> Targets | None:
        """The discovery targets, or None if discovery is off."""

    @property
    def loops(self) -> Sequence[Loop]:
        """All loops, for health, readiness and the landing page."""

    def reload(self) -> tuple[str, ...]:
        """Apply the current configuration; return the mistakes in it."""


def create_app(
    served: Served,
    *,
    telemetry_path: str,
    wall_clock: Callable[[], float],
    dashboards_url: str | None = None,
    access: LiveAccess | None = None,
    passwords: PasswordChecks | None = None,
) -> ASGIApp:
    """Return the web application for `served`; without `access` and `passwords`, it is open to everyone."""
    access = access or LiveAccess(None)
    been_ready = False

    async def landing(_: Request) -> Response:
        now = wall_clock()
        accounts = await run_in_threadpool(served.exposition.overviews, now)  # reads every instance
        links = {"Metrics": telemetry_path, "Dashboards": dashboards_url or ""}
        html = page(accounts, served.loops, links=links, now=now)
        return HTMLResponse(html, headers={**SECURITY_HEADERS, "Cache-Control": "no-store"})

    async def healthy(request: Request) -> Response:
        complaints = [f"{_name(loop)}: {loop.trouble()}" for loop in served.loops if loop.trouble()]
        return _verdict("healthy", complaints, request)

    async def ready(request: Request) -> Response:
        nonlocal been_ready  # an account added later must not make the others unavailable
        waiting = [
            loop
            for loop in served.loops
            if loop.job.collector.enabled and not loop.runs.ended and not been_ready
        ]
        been_ready = not waiting
        return _verdict(
            "ready", [f"{_name(loop)}: the first run has not finished" for loop in waiting], request
        )

    async def reload(request: Request) -> Response:
        if is_cross_site(request.headers):
            return PlainTextResponse("cross-site requests are not allowed\n", status_code=403)
        mistakes = await run_in_threadpool(served.reload) or access.mistakes
        if mistakes:
            return PlainTextResponse("".join(f"{line}\n" for line in mistakes), status_code=500)
        return PlainTextResponse("reloaded\n")

    app = Starlette(
        routes=[
            Route("/", landing),
            Route(telemetry_path, Metrics(served), methods=["GET", "HEAD"]),
            Route(DISCOVERY_PATH, Discovered(served), methods=["GET", "HEAD"]),
            Route("/-/reload", reload, methods=["POST"]),
            *(Route(path, healthy) for path in HEALTH_PATHS),
            *(Route(path, ready) for path in READY_PATHS),
        ]
    )
    app.router.redirect_slashes = False
    guarded = AccessMiddleware(
        app,
        access=access,
        passwords=passwords or PasswordChecks(),
        open_paths=(*HEALTH_PATHS, *READY_PATHS),
    )
    return HttpRules(guarded)


class Metrics:
    """The metrics endpoint, in the format and encoding that the client prefers.

    `?group=status&group=money` restricts the response to these groups.
    """

    def __init__(self, served: Served) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one scrape."""
        groups = asked_groups(scope.get("query_string", b""))
        known = self._served.exposition.groups
        if groups is not None and (unknown := sorted(groups.difference(known))):
            refusal = f"unknown group {unknown[0][:_LONGEST_SAID]!r}; allowed: {', '.join(known)}\n"
            await PlainTextResponse(refusal, 400)(scope, receive, send)
            return
        headers = Headers(scope=scope)
        openmetrics = wants_openmetrics(", ".join(headers.getlist("accept")))
        gzip = wants_gzip(", ".join(headers.getlist("accept-encoding")))
        body = await self._body(openmetrics=openmetrics, gzip=gzip, groups=groups)
        fields = {
            "Content-Type": OPENMETRICS if openmetrics else TEXT,
            "Content-Length": str(body.length),
            "Vary": "Accept, Accept-Encoding",
            **({"Content-Encoding": "gzip"} if gzip else {}),
        }
        # Decompressing a piece of a plain body takes 50 us, half as long as switching to another thread.
        await _send_pieces(send, fields, body.pieces)

    async def _body(self, *, openmetrics: bool, gzip: bool, groups: frozenset[str] | None) -> Body:
        # Rendering takes time, and so do the exporter's own metrics with many accounts.
        body = self._served.exposition.body
        return await run_in_threadpool(body, openmetrics=openmetrics, gzip=gzip, groups=groups)


def asked_groups(query: bytes) -> frozenset[str] | None:
    """Return the groups in a query, or None if it has none."""
    groups = QueryParams(query).getlist("group") if query else ()
    return frozenset(groups) if groups else None


class Discovered:
    """The endpoint for Prometheus's http_sd; targets are addresses, so only users may see them."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one refresh; on any status but 200, Prometheus keeps its current targets."""
        targets = self._served.targets
        if targets is None:
            await PlainTextResponse("discovery is disabled\n", 404)(scope, receive, send)
            return
        if awaited := await run_in_threadpool(targets.awaited):
            names = ", ".join(map(repr, awaited))
            await PlainTextResponse(f"not read yet: account {names}\n", 503)(scope, receive, send)
            return
        content = memoryview(await run_in_threadpool(targets.json))
        fields = {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
        }
        pieces = (bytes(content[start : start + PIECE]) for start in range(0, len(content), PIECE))
        await _send_pieces(send, fields, pieces)


async def _send_pieces(send: Send, fields: Mapping[str, str], pieces: Iterable[bytes]) -> None:
    """Send a response piece by piece, so that a slow client buffers one piece and not the whole."""
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _name(loop: Loop) -> str:
    account = f"account {loop.job.account!r}, " * bool(loop.job.account)  # the market has no account
    return f"{account}collector {loop.job.collector.name}"


def _verdict(good: str, complaints: Sequence[str], request: Request) -> Response:
    if not complaints:
        return PlainTextResponse(f"{good}\n")
    if not request.state.authenticated:  # account names and errors are for users only
        complaints = [f"not {good}"]
    return PlainTextResponse("\n".join(complaints) + "\n", status_code=503)
