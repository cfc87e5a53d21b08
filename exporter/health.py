"""Asking a running exporter how it is, for a container's health check: quick, and without a key."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from exporter.config import split_address

if TYPE_CHECKING:
    from exporter.config import Web

PATH = "/-/healthy"
#: What "every address" is for a client on this machine.
LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def ask(web: Web, *, timeout: float) -> tuple[bool, str]:
    """Return whether the exporter that serves with the settings `web` is healthy, and what it says."""
    host, port = split_address(web.listen_address)
    host = LOOPBACK.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        text = response.read(65536).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {web.listen_address}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return response.status == http.client.OK, text
