"""What a web configuration file may say: the exporter-toolkit's format, as far as it is kept here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.commands.configuration import load
from exporter.config.mistakes import ConfigError
from exporter.config.web import read_web_config
from exporter.web.access import read_access

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.program import Certificates, Run, Write

    Hashed = Callable[[str], str]

#: The form of a hash; of no password that anybody knows.
HASH = "$2y$10$" + 53 * "a"
KEYS = "tls_server_config, http_server_config, basic_auth_users"
TLS_KEYS = "cert_file, key_file, client_auth_type, client_ca_file, min_version, max_version"
BCRYPT = "expected a bcrypt hash of cost 4 to 14, such as `htpasswd -nBC 10 NAME` prints after the colon"
HEADERS = (
    "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options,"
    " X-XSS-Protection"
)
PAIR = "cert_file: a, key_file: b"
MISTAKES = {
    "tls: {}": f"tls: unknown key; allowed: {KEYS}",
    "rate_limit: {}": f"rate_limit: unknown key; allowed: {KEYS}",
    "[]": f"expected keys and values: {KEYS}",
    "a: {": "line 1, column 5: expected the node content, but found '<stream end>'",
    "tls_server_config: {cert_file: a}": "tls_server_config.key_file: missing; a value is required",
    f"tls_server_config: {{{PAIR}, cipher_suites: []}}": (
        f"tls_server_config.cipher_suites: unknown key; allowed: {TLS_KEYS}"
    ),
    f"tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert}}": (
        "tls_server_config.client_auth_type: 'RequireAnyClientCert': expected 'NoClientCert',"
        " 'VerifyClientCertIfGiven' or 'RequireAndVerifyClientCert'"
    ),
    f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert}}": (
        "tls_server_config: client_auth_type RequireAndVerifyClientCert: needs client_ca_file"
    ),
    f"tls_server_config: {{{PAIR}, client_ca_file: c}}": (
        "tls_server_config: client_ca_file: needs client_auth_type VerifyClientCertIfGiven or"
        " RequireAndVerifyClientCert"
    ),
    f"tls_server_config: {{{PAIR}, min_version: TLS10}}": (
        "tls_server_config.min_version: 'TLS10': expected 'TLS12' or 'TLS13'"
    ),
    f"tls_server_config: {{{PAIR}, min_version: TLS13, max_version: TLS12}}": (
        "tls_server_config: min_version TLS13: not above max_version, TLS12"
    ),
    "http_server_config: {http2: true}": (
        "http_server_config.http2: true: expected false, as this exporter speaks HTTP/1.1"
    ),
    "http_server_config: {headers: {Server: x}}": (
        f"http_server_config.headers: expected one of {HEADERS}, not 'Server'"
    ),
    "http_server_config: {headers: {X-Frame-Options: allow}}": (
        "http_server_config.headers: expected deny or sameorigin for X-Frame-Options, not 'allow'"
    ),
    'http_server_config: {headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: a"}}': (
        "http_server_config.headers: expected one line of ASCII text for X-XSS-Protection"
    ),
    "basic_auth_users: {alice: secret}": f"basic_auth_users.alice: {BCRYPT}",
    f"basic_auth_users: {{alice: {HASH.replace('$10$', '$31$')}}}": f"basic_auth_users.alice: {BCRYPT}",
    "basic_auth_users: {alice: 1}": "basic_auth_users.alice: expected text; put a number in quotes",
    "basic_auth_users: [alice]": "basic_auth_users: expected keys and values",
}


def refused(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_access(path)
    return [line.removeprefix(f"{path}: ") for line in caught.value.lines]


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_line_with_place_what_was_given_and_what_is_allowed(text: str, write: Write) -> None:
    assert refused(write(text, "web.yml")) == [MISTAKES[text]]


@pytest.mark.parametrize("name", ["a:b", '"\\n"', "''"])
def test_a_user_that_no_client_could_send_is_a_mistake(name: str, write: Write) -> None:
    (line,) = refused(write(f"basic_auth_users: {{{name}: {HASH}}}", "web.yml"))

    assert line.endswith("expected user names without colons or control characters")


def test_a_hash_in_a_wrong_place_is_not_shown(write: Write) -> None:
    for text in (f"{HASH}: alice", f"basic_auth_users: {{{HASH}: alice}}", f"basic_auth_users: {HASH}"):
        assert HASH[7:] not in "".join(refused(write(text, "web.yml")))


def test_all_that_is_supported_can_be_said(write: Write) -> None:
    path = write(
        f"""
        tls_server_config:
          cert_file: a
          key_file: b
          client_auth_type: RequireAndVerifyClientCert
          client_ca_file: c
          min_version: TLS12
          max_version: TLS13
        http_server_config: {{http2: false, headers: {{X-Frame-Options: deny, X-XSS-Protection: "0"}}}}
        basic_auth_users: {{alice: {HASH}}}
        """,
        "web.yml",
    )

    config = read_web_config(path)

    assert config.basic_auth_users["alice"].get_secret_value() == HASH
    assert HASH not in repr(config)
    assert read_web_config(write("", "empty.yml")) == read_web_config(write("basic_auth_users:", "none.yml"))


NO_PEM = "expected PEM as openssl writes it; OpenSSL says"
HEADER_VALUES = {
    "X-XSS-Protection: 1": "1",
    "X-XSS-Protection: 0": "0",
    "X-XSS-Protection: 010": "010",
    "X-XSS-Protection: yes": "yes",
    "Strict-Transport-Security: ''": "",
    "Strict-Transport-Security:": "",
    "Content-Security-Policy: ~": "",
}


@pytest.mark.parametrize("text", HEADER_VALUES)
def test_a_header_is_text_as_it_is_written_with_quotes_or_without(text: str, write: Write) -> None:
    path = write(f"http_server_config:\n  headers:\n    {text}\n", "web.yml")

    (value,) = read_web_config(path).http_server_config.headers.values()

    assert value == HEADER_VALUES[text]


@pytest.mark.parametrize("name", ["yes", "on", "1", "1.5", "2024-01-01", "0x1f"])
def test_a_user_is_called_as_it_is_written(name: str, write: Write) -> None:
    path = write(f"basic_auth_users: {{{name}: {HASH}}}", "web.yml")

    assert list(read_web_config(path).basic_auth_users) == [name]


def test_a_user_that_is_there_twice_is_a_mistake_with_quotes_or_without(write: Write) -> None:
    (line,) = refused(write(f"basic_auth_users:\n  1: {HASH}\n  '1': {HASH}\n", "web.yml"))

    assert line == "line 3, column 3: duplicate key '1'"


@pytest.mark.parametrize("cost", ["03", "15", "31"])
def test_a_hash_that_would_take_seconds_to_check_is_refused(cost: str, write: Write) -> None:
    (line,) = refused(write(f"basic_auth_users: {{alice: {HASH.replace('10', cost)}}}", "web.yml"))

    assert line == f"basic_auth_users.alice: {BCRYPT}"


FILES = {
    "cert_file": (None, "tls_server_config.cert_file: {path} can't be read: No such file or directory"),
    "key_file": (None, "tls_server_config.key_file: {path} can't be read: No such file or directory"),
    "client_ca_file": (
        "-",
        f"tls_server_config.client_ca_file: {{path}}: {NO_PEM}: no certificate or crl found",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_named(name: str, certificates: Certificates, write: Write) -> None:
    tls = certificates.server() | {
        "client_ca_file": certificates.ca_file,
        "client_auth_type": "RequireAndVerifyClientCert",
    }
    content, complaint = FILES[name]
    bad = Path(tls[name])
    bad.unlink() if content is None else bad.write_text(content)

    assert refused(write({"tls_server_config": tls}, "web.yml")) == [complaint.format(path=bad)]


def test_certificate_and_key_have_to_belong_together(certificates: Certificates, write: Write) -> None:
    tls, other = certificates.server(), certificates.server("other")
    path = write({"tls_server_config": tls | {"key_file": other["key_file"]}}, "web.yml")

    (line,) = refused(path)

    assert line.endswith(f"key_file {other['key_file']}: the key does not belong to the certificate")


def made_by_openssl(folder: Path, name: str, *kind: str) -> dict[str, str]:
    """Write a key and its certificate."""
    files = {"cert_file": str(folder / f"{name}.pem"), "key_file": str(folder / f"{name}.key")}
    subject = ("-subj", "/CN=localhost", "-days", "1", "-nodes")
    out = ("-keyout", files["key_file"], "-out", files["cert_file"])
    request = ["openssl", "req", "-x509", *kind, *subject, *out]
    subprocess.run(request, capture_output=True, check=True)
    return files


ELLIPTIC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def test_certificate_and_key_of_two_types_are_told_from_what_is_no_pem(tmp_path: Path, write: Write) -> None:
    elliptic = made_by_openssl(tmp_path, "ec", *ELLIPTIC)
    rsa = made_by_openssl(tmp_path, "rsa", "-newkey", "rsa:2048")

    for one, other in ((elliptic, rsa), (rsa, elliptic)):
        (line,) = refused(write({"tls_server_config": one | {"key_file": other["key_file"]}}, "web.yml"))
        assert line.endswith(": the key type does not match the certificate")


def test_what_openssl_has_against_a_certificate_is_said_in_its_words(tmp_path: Path, write: Write) -> None:
    weak = made_by_openssl(tmp_path, "weak", "-newkey", "rsa:1024")

    (line,) = refused(write({"tls_server_config": weak}, "web.yml"))

    assert line == (
        f"tls_server_config: cert_file {weak['cert_file']} and key_file {weak['key_file']}:"
        " OpenSSL says: ee key too small"
    )


@pytest.mark.parametrize("name", ["cert_file", "key_file", "client_ca_file"])
@pytest.mark.parametrize("half", ["half of it", "one and a half"])
def test_a_file_that_is_cut_off_is_no_pem(
    name: str, half: str, certificates: Certificates, write: Write
) -> None:
    tls = certificates.server() | {
        "client_ca_file": certificates.ca_file,
        "client_auth_type": "RequireAndVerifyClientCert",
    }
    path = Path(tls[name])
    whole = path.read_text()
    path.write_text(whole * (half != "half of it" and name != "key_file") + whole[: len(whole) // 2])

    (line,) = refused(write({"tls_server_config": tls}, "web.yml"))

    assert ": expected PEM as openssl writes it; OpenSSL says: " in line


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    certificates: Certificates, write: Write
) -> None:

    tls = certificates.server()
    encrypt = ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", tls["key_file"]]
    locked = subprocess.run(encrypt, capture_output=True, text=True, check=True).stdout
    Path(tls["key_file"]).write_text(locked)

    (line,) = refused(write({"tls_server_config": tls}, "web.yml"))

    assert line.endswith("the key is encrypted; expected one without a password")


def test_paths_are_relative_to_the_file_that_names_them(
    certificates: Certificates, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = {name: Path(path).name for name, path in certificates.server().items()}
    web = write({"tls_server_config": tls}, "certificates/web.yml")
    config = write("web: {config_file: certificates/web.yml}\n")
    monkeypatch.chdir("/")

    assert read_access(web).context is not None
    assert load(config, {"VAST_API_KEY": "a"}, {}).config.web.config_file == web
    monkeypatch.chdir(tmp_path)
    by_flag = load(config, {"VAST_API_KEY": "a"}, {"web.config_file": "certificates/web.yml"})
    assert by_flag.config.web.config_file == Path("certificates/web.yml")


def test_check_config_looks_at_it_too(run: Run, write: Write, hashed: Hashed) -> None:
    good = write({"basic_auth_users": {"alice": hashed("secret")}}, "web.yml")
    config = write("web: {config_file: web.yml}\n")

    done = run("check-config", str(config), VAST_API_KEY="a")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"web configuration: {good}: valid")

    write("basic_auth_users: {alice: secret}", "web.yml")
    done = run("check-config", str(config), VAST_API_KEY="a")
    assert (done.returncode, done.stderr) == (2, f"{good}: basic_auth_users.alice: {BCRYPT}\n")


def test_check_config_looks_at_all_that_it_names(run: Run, write: Write, certificates: Certificates) -> None:
    tls = certificates.server()
    web = write({"tls_server_config": tls}, "web.yml")
    config = write("web: {config_file: web.yml}\n")
    Path(tls["key_file"]).unlink()

    done = run("check-config", str(config), VAST_API_KEY="a")

    assert done.returncode == 2
    assert done.stderr.startswith(f"{web}: tls_server_config.key_file: {tls['key_file']} can't be read")
