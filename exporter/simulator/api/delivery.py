"""Receive requests and send replies over HTTP: complete, slow, cut off or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from exporter.simulator.api.replies import Reply

PIECES = 10
#: Maximum length of a body, far above any real request.
MOST_BYTES = 2**20


async def read_body(receive: Receive) -> bytes:
    """Return a request's body, truncated if it is too long."""
    body = b""
    while len(body) < MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


async def deliver(reply: Reply, receive: Receive, send: Send) -> None:
    """Send a reply, or as much of it as it specifies."""
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
    """Close the connection during a request; ASGI cannot do this, so it uses the server's transport."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("connections can be dropped only when uvicorn serves the application directly")
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
