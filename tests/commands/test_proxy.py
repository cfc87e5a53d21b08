"""Through a proxy to which TLS is spoken, by a private authority, to an API of that authority."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support import tls_proxy
from tests.support.scripted_api import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.program import Program, Run, Start

#: Nobody has this name: whoever reaches it came through the proxy.
API = "vast.test"
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """The private one, whose certificate is in ca.pem."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[Api]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(API).configure_cert(context)
    with Api(context) as served:
        served.otherwise = served.reply(
            {"success": True, "instances": [], "total_instances": 0, "credit": 5.5}
        )
        yield served


@pytest.fixture
def proxy(authority: trustme.CA, api: Api, tmp_path: Path, start: Start) -> Program:
    made = authority.issue_cert("127.0.0.1")
    files = tmp_path / "proxy.pem", tmp_path / "proxy.key"
    made.cert_chain_pems[0].write_to_path(str(files[0]))
    made.private_key_pem.write_to_path(str(files[1]))
    return start(
        *map(str, files), str(api.port), command=(sys.executable, str(Path(tls_proxy.__file__).resolve()))
    )


def through(proxy: Program, **variables: str) -> dict[str, str]:
    port = proxy.line("port=([0-9]+)")[1]
    way = {
        "HTTPS_PROXY": f"https://127.0.0.1:{port}",
        "VAST_URL": f"https://{API}",
        "VAST_API_KEY": "the-key",
    }
    return way | variables


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_private_authority_is_trusted_for_proxy_and_api_where_a_variable_names_it(
    variable: str, proxy: Program, api: Api, tmp_path: Path, run: Run
) -> None:
    done = run("once", **through(proxy, **{variable: str(tmp_path / "ca.pem")}))

    assert done.returncode == 0, done.stderr
    assert 'vastai_account_credit_dollars{account="default"} 5.5' in done.stdout
    assert {asked.headers["authorization"] for asked in api.asked} == {"Bearer the-key"}
    proxy.line(f"CONNECT {API}:443 HTTP/1.[01]")
    assert "the-key" not in proxy.errors


def test_without_it_the_proxy_is_not_trusted_and_nothing_gets_through(
    proxy: Program, api: Api, run: Run
) -> None:
    done = run("once", **through(proxy))

    assert done.returncode == 1
    assert "the connection to the proxy failed: TLS: unable to get local issuer certificate" in done.stderr
    assert not api.asked


def test_a_proxy_that_is_trusted_does_not_make_the_api_trusted(
    proxy: Program, api: Api, tmp_path: Path, run: Run
) -> None:
    another = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    another.issue_cert(API).configure_cert(context)
    api._context = context  # noqa: SLF001 - that of an API whose name somebody else has

    done = run("once", **through(proxy, REQUESTS_CA_BUNDLE=str(tmp_path / "ca.pem")))

    assert done.returncode == 1
    assert "the connection failed: TLS: unable to get local issuer certificate" in done.stderr
    assert not api.asked
