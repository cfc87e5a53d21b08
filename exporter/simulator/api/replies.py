"""Replies, and what may happen to them on their way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and what happens to it on its way."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": JSON_TYPE})
    #: Seconds before anything is sent.
    delay: float = 0.0
    #: Seconds between the tenths of the body.
    pause: float = 0.0
    #: Close the connection without any answer.
    drop: bool = False
    #: Close the connection after so many bytes of the body.
    cut: int | None = None


def json_reply(value: object, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(value, ensure_ascii=False).encode())


def error_reply(status: int, error: str, message: str) -> Reply:
    """An error in the API's usual shape."""
    return json_reply({"success": False, "error": error, "msg": message}, status)
