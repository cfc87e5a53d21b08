"""Define the web configuration: TLS, users and headers, in the format of Prometheus's exporter-toolkit.

https://prometheus.io/docs/prometheus/latest/configuration/https/ describes the format. An unsupported setting
is an error, since its author relies on it. Paths are relative to the file's directory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator

from exporter.config.mistakes import ConfigError, Mistakes
from exporter.config.models import FilePath, Model
from exporter.config.yaml_file import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config.mistakes import Location

#: A bcrypt cost above 14 takes seconds to check, and delays scrapes and shutdown.
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}")
_ONE_LINE = re.compile(r"[\x20-\x7e]*")
#: Supported headers, and their allowed values if restricted.
HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


def _hash(value: SecretStr) -> SecretStr:
    if not _BCRYPT.fullmatch(value.get_secret_value()):
        raise ValueError(
            "a bcrypt hash of cost 4 to 14, such as `htpasswd -nBC 10 NAME` prints after the colon"
        )
    return value


def _user(value: str) -> str:
    if not value or ":" in value or not value.isprintable():
        raise ValueError("user names without colons or control characters")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if name not in HEADERS:
            raise ValueError(f"one of {', '.join(HEADERS)}, not {name!r}")
        allowed = HEADERS[name]
        if allowed and text not in allowed:
            raise ValueError(f"{' or '.join(allowed)} for {name}, not {text!r}")
        if not _ONE_LINE.fullmatch(text):
            raise ValueError(f"one line of ASCII text for {name}")
    return value


def _http_1(value: bool) -> bool:  # noqa: FBT001 - a validator's argument
    if value:
        raise ValueError("false, as this exporter speaks HTTP/1.1")
    return value


Version = Literal["TLS12", "TLS13"]
User = Annotated[str, AfterValidator(_user)]
Hash = Annotated[SecretStr, AfterValidator(_hash)]


class TlsServerConfig(Model):
    """The server's certificate, and the verification of client certificates."""

    cert_file: FilePath = Field(description="certificate, followed by its chain, in PEM")
    key_file: FilePath = Field(description="private key of the certificate, in PEM, not encrypted")
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = (
        Field(
            "NoClientCert",
            description="whether clients must present a certificate; all values but"
            " NoClientCert need client_ca_file",
        )
    )
    client_ca_file: FilePath | None = Field(
        None,
        description="certificates that verify those of clients, in PEM: root and intermediate authorities,"
        " or the clients' own certificates",
    )
    min_version: Version = Field("TLS12", description="oldest TLS version that is accepted")
    max_version: Version = Field("TLS13", description="newest TLS version that is accepted")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        asks = self.client_auth_type != "NoClientCert"
        if asks and self.client_ca_file is None:
            raise ValueError(f"client_auth_type {self.client_auth_type}: needs client_ca_file")
        if not asks and self.client_ca_file is not None:
            raise ValueError(
                "client_ca_file: needs client_auth_type VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            )
        if self.min_version > self.max_version:
            raise ValueError(f"min_version {self.min_version}: not above max_version, {self.max_version}")
        return self


class HttpServerConfig(Model):
    """HTTP settings."""

    http2: Annotated[bool, AfterValidator(_http_1)] = Field(
        default=False, description="must be false: the exporter speaks HTTP/1.1"
    )
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        default_factory=dict, description=f"headers to add to every response: {', '.join(HEADERS)}"
    )


class WebConfig(Model):
    """The complete web configuration."""

    tls_server_config: TlsServerConfig | None = Field(
        None, description="without this section, the exporter serves plain HTTP"
    )
    http_server_config: HttpServerConfig = Field(default_factory=HttpServerConfig, description="HTTP itself")
    basic_auth_users: dict[User, Hash] = Field(
        default_factory=dict, description="user names, and bcrypt hashes of their passwords"
    )

    @property
    def asks_of_clients(self) -> bool:
        """Whether clients must present a certificate or a password."""
        tls = self.tls_server_config
        certificate = tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert"
        return certificate or bool(self.basic_auth_users)


def _may_be_a_secret(location: Location) -> bool:
    return location[:1] == ("basic_auth_users",)


_MISTAKES = Mistakes(WebConfig, secret=_may_be_a_secret)


def read_web_config(path: Path) -> WebConfig:
    """Return the settings in a web configuration file.

    Raises:
        ConfigError: the file is invalid.

    """
    settings = read_yaml(path, WebConfig.model_fields, texts=("http_server_config", "headers"))
    try:
        return WebConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(_MISTAKES.lines(error, lambda key: f"{path}: {key}".rstrip(": "))) from None
