"""TLS of the web side: certificates of both ends, renewed ones, and peers that have to get along with it."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import trustme
import yaml

from exporter.simulator import ManualClock
from exporter.web.handshakes import Handshakes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.program import Certificates, Program, Run, Start, Write

    Hashed = Callable[[str], str]
    Eventually = Callable[[Callable[[], object]], None]
    Serve = Callable[..., Program]

pytestmark = pytest.mark.private_parts


@pytest.fixture
def serve(settings: dict[str, object], write: Write, start: Start, certificates: Certificates) -> Serve:
    """Start the program with TLS; arguments are more of tls_server_config."""

    def begin(**tls: str) -> Program:
        write({"tls_server_config": certificates.server() | tls}, "web.yml")
        web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
        program = start("--config.file", str(write({**settings, "web": web})))
        program.url()  # by now it has read all that it reads at the beginning
        return program

    return begin


@pytest.fixture
def mutual(serve: Serve, certificates: Certificates) -> Program:
    """Served to nobody without a certificate."""
    return serve(client_auth_type="RequireAndVerifyClientCert", client_ca_file=certificates.ca_file)


def status(program: Program, certificates: Certificates, client: str | None = None) -> int:
    url = f"{program.url()}/metrics"
    return requests.get(url, verify=certificates.ca_file, cert=client, timeout=30).status_code


def fingerprint(program: Program, name: str | None = "localhost") -> str:
    """Return which certificate is shown to a client that names the server so, or doesn't name it."""
    host, port = program.url().removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()


def of(pem_file: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(pem_file).read_text())).hexdigest()


def test_it_is_served_by_tls_and_by_nothing_else(serve: Serve, certificates: Certificates) -> None:
    program = serve()

    assert status(program, certificates) == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(program.url(), timeout=30)  # not trusted by the system
    for path in ("/", "/metrics", "/-/healthy"):
        assert requests.get(program.url().replace("https", "http") + path, timeout=30).status_code == 400
    assert status(program, certificates) == 200


@pytest.mark.parametrize(
    ("wanted", "client"), [("TLS12", "TLSv1_2"), ("TLS12", "TLSv1_3"), ("TLS13", "TLSv1_3")]
)
def test_a_client_of_a_wanted_version_gets_in(
    serve: Serve, certificates: Certificates, wanted: str, client: str
) -> None:
    assert version(serve(min_version=wanted), certificates, client) == client.replace("_", ".")


def test_a_client_of_an_older_version_does_not(serve: Serve, certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLError):
        version(serve(min_version="TLS13"), certificates, "TLSv1_2")


def test_a_newest_version_can_be_set(serve: Serve, certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLError):
        version(serve(max_version="TLS12"), certificates, "TLSv1_3")


def version(program: Program, certificates: Certificates, only: str) -> str | None:
    host, port = program.url().removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=certificates.ca_file)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[only]
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.version()


# Clients' certificates


def test_who_has_a_certificate_of_the_authority_gets_in(mutual: Program, certificates: Certificates) -> None:
    assert status(mutual, certificates, certificates.client()) == 200


def test_who_has_none_or_anothers_does_not(mutual: Program, certificates: Certificates) -> None:
    for client in (None, certificates.client(trustme.CA())):
        with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
            status(mutual, certificates, client)


def test_a_certificate_may_be_optional_but_not_anothers(serve: Serve, certificates: Certificates) -> None:
    program = serve(client_auth_type="VerifyClientCertIfGiven", client_ca_file=certificates.ca_file)

    assert status(program, certificates) == 200
    assert status(program, certificates, certificates.client()) == 200
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        status(program, certificates, certificates.client(trustme.CA()))


def test_an_intermediate_authority_or_a_certificate_itself_can_be_what_is_trusted(
    serve: Serve, certificates: Certificates
) -> None:
    intermediate = trustme.CA().create_child_ca()
    made = intermediate.issue_cert("client@prometheus.example")
    client = certificates.folder / "client.pem"
    client.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    for number, trusted in enumerate((intermediate.cert_pem, made.cert_chain_pems[0])):
        path = certificates.folder / f"trusted{number}.pem"
        path.write_bytes(trusted.bytes())
        program = serve(client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(path))

        assert status(program, certificates, str(client)) == 200
        with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
            status(program, certificates, certificates.client(trustme.CA()))
        client.write_bytes(made.private_key_and_cert_chain_pem.bytes())  # which that has overwritten
        program.end()


# Renewal


@pytest.mark.parametrize("name", ["localhost", None], ids=["with SNI", "without SNI"])
def test_a_renewed_certificate_is_shown_without_a_restart(
    serve: Serve, certificates: Certificates, name: str | None
) -> None:
    program = serve()
    before = certificates.server()["cert_file"]  # renews the files as well
    first = fingerprint(program, name)
    assert first == of(before)

    renewed = certificates.server()["cert_file"]

    assert fingerprint(program, name) == of(renewed) != first


def test_a_connection_that_is_open_outlives_a_renewal(serve: Serve, certificates: Certificates) -> None:
    program = serve()
    with requests.Session() as session:
        assert session.get(program.url(), verify=certificates.ca_file, timeout=30).status_code == 200
        certificates.server()
        assert session.get(program.url(), verify=certificates.ca_file, timeout=30).status_code == 200


def test_a_half_written_pair_leaves_the_old_one_until_it_is_whole(
    serve: Serve, certificates: Certificates
) -> None:
    program = serve()
    first = fingerprint(program)
    new = certificates.server("new")
    pair = {name: program_file(certificates, name) for name in new}

    shutil.copy(new["cert_file"], pair["cert_file"])
    assert fingerprint(program) == first
    program.line("rejected.*the key does not belong to the certificate")
    assert status(program, certificates) == 200

    pair["key_file"].write_text("")
    assert fingerprint(program) == first
    pair["cert_file"].unlink()
    assert fingerprint(program) == first

    for name, path in pair.items():
        shutil.copy(new[name], path)
    assert fingerprint(program) == of(new["cert_file"])


def program_file(certificates: Certificates, name: str) -> Path:
    return certificates.folder / {"cert_file": "server.pem", "key_file": "server.key"}[name]


def test_another_authority_counts_at_once(mutual: Program, certificates: Certificates) -> None:
    old = certificates.client()
    assert status(mutual, certificates, old) == 200
    server_ca = Path(certificates.ca_file).read_bytes()
    other = trustme.CA()
    Path(certificates.ca_file).write_bytes(other.cert_pem.bytes())
    trusted = certificates.folder / "trusted.pem"
    trusted.write_bytes(server_ca)

    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        requests.get(mutual.url(), verify=str(trusted), cert=old, timeout=30)
    new = certificates.client(other)
    assert requests.get(mutual.url(), verify=str(trusted), cert=new, timeout=30).status_code == 200


def test_tls_is_not_switched_off_by_a_change_of_the_file(
    serve: Serve, certificates: Certificates, write: Write
) -> None:
    program = serve()
    write("basic_auth_users: {}", "web.yml")

    assert status(program, certificates) == 200
    program.line("rejected.*tls_server_config: enabling or disabling TLS requires a restart")


# Whoever only knocks


def test_what_is_no_tls_disturbs_nobody_and_fills_no_log(serve: Serve, certificates: Certificates) -> None:
    program = serve()
    host, port = program.url().removeprefix("https://").split(":")
    for nonsense in 10 * (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 300, b"\0" * 1000, b""):
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            plain.sendall(nonsense)
            plain.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while plain.recv(4096):
                    pass

    assert status(program, certificates) == 200
    program.end()
    assert "level=error" not in program.errors
    assert "Traceback" not in program.errors
    assert program.errors.count("handshake failed") == 2  # a line for each reason and client


# Refused handshakes


def refused(program: Program, context: ssl.SSLContext) -> str:
    """Return as what a client's TLS library sees that it is refused."""
    host, port = program.url().removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(
                    b"GET / HTTP/1.1\r\n\r\n"
                )  # in TLS 1.3 a client may speak before it is checked
                secure.recv(4096)
        except ssl.SSLError as error:
            return str(error.reason)
    pytest.fail("it is not refused")


def trusting(certificates: Certificates, only: str, client: str | None = None) -> ssl.SSLContext:
    """Return the context of a client of one version of TLS."""
    context = ssl.create_default_context(cafile=certificates.ca_file)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that are old
        context.minimum_version = context.maximum_version = ssl.TLSVersion[only]
    if client is not None:
        context.load_cert_chain(client)
    return context


def failures(program: Program, certificates: Certificates, client: str) -> dict[str, int]:
    """Return how often each reason has been counted."""
    url = f"{program.url()}/metrics"
    text = requests.get(url, verify=certificates.ca_file, cert=client, timeout=30).text
    line = r'^vastai_exporter_tls_handshake_failures_total\{reason="(\w+)"\} (\d+)$'
    found = re.findall(line, text, re.MULTILINE)
    return {reason: int(count) for reason, count in found if count != "0"}


REQUIRED = {
    "TLSv1_3": "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "TLSv1_2": "SSLV3_ALERT_HANDSHAKE_FAILURE",
}


@pytest.mark.parametrize("only", REQUIRED)
def test_who_shows_no_certificate_is_told_so_and_so_is_the_operator(
    mutual: Program, certificates: Certificates, only: str
) -> None:
    client = certificates.client()

    assert refused(mutual, trusting(certificates, only)) == REQUIRED[only]

    mutual.line(
        'level=warn msg="TLS handshake failed" client=127.0.0.1 reason=no_certificate'
        ' error="peer did not return a certificate" more=0'
    )
    assert failures(mutual, certificates, client) == {"no_certificate": 1}


@pytest.mark.parametrize("only", REQUIRED)
@pytest.mark.parametrize(
    ("kind", "seen", "said"),
    [
        ("a stranger's", "TLSV1_ALERT_UNKNOWN_CA", "(unable to get local issuer|self-signed) certificate"),
        ("expired", "SSLV3_ALERT_CERTIFICATE_EXPIRED", "certificate has expired"),
    ],
)
def test_who_shows_a_bad_certificate_is_told_what_is_wrong_and_so_is_the_operator(
    mutual: Program, certificates: Certificates, only: str, kind: str, seen: str, said: str
) -> None:
    good = certificates.client()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    made = (
        certificates.authority.issue_cert("client@prometheus.example", not_after=yesterday)
        if kind == "expired"
        else trustme.CA().issue_cert("client@prometheus.example")
    )
    bad = certificates.folder / "bad.pem"
    bad.write_bytes(made.private_key_and_cert_chain_pem.bytes())

    assert refused(mutual, trusting(certificates, only, str(bad))) == seen

    mutual.line(f'msg="TLS handshake failed" client=127.0.0.1 reason=bad_certificate error="?{said}')
    assert failures(mutual, certificates, good) == {"bad_certificate": 1}


def test_whose_tls_is_too_old_is_told_so_and_so_is_the_operator(
    mutual: Program, certificates: Certificates
) -> None:
    client = certificates.client()

    assert refused(mutual, trusting(certificates, "TLSv1_1", client)) == "TLSV1_ALERT_PROTOCOL_VERSION"

    mutual.line("client=127.0.0.1 reason=old_version error=.unsupported protocol.")
    assert failures(mutual, certificates, client) == {"old_version": 1}


def test_who_asks_without_tls_is_told_so_and_so_is_the_operator(
    mutual: Program, certificates: Certificates
) -> None:
    client = certificates.client()

    reply = requests.get(mutual.url().replace("https", "http"), timeout=30)

    assert (reply.status_code, reply.text) == (400, "Client sent an HTTP request to an HTTPS server.\n")
    mutual.line("client=127.0.0.1 reason=plain_http error=.http request.")
    assert failures(mutual, certificates, client) == {"plain_http": 1}


def test_a_client_that_does_not_trust_the_exporter_is_seen_by_the_operator(
    mutual: Program, certificates: Certificates
) -> None:
    client = certificates.client()

    assert refused(mutual, ssl.create_default_context()) == "CERTIFICATE_VERIFY_FAILED"

    mutual.line("client=127.0.0.1 reason=refused_by_client error=.tlsv1 alert unknown ca.")
    assert failures(mutual, certificates, client) == {"refused_by_client": 1}


def test_who_only_connects_refuses_nothing(mutual: Program, certificates: Certificates) -> None:
    host, port = mutual.url().removeprefix("https://").split(":")
    client = certificates.client()
    for _ in range(3):
        socket.create_connection((host, int(port)), timeout=30).close()

    assert failures(mutual, certificates, client) == {}
    mutual.end()
    assert "handshake" not in mutual.errors


def test_who_is_refused_and_goes_on_is_not_listened_to_and_ends_in_time(serve: Serve) -> None:
    host, port = serve().url().removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as plain, suppress(ConnectionError):
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        for _ in range(100):
            plain.sendall(b"x" * 100_000)
        assert b"to an HTTPS server" in plain.recv(4096)
        assert plain.recv(4096) == b""


# Who is logged


def error(reason: str) -> ssl.SSLError:
    made = ssl.SSLError(1, reason)
    made.reason = reason
    return made


def test_a_client_is_logged_once_a_minute_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(1000.0)
    counted: list[str] = []
    handshakes = Handshakes(counted.append, clock=clock)

    def logged() -> list[tuple[str, str, int]]:
        found = [record.__dict__["fields"] for record in caplog.records]
        caplog.clear()
        return [(each["client"], each["reason"], each["more"]) for each in found]

    for _ in range(5):
        handshakes.failed(error("HTTP_REQUEST"), "10.0.0.1")
    handshakes.failed(error("NO_SHARED_CIPHER"), "10.0.0.1")
    handshakes.failed(error("HTTP_REQUEST"), "10.0.0.2")
    assert logged() == [
        ("10.0.0.1", "plain_http", 0),
        ("10.0.0.1", "other", 4),
        ("10.0.0.2", "plain_http", 0),
    ]
    clock.advance(59)
    handshakes.failed(error("HTTP_REQUEST"), "10.0.0.1")
    assert logged() == []
    clock.advance(1)
    handshakes.failed(error("HTTP_REQUEST"), "10.0.0.1")
    assert logged() == [("10.0.0.1", "plain_http", 1)]
    assert len(counted) == 9


def test_however_many_clients_fail_the_log_has_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[str] = []
    handshakes = Handshakes(counted.append, clock=ManualClock())
    for number in range(1000):
        handshakes.failed(error("HTTP_REQUEST"), f"10.0.{number // 256}.{number % 256}")

    assert (len(caplog.records), len(counted)) == (10, 1000)


def test_the_health_command_asks_by_tls(
    serve: Serve, run: Run, certificates: Certificates, write: Write
) -> None:
    program = serve()
    address = program.url().removeprefix("https://")
    arguments = ("health", "--web.listen-address", address, "--web.config.file")
    web = str(certificates.folder.parent / "web.yml")

    done = run(*arguments, web, VAST_API_KEY="a")
    assert (done.returncode, done.stdout) == (0, "healthy\n")

    write("a mistake", "web.yml")  # what runs goes on with what it read before
    done = run(*arguments, web, VAST_API_KEY="a")
    assert (done.returncode, done.stdout) == (0, "healthy\n")

    program.end()
    done = run(*arguments, web, VAST_API_KEY="a")
    assert done.returncode == 1
    assert done.stdout.startswith(f"no answer from {address}: ")


def test_the_health_command_is_content_where_clients_need_a_certificate(
    mutual: Program, run: Run, certificates: Certificates
) -> None:
    address = mutual.url().removeprefix("https://")
    web = str(certificates.folder.parent / "web.yml")

    done = run("health", "--web.listen-address", address, "--web.config.file", web)

    assert (done.returncode, done.stdout) == (
        0,
        "listening; anything more requires a client certificate\n",
    )


def test_the_health_command_asks_without_tls_where_there_is_none(
    settings: dict[str, object], write: Write, start: Start, run: Run
) -> None:
    web_file = write("basic_auth_users: {}", "web.yml")
    web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
    program = start("--config.file", str(write({**settings, "web": web})))
    address = program.url().removeprefix("http://")

    done = run("health", "--web.listen-address", address, "--web.config.file", str(web_file))

    assert (done.returncode, done.stdout) == (0, "healthy\n")


# Its peers


def test_curl_gets_in_with_a_certificate_and_not_without(mutual: Program, certificates: Certificates) -> None:
    curl = ["curl", "--silent", "--cacert", certificates.ca_file, f"{mutual.url()}/metrics"]

    without = subprocess.run(curl, capture_output=True, text=True, check=False, timeout=60)
    with_one = subprocess.run(
        [*curl, "--cert", certificates.client()], capture_output=True, text=True, check=False, timeout=60
    )

    assert (without.returncode != 0, without.stdout) == (True, "")
    assert with_one.returncode == 0
    assert "vastai_exporter_build_info" in with_one.stdout


def test_openssl_sees_the_chain_and_a_strong_connection(serve: Serve, certificates: Certificates) -> None:
    address = serve().url().removeprefix("https://")
    command = ["openssl", "s_client", "-connect", address, "-CAfile", certificates.ca_file, "-brief"]

    done = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=60)

    assert "Verification: OK" in done.stderr
    assert "Protocol version: TLSv1.3" in done.stderr


@pytest.mark.peers
def test_a_real_prometheus_scrapes_with_a_certificate_and_a_password(
    settings: dict[str, object],
    write: Write,
    start: Start,
    certificates: Certificates,
    hashed: Hashed,
    prometheus: Callable[..., str],
    eventually: Eventually,
) -> None:
    tls = certificates.server() | {
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": certificates.ca_file,
    }
    write({"tls_server_config": tls, "basic_auth_users": {"prometheus": hashed("secret")}}, "web.yml")
    web = {"listen_address": "127.0.0.1:0", "config_file": "web.yml"}
    program = start("--config.file", str(write({**settings, "web": web})))
    client = certificates.client()

    url = prometheus(
        program.url().removeprefix("https://"),
        scheme="https",
        basic_auth={"username": "prometheus", "password": "secret"},
        tls_config={"ca_file": certificates.ca_file, "cert_file": client, "key_file": client},
    )

    def scraped() -> object:
        reply = requests.get(f"{url}/api/v1/query", params={"query": "vastai_instances"}, timeout=30)
        return yaml.safe_load(reply.text)["data"]["result"]

    eventually(scraped)


def test_an_idle_connection_is_spoken_to_by_http_1(serve: Serve, certificates: Certificates) -> None:
    host, port = serve().url().removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=certificates.ca_file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
    try:
        for _ in range(3):
            connection.request("GET", "/-/healthy")
            assert connection.getresponse().read() == b"healthy\n"
        assert isinstance(connection.sock, ssl.SSLSocket)
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
    finally:
        connection.close()
