"""Probe a running exporter for a container's health check, quickly and without an API key."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING

from exporter.config.mistakes import ConfigError
from exporter.config.models import split_address
from exporter.config.web import read_web_config

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config.models import Web

PATH = "/-/healthy"
#: Address to use for "every address" on this machine.
LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def ask(web: Web, *, timeout: float) -> tuple[bool, str]:
    """Return whether the exporter with the settings `web` is healthy, and its response.

    The certificate is not verified, since it need not name this machine. If the server requires a client
    certificate, a listening port is enough.
    """
    host, port = split_address(web.listen_address)
    host = LOOPBACK.get(host, host)
    plain = http.client.HTTPConnection(host, port, timeout=timeout)
    secure = http.client.HTTPSConnection(host, port, timeout=timeout, context=_unverified())
    try:
        if web.config_file is None:
            return _ask(plain)
        if _wants_certificates(web.config_file):
            plain.connect()
            plain.close()
            return True, "listening; anything more requires a client certificate"
        try:
            return _ask(secure)
        except ssl.SSLError:  # no TLS (any more): the file may have become invalid
            return _ask(plain)
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {web.listen_address}: {str(error) or type(error).__name__}"


def _wants_certificates(path: Path) -> bool:
    try:
        tls = read_web_config(path).tls_server_config
    except ConfigError:
        return False
    return tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert"


def _ask(connection: http.client.HTTPConnection) -> tuple[bool, str]:
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        text = response.read(65536).decode("utf-8", "replace").strip()
    finally:
        connection.close()
    return response.status == http.client.OK, text


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
