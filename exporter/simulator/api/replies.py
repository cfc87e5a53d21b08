"""Define replies and their faults in delivery."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, and the faults in its delivery."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": JSON_TYPE})
    #: Seconds before anything is sent.
    delay: float = 0.0
    #: Seconds between the tenths of the body.
    pause: float = 0.0
    #: Close the connection without a reply.
    drop: bool = False
    #: Close the connection after this many bytes of the body.
    cut: int | None = None


def json_reply(value: object, status: int = 200) -> Reply:
    """Return a JSON reply."""
    return Reply(status, json.dumps(value, ensure_ascii=False).encode())


def error_reply(status: int, error: str, message: str) -> Reply:
    """Return an error in the API's usual form."""
    return json_reply({"success": False, "error": error, "msg": message}, status)
