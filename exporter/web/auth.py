"""Authenticate users and add the configured headers to every response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from exporter.web.users import PasswordChecks, TooManyGuessesError, credentials_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic import SecretStr
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from exporter.web.access import LiveAccess

CHALLENGE = {"WWW-Authenticate": 'Basic realm="vastai-exporter", charset="UTF-8"'}


class AccessMiddleware:
    """Passes permitted requests on to `app`, according to the current state of `access`.

    `open_paths` are open to everyone. `request.state.authenticated` tells whether the request is a user's; it
    is also true if no users are configured.
    """

    def __init__(
        self, app: ASGIApp, *, access: LiveAccess, passwords: PasswordChecks, open_paths: Collection[str]
    ) -> None:
        self._app = app
        self._access = access
        self._passwords = passwords
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        config = self._access.now().config
        send = _with_headers(send, config.http_server_config.headers)
        refusal = PlainTextResponse("user name and password required\n", 401, CHALLENGE)
        try:
            authenticated = await self._authenticates(Headers(scope=scope), config.basic_auth_users)
        except TooManyGuessesError:
            authenticated = False
            refusal = PlainTextResponse("too many password checks in progress\n", 503, {"Retry-After": "1"})
        scope.setdefault("state", {})["authenticated"] = authenticated
        passes = authenticated or scope["path"] in self._open_paths
        await (self._app if passes else refusal)(scope, receive, send)

    async def _authenticates(self, headers: Headers, users: Mapping[str, SecretStr]) -> bool:
        if not users:
            return True
        credentials = credentials_of(headers.get("authorization", ""))
        return credentials is not None and await self._passwords.admits(users, credentials)


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    if not headers:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return sending
