"""The routes: metrics, health, readiness and the landing page."""

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
#: For whoever has to know whether the process is well, and has no password.
HEALTH_PATHS = ("/-/healthy", "/healthz")
READY_PATHS = ("/-/ready", "/readyz")
DISCOVERY_PATH = "/sd/instances"
#: Characters of what a client asked for that it is told back.
_LONGEST_SAID = 60


class Served(Protocol):
    """What the routes need of what polls."""

    @property
    def exposition(self) -> Exposition:
        """The bytes of /metrics."""

    @property
    def targets(self) -> Targets | None:
        """What discovery answers; None where it is off."""

    @property
    def loops(self) -> Sequence[Loop]:
        """All loops, for health, readiness and the landing page."""

    def reload(self) -> tuple[str, ...]:
        """Go on with what the configuration says now; return what is wrong with it."""


def create_app(
    served: Served,
    *,
    telemetry_path: str,
    wall_clock: Callable[[], float],
    dashboards_url: str | None = None,
    access: LiveAccess | None = None,
    passwords: PasswordChecks | None = None,
) -> ASGIApp:
    """Return the web application of `served`; without `access` and `passwords` it is open to everybody."""
    access = access or LiveAccess(None)
    been_ready = False

    async def landing(_: Request) -> Response:
        now = wall_clock()
        accounts = await run_in_threadpool(served.exposition.overviews, now)  # looks at every instance
        links = {"Metrics": telemetry_path, "Dashboards": dashboards_url or ""}
        html = page(accounts, served.loops, links=links, now=now)
        return HTMLResponse(html, headers={**SECURITY_HEADERS, "Cache-Control": "no-store"})

    async def healthy(request: Request) -> Response:
        complaints = [f"{_name(loop)}: {loop.trouble()}" for loop in served.loops if loop.trouble()]
        return _verdict("healthy", complaints, request)

    async def ready(request: Request) -> Response:
        nonlocal been_ready  # an account that is added later must not take away those that are there
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
    """The endpoint of the metrics, in the format and the encoding that the client likes best.

    `?group=status&group=money` asks for these groups of them only.
    """

    def __init__(self, served: Served) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one scrape."""
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
        # Unpacking a piece of a plain body takes 50 us, half of what the way to another thread would.
        await _send_pieces(send, fields, body.pieces)

    async def _body(self, *, openmetrics: bool, gzip: bool, groups: frozenset[str] | None) -> Body:
        # Rendering takes its time, and with many accounts so do the exporter's own metrics.
        body = self._served.exposition.body
        return await run_in_threadpool(body, openmetrics=openmetrics, gzip=gzip, groups=groups)


def asked_groups(query: bytes) -> frozenset[str] | None:
    """Return the groups that a query asks for, or None where it says nothing of groups."""
    groups = QueryParams(query).getlist("group") if query else ()
    return frozenset(groups) if groups else None


class Discovered:
    """The endpoint of Prometheus's http_sd: targets, which are addresses, and so for users only."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one refresh; on any status but 200 Prometheus keeps the targets that it has."""
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
    """Send a reply piece by piece, so that a slow reader holds one piece in its buffer and not the whole."""
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _name(loop: Loop) -> str:
    account = f"account {loop.job.account!r}, " * bool(loop.job.account)  # the market's has none
    return f"{account}collector {loop.job.collector.name}"


def _verdict(good: str, complaints: Sequence[str], request: Request) -> Response:
    if not complaints:
        return PlainTextResponse(f"{good}\n")
    if not request.state.authenticated:  # names of accounts and what is wrong with them are for users
        complaints = [f"not {good}"]
    return PlainTextResponse("\n".join(complaints) + "\n", status_code=503)
