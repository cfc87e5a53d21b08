"""What all connections share: the way to each host, whom to trust, which addresses answer."""

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
#: An address, as `socket.getaddrinfo` has it.
Address = tuple[Any, ...]
#: What a context was made of: the path of the certificates, and how their file looked.
_State = tuple[str, int, int] | None


class Network:
    """How hosts are reached, as `requests` reads it from the environment; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._environments: dict[str, dict[str, Any]] = {}
        self._contexts: dict[str | None, tuple[_State, ssl.SSLContext]] = {}
        self._answered: dict[tuple[str, int], Address] = {}

    def renew(self) -> None:
        """Let certificates be read anew, for the connections that are made from now on."""
        with self._lock:
            self._contexts.clear()
            self._environments.clear()  # the next configuration may have other hosts

    def environment(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates for `url`; they are looked up once."""
        with self._lock:
            if url not in self._environments:
                found = requests.Session().merge_environment_settings(url, {}, None, None, None)
                if urlsplit(url).hostname in LOOPBACK:  # no proxy gets to what is on this machine
                    found["proxies"] = {}
                self._environments[url] = {name: found[name] for name in ("proxies", "verify", "cert")}
            return self._environments[url]

    def tls(self, verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - as `requests` has it
        """Return the context that all connections share; it is made anew when its file changes.

        One of its own for each connection would cost 16 ms and 0.75 MB.

        Args:
            verify: file or folder with the authorities to trust; True for those of the system.

        Raises:
            OSError: they can't be read.

        """
        bundle = verify if isinstance(verify, str) else None
        state = _state(bundle)
        with self._lock:
            known = self._contexts.get(bundle)
            if known is None or known[0] != state:
                known = self._contexts[bundle] = state, _trusting(bundle)
            return known[1]

    def in_order(self, host: str, port: int, addresses: list[Address]) -> list[Address]:
        """Return what `socket.getaddrinfo` says, the one that answered last before all others."""
        last = self._answered.get((host, port))
        return sorted(addresses, key=lambda address: address[-1] != last)

    def answered(self, host: str, port: int, address: Address) -> None:
        """Note that an address has answered."""
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
        context.load_default_certs()  # where OpenSSL looks, or SSL_CERT_FILE and SSL_CERT_DIR say
        found = context.cert_store_stats()["x509_ca"]
        if not found and not _has_certificates(ssl.get_default_verify_paths().capath):
            context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    # urllib3 does so for each connection. OpenSSL would free what another thread copies at that moment.
    context.set_alpn_protocols = lambda alpn_protocols: None  # type: ignore[method-assign]  # noqa: ARG005
    return context


def _has_certificates(folder: str | None) -> bool:
    """Return whether there is anything in a folder; certificates in it are read when they are needed."""
    with suppress(OSError):
        return folder is not None and any(Path(folder).iterdir())
    return False
