"""Asking a running exporter how it is, for a container's health check: quick, and without a key."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING

from exporter.config import split_address

if TYPE_CHECKING:
    from exporter.config import Web

PATH = "/-/healthy"
#: What "every address" is for a client on this machine.
LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
#: How OpenSSL calls it that the server insists on a client's certificate: TLS 1.3, and before.
CERTIFICATE_WANTED = ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE")


def ask(web: Web, *, timeout: float) -> tuple[bool, str]:
    """Return whether the exporter that serves with the settings `web` is healthy, and what it says.

    Where a web configuration is given, TLS is tried first: the file itself may have gone bad since it was
    read. The certificate isn't checked, as its names need not be this machine's. Where the exporter insists
    on a client's certificate, it is enough that it does.
    """
    host, port = split_address(web.listen_address)
    host = LOOPBACK.get(host, host)
    try:
        if web.config_file is not None:
            try:
                return _ask(http.client.HTTPSConnection(host, port, timeout=timeout, context=_unverified()))
            except ssl.SSLError as error:
                if error.reason in CERTIFICATE_WANTED:
                    return True, "alive; it tells more only to clients with a certificate"
        return _ask(http.client.HTTPConnection(host, port, timeout=timeout))
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {web.listen_address}: {str(error) or type(error).__name__}"


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
