"""What connections share, and what they don't."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest

from exporter.vast.errors import ApiError, NetworkError
from exporter.vast.network import Network

if TYPE_CHECKING:
    from exporter.vast.endpoints import Endpoint
    from tests.support.scripted_api import Api, ClientSetup


def test_the_usual_certificates_are_read_once_for_all_connections() -> None:
    network = Network()
    assert network.tls(verify=True) is network.tls(verify=True)


def test_certificates_in_a_folder_are_trusted(
    tls: Api,
    certificate: tuple[Path, Path],
    setup: ClientSetup,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / f"{subject_hash(certificate[0])}.0").write_bytes(certificate[0].read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted"))
    setup.url = tls.url
    assert setup.client().ask(endpoint) == {}


def test_certificates_that_change_count_from_the_next_connection_on(
    tls: Api,
    certificate: tuple[Path, Path],
    setup: ClientSetup,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    setup.url = tls.url
    client = setup.client()
    with pytest.raises(NetworkError):
        client.ask(endpoint)
    bundle.write_bytes(bundle.read_bytes() + certificate[0].read_bytes())
    assert client.ask(endpoint) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the connection failed: the certificates in {} can't be read: No such file or directory"),
        ("no certificate", "the connection failed: TLS: NO_CERTIFICATE_OR_CRL_FOUND"),
    ],
)
def test_certificates_that_are_none_are_a_network_failure(
    content: str | None,
    words: str,
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
    with pytest.raises(ApiError) as caught:
        setup.client().ask(endpoint)
    assert (caught.value.reason, str(caught.value)) == ("network", words.format(bundle))
    assert not tls.asked


def subject_hash(certificate: Path) -> str:
    """The name under which OpenSSL looks for a certificate in a folder."""
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(certificate)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
