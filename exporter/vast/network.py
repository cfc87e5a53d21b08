"""Share proxies, TLS contexts and working addresses between all connections."""

from __future__ import annotations

import ssl
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import ALPN_PROTOCOLS, create_urllib3_context

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
#: An address as `socket.getaddrinfo` returns it.
Address = tuple[Any, ...]
#: Source of a TLS context: path of the certificates, and mtime and size of their file.
_State = tuple[str, int, int] | None


class Network:
    """Network settings that `requests` reads from the environment; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._environments: dict[str, dict[str, Any]] = {}
        self._contexts: dict[str | None, tuple[_State, ssl.SSLContext]] = {}
        self._answered: dict[tuple[str, int], Address] = {}

    def renew(self) -> None:
        """Reread certificates for new connections."""
        with self._lock:
            self._contexts.clear()
            self._environments.clear()  # the next configuration may have other hosts

    def environment(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates for `url`, cached after the first call."""
        with self._lock:
            if url not in self._environments:
                found = requests.Session().merge_environment_settings(url, {}, None, None, None)
                if urlsplit(url).hostname in LOOPBACK:  # a proxy cannot reach this machine's loopback
                    found["proxies"] = {}
                self._environments[url] = {name: found[name] for name in ("proxies", "verify", "cert")}
            return self._environments[url]

    def tls(self, verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - as in `requests`
        """Return the TLS context that all connections share; renewed when its file changes.

        A context per connection would cost 16 ms and 0.75 MB.

        Args:
            verify: file or directory with trusted CA certificates; True for the system's.

        Raises:
            OSError: the certificates cannot be read.

        """
        bundle = verify if isinstance(verify, str) else None
        state = _state(bundle)
        with self._lock:
            known = self._contexts.get(bundle)
            if known is None or known[0] != state:
                known = self._contexts[bundle] = state, _trusting(bundle)
            return known[1]

    def in_order(self, host: str, port: int, addresses: list[Address]) -> list[Address]:
        """Return the addresses from `socket.getaddrinfo`, with the one that last answered first."""
        last = self._answered.get((host, port))
        return sorted(addresses, key=lambda address: address[-1] != last)

    def answered(self, host: str, port: int, address: Address) -> None:
        """Record that an address has answered."""
        self._answered[host, port] = address


def _state(bundle: str | None) -> _State:
    if bundle is None:
        return None
    try:
        status = Path(bundle).stat()
    except OSError as error:
        raise OSError(f"the certificates in {bundle} can't be read: {error.strerror}") from None
    return bundle, status.st_mtime_ns, status.st_size


def _trusting(bundle: str | None) -> ssl.SSLContext:
    context = create_urllib3_context()
    if bundle is not None:
        folder = stat.S_ISDIR(Path(bundle).stat().st_mode)
        context.load_verify_locations(**{"capath" if folder else "cafile": bundle})
    else:
        context.load_default_certs()  # OpenSSL's default paths, or SSL_CERT_FILE and SSL_CERT_DIR
        found = context.cert_store_stats()["x509_ca"]
        if not found and not _has_certificates(ssl.get_default_verify_paths().capath):
            context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    # urllib3 sets them for each connection. OpenSSL would then free what another thread is copying.
    context.set_alpn_protocols = lambda alpn_protocols: None  # type: ignore[method-assign]  # noqa: ARG005
    return context


def _has_certificates(folder: str | None) -> bool:
    """Return whether a directory has any file; OpenSSL reads certificates there on demand."""
    with suppress(OSError):
        return folder is not None and any(Path(folder).iterdir())
    return False
