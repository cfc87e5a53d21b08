"""The TLS context that the web configuration describes."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, NoReturn

from exporter.config.mistakes import ConfigError
from exporter.web.handshakes import Handshake

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config.web import TlsServerConfig

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENT_CERTIFICATES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

_MISMATCHES = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "KEY_TYPE_MISMATCH": "the key type does not match the certificate",
    # What OpenSSL says where it has looked for a certificate of the key's type.
    "NO_CERTIFICATE_ASSIGNED": "the key type does not match the certificate",
}
#: None is what Python makes of an error of OpenSSL's PEM reader.
_NO_PEM = (None, "NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE")
#: Of OpenSSL's words: its library and reason before them, Python's own source line after.
_WHERE = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")


def server_context(config: TlsServerConfig, source: Path) -> ssl.SSLContext:
    """Return the context of a server.

    Args:
        config: what is wanted.
        source: the file that says so; paths are relative to its folder.

    Raises:
        ConfigError: a file can't be read, or is not what it should be.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[config.min_version]
    context.maximum_version = VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = Handshake
    # As in Go, whatever client_ca_file holds is trusted: an intermediate authority too, or a client's own
    # certificate, and not only a root.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    paths = files(config, source)
    for name, path in paths.items():
        _try_to_read(path, f"{source}: tls_server_config.{name}")
    certificate, key, *authorities = paths.values()
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, _EncryptedKeyError) as error:
        place = f"{source}: tls_server_config: cert_file {certificate} and key_file {key}"
        raise ConfigError([f"{place}: {_reason(error)}"]) from None
    for path in authorities:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            place = f"{source}: tls_server_config.client_ca_file"
            raise ConfigError([f"{place}: {path}: {_reason(error)}"]) from None
    context.verify_mode = CLIENT_CERTIFICATES[config.client_auth_type]
    return context


def files(config: TlsServerConfig, source: Path) -> dict[str, Path]:
    """Return the files that a context is made of, by the names of their keys in the file `source`."""
    names = ("cert_file", "key_file", *(["client_ca_file"] if config.client_ca_file is not None else []))
    return {name: source.parent / getattr(config, name) for name in names}


class _EncryptedKeyError(Exception):
    """A private key that asks for a password, and nobody is there to type it."""


def _no_password() -> NoReturn:
    raise _EncryptedKeyError


def _try_to_read(path: Path, place: str) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError([f"{place}: {path} can't be read: {error.strerror}"]) from None


def _reason(error: Exception) -> str:
    if isinstance(error, _EncryptedKeyError):
        return "the key is encrypted; expected one without a password"
    if not isinstance(error, ssl.SSLError):
        return "removed while being read"
    if error.reason in _MISMATCHES:
        return _MISMATCHES[error.reason]
    said = f"OpenSSL says: {_WHERE.sub('', str(error))}"
    no_pem = error.library == "PEM" or error.reason in _NO_PEM
    return f"expected PEM as openssl writes it; {said}" if no_pem else said
