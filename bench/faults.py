"""Faults of the API, as replies of the simulated one."""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from exporter.simulator import INSTANCES, Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.simulator import Fault

TEXT = {"content-type": "text/plain"}
#: The API's maximum.
ROWS_A_PAGE = 25
#: More than the client reads from one reply.
TOO_MUCH = 9 * 2**20


def _with(change: Callable[[dict[str, Any]], None]) -> Fault:
    """Return a fault that changes the regular object."""

    def fault(_: Mapping[str, str], due: Reply) -> Reply:
        content = json.loads(due.body)
        change(content)
        return replace(due, body=json.dumps(content).encode())

    return fault


def _later(late: Reply) -> Fault:
    """Return a fault that spares the first page."""
    return lambda params, due: late if "after_token" in params else due


def _half(due: Reply) -> int:
    return len(due.body) // 2


def _endless(params: Mapping[str, str], _: Reply) -> Reply:
    number = int(params.get("after_token", "0")) + 1
    return json_reply({"instances": [{"id": number}], "next_token": str(number)})


def _odd_rows(page: dict[str, Any]) -> None:
    """Shuffle the rows, repeat one, and insert one without an id."""
    rows = page["instances"]
    if 0 < len(rows) < ROWS_A_PAGE - 1:  # a full page would exceed the limit
        page["instances"] = [*reversed(rows[:-1]), {"id": None}, rows[0], rows[-1]]


#: Faults of a list of instances, by the failure reason that they cause.
FAULTS: dict[str, tuple[Fault, ...]] = {
    "server_error": tuple(Reply(status) for status in (500, 502, 503, 504)),
    "rate_limited": (
        Reply(429, b"API requests too frequent", TEXT),
        Reply(429, b"API requests too frequent: endpoint threshold=0.01", TEXT),
        json_reply({"error": "rate_limit_exceeded", "msg": "Slow down"}, 429),
        Reply(429, headers={"retry-after": "1"}),
        lambda *_: Reply(429, headers={"retry-after": formatdate(time.time() + 1, usegmt=True)}),
    ),
    "network": (
        Reply(drop=True),
        lambda _, due: replace(due, cut=_half(due)),
    ),
    "timeout": (
        Reply(delay=5.0),
        lambda _, due: replace(due, pause=0.5),
    ),
    "bad_reply": (
        Reply(body=bytes(TOO_MUCH)),
        Reply(body=gzip.compress(bytes(TOO_MUCH)), headers={"content-encoding": "gzip"}),
        lambda _, due: replace(due, body=due.body[: _half(due)]),
        Reply(body=b"<html>", headers={"content-type": "text/html"}),
        json_reply([]),
        json_reply({"success": False}),
        _with(lambda page: page.update(instances=None)),
        Reply(307, headers={"location": INSTANCES}),
        Reply(302, headers={"location": "http://elsewhere.invalid/"}),
    ),
    "incomplete": (
        _with(lambda page: page.update({"next_token": "again"})),
        _endless,
        _with(lambda page: page.update({"instances": [], "next_token": "on"})),
    ),
    "client_error": (
        _later(json_reply({"error": "invalid_token"}, 400)),
        json_reply({"error": "deprecated_endpoint"}, 410),
    ),
    "auth": (
        json_reply({"error": "auth_error"}, 404),
        Reply(401),
        _later(Reply(403)),
    ),
    "": (_with(_odd_rows),),  # no failure
}
