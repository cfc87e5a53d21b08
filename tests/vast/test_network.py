"""Which authorities are trusted, read how often, and which of a name's addresses is tried first."""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from exporter.vast.client import Client
from exporter.vast.errors import NetworkError
from exporter.vast.network import Network

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.vast.endpoints import Endpoint
    from tests.support.scripted_api import Api, ClientSetup

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _usual_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(certificate: tuple[Path, Path], tmp_path: Path) -> Path:
    """A folder as OpenSSL keeps certificates: each is named by the hash of its subject."""
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate[0])]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    made = tmp_path / "certs"
    made.mkdir()
    shutil.copy(certificate[0], made / f"{name}.0")
    return made


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    """A folder in which there is no certificate."""
    made = tmp_path / "none"
    made.mkdir()
    return made


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_authority_of_the_systems_store_is_trusted_and_of_what_the_environment_names(
    variable: str,
    tls: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    certificate: tuple[Path, Path],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, str(folder if variable == "SSL_CERT_DIR" else certificate[0]))
    setup.url = tls.url
    assert setup.client().ask(endpoint) == {}


def test_a_bundle_may_be_a_folder(
    tls: Api, setup: ClientSetup, endpoint: Endpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))
    setup.url = tls.url
    assert setup.client().ask(endpoint) == {}


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_wins_over_the_systems_store(
    variable: str,
    tls: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    certificate: tuple[Path, Path],
    nothing: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv(variable, str(nothing))
    setup.url = tls.url
    with pytest.raises(NetworkError, match="TLS: self-signed certificate"):
        setup.client().ask(endpoint)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_no_use_is_a_failure_in_words(
    content: str | None,
    tls: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    setup.url = tls.url
    with pytest.raises(NetworkError, match=r"the connection failed: .*(bundle\.pem|CERT|certificate)"):
        setup.client().ask(endpoint)
    assert not tls.asked


def test_where_the_system_has_no_store_the_public_authorities_are_trusted(
    nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(nothing / "no.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(nothing))
    assert Network().tls(verify=True).cert_store_stats()["x509_ca"] > 50


def test_certificates_are_read_once_for_all_connections_and_again_when_asked(
    tls: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    certificate: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "store.pem"
    shutil.copy(certificate[0], store)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    tls.otherwise = tls.reply({}, Connection="close")
    setup.url = tls.url
    options = setup.options()
    clients = [
        Client(options, key=lambda: setup.key, wait=setup.time.wait, observe=setup.attempts.append)
        for _ in range(2)
    ]
    clients[0].ask(endpoint)
    store.unlink()
    for client in clients:
        client.ask(endpoint)
    assert tls.connections == 3
    options.network.renew()
    with pytest.raises(NetworkError, match="TLS: self-signed certificate"):
        clients[0].ask(endpoint)


def test_the_address_that_answered_last_is_tried_first_by_every_client(
    api: Api,
    second_api: Api,
    setup: ClientSetup,
    endpoint: Endpoint,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports = [closed_port, api.port]

    def addresses(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    api.otherwise = api.reply({}, Connection="close")
    options = setup.options()
    clients = [
        Client(options, key=lambda: setup.key, wait=setup.time.wait, observe=setup.attempts.append)
        for _ in range(2)
    ]
    clients[0].ask(endpoint)
    ports[0] = second_api.port
    for client in clients:
        client.ask(endpoint)
    assert (api.connections, second_api.connections) == (3, 0)
    ports[1] = closed_port  # when it is gone, the others are tried as before
    clients[0].ask(endpoint)
    assert second_api.connections == 1
