"""Check the rules of HTTP that apply to every request (RFC 9110 and 9112)."""

from __future__ import annotations

import re
from http import HTTPMethod
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

#: Standard methods, more than any route allows. The parser knows about a dozen more.
METHODS = frozenset(HTTPMethod)
#: host [":" port], where the host may be empty (RFC 3986, 3.2.2).
_HOST = re.compile(
    r"(\[[0-9A-Za-z:.%_~!$&'()*+,;=-]+\]|([0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?"
)
#: Sec-Fetch-Site values of a request from our own page or from the user.
_OUR_OWN = frozenset({"same-origin", "none"})


class HttpRules:
    """Passes valid requests on to `app`; others get an error that names the broken rule."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["method"] not in METHODS:
            app: ASGIApp = PlainTextResponse("unknown method\n", 501)
        elif mistake := _mistake_in_host(Headers(scope=scope).getlist("host"), scope["http_version"]):
            app = PlainTextResponse(f"{mistake}\n", 400, {"Connection": "close"})
        else:
            app = self._app
        await app(scope, receive, send)


def _mistake_in_host(hosts: list[str], version: str) -> str:
    if not hosts and version not in {"0.9", "1.0"}:
        return "missing Host header"
    if len(hosts) > 1:
        return "duplicate Host header"
    if hosts and not _HOST.fullmatch(hosts[0]):
        return "malformed Host header"
    return ""


def is_cross_site(headers: Headers) -> bool:
    """Return whether a browser sends the request for another site's page; other clients never say so."""
    if site := headers.get("sec-fetch-site"):
        return site not in _OUR_OWN
    if (origin := headers.get("origin")) is None:
        return False
    try:
        # A proxy may have terminated TLS, so the scheme may differ.
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True
