"""Create the TLS context for the web configuration."""

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
    # OpenSSL's error if it finds no certificate of the key's type.
    "NO_CERTIFICATE_ASSIGNED": "the key type does not match the certificate",
}
#: None is Python's reason for an error in OpenSSL's PEM reader.
_NO_PEM = (None, "NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE")
#: Parts of an OpenSSL message to remove: library and reason before it, Python's source line after it.
_WHERE = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")


def server_context(config: TlsServerConfig, source: Path) -> ssl.SSLContext:
    """Return the server's TLS context.

    Args:
        config: TLS settings.
        source: path of the configuration file, to whose directory paths are relative.

    Raises:
        ConfigError: a file cannot be read or is invalid.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[config.min_version]
    context.maximum_version = VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = Handshake
    # As in Go, every certificate in client_ca_file is trusted: also an intermediate CA or a client's own
    # certificate, not only a root.
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
    """Return the files of a context, by their keys in the file `source`."""
    names = ("cert_file", "key_file", *(["client_ca_file"] if config.client_ca_file is not None else []))
    return {name: source.parent / getattr(config, name) for name in names}


class _EncryptedKeyError(Exception):
    """The private key is encrypted, and there is nobody to type a password."""


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
