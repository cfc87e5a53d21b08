"""The image's health check: it finds the exporter that runs, whatever its flags, and costs little."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from exporter.commands import container_health

if TYPE_CHECKING:
    from tests.support.program import Program, Start, Write

ADDRESS = "127.0.0.1:0"


def check(program: Program, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return what the health check says of a program."""
    code = container_health.main([f"/proc/{program.process.pid}"])
    return code, capsys.readouterr().out


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A web configuration with TLS."""
    trustme.CA().issue_cert("exporter.example").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "a.pem"
    )
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config:\n  cert_file: a.pem\n  key_file: a.pem\n")
    return path


@pytest.mark.parametrize("address", [ADDRESS, "[::1]:0", ":0"])
def test_it_asks_where_a_flag_let_it_serve(
    start: Start, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = start("--web.listen-address", address, VAST_API_KEY="a-key")
    program.line("serving|http")
    assert check(program, capsys) == (0, "healthy\n")


def test_it_asks_where_the_configuration_let_it_serve(
    start: Start, write: Write, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    program = start("--config.file", str(write(settings)))
    program.url()
    assert check(program, capsys) == (0, "healthy\n")


def test_of_the_demo_it_asks_the_exporter_and_not_the_simulated_api(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    program = start("demo", "--web.listen-address", ADDRESS)
    program.url()
    assert len(container_health.listening(f"/proc/{program.process.pid}")) == 2
    assert check(program, capsys) == (0, "healthy\n")


@pytest.mark.parametrize("way", ["flag", "variable", "configuration"])
def test_it_speaks_tls_where_the_exporter_does_and_breaks_off_no_handshake(
    start: Start,
    write: Write,
    settings: dict[str, Any],
    web: Path,
    way: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags, variables = [], {}
    if way == "flag":
        flags = [f"--web.config.file={web}"]
    elif way == "variable":
        variables = {"VASTAI_EXPORTER_WEB_CONFIG_FILE": str(web)}
    else:
        settings["web"] = {**settings.get("web", {}), "config_file": str(web)}
    program = start("--config.file", str(write(settings)), *flags, **variables)
    program.url()
    assert check(program, capsys) == (0, "healthy\n")
    assert "handshake" not in program.errors


def test_of_one_that_insists_on_certificates_it_only_asks_whether_it_listens(
    start: Start, web: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    strict = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
    web.write_text(web.read_text() + strict)
    program = start("--web.listen-address", ADDRESS, "--web.config.file", str(web), VAST_API_KEY="a-key")
    program.url()
    code, said = check(program, capsys)
    assert (code, said.startswith("listening;")) == (0, True)


@pytest.mark.parametrize(
    ("family", "text", "hosts"),
    [
        (socket.AF_INET, "0100007F", ("127.0.0.1",)),
        (socket.AF_INET, "00000000", ("127.0.0.1",)),
        (socket.AF_INET6, "00000000000000000000000001000000", ("::1",)),
        (socket.AF_INET6, 32 * "0", ("127.0.0.1", "::1")),  # Docker's networks have no ::1
    ],
)
def test_every_address_is_asked_for_on_this_machine(
    family: socket.AddressFamily, text: str, hosts: tuple[str, ...]
) -> None:
    assert sys.byteorder == "little"
    assert container_health.hosts_of(family, text) == hosts


def test_it_fails_where_no_exporter_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        pass
    assert container_health.main(["/proc/none"]) == 1
    assert capsys.readouterr().out == "no exporter listens here\n"


def test_it_fails_where_the_exporter_says_that_it_is_not_healthy() -> None:
    assert container_health.verdict(b"HTTP/1.1 503 Service Unavailable\r\n\r\nloop hangs") == (
        False,
        "loop hangs",
    )


@pytest.mark.parametrize(
    ("command", "serves"),
    [
        (["/opt/exporter/bin/python", "/opt/exporter/bin/vastai-exporter", "run"], True),
        (["python", "-m", "exporter", "demo"], True),
        (["/opt/exporter/bin/python", "-ISB", "/opt/exporter/bin/container-health"], False),
        (["sh", "-c", "exporter"], False),
    ],
)
def test_it_knows_an_exporter_by_its_command_line(command: list[str], *, serves: bool) -> None:
    assert container_health.serves(command) is serves


def test_by_itself_it_takes_nothing_of_the_exporter_and_nothing_dear() -> None:
    script = Path(container_health.__file__).read_text().replace("sys.exit(", "code = (")
    dear = "{'exporter', 'ssl', 'http', 'pathlib', 'subprocess', 'yaml'}"
    done = subprocess.run(
        [sys.executable, "-ISB", "-c", f"{script}\nprint(sorted({dear} & sys.modules.keys()))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
