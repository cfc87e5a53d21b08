"""The systemd units, read by systemd's own tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

ANALYZE = Path("/usr/bin/systemd-analyze")
#: In tenths; systemd calls up to 2.0 of 10 well protected.
MOST_EXPOSED = 20
UNITS = (
    "deploy/systemd/vastai-exporter.service",
    "deploy/textfile/vastai-textfile.service",
    "deploy/textfile/vastai-textfile.timer",
)
SERVICES = [unit for unit in UNITS if unit.endswith(".service")]


@pytest.fixture
def units(root: Path, tmp_path: Path) -> Path:
    """The units in a folder of their own, with a command that exists here."""
    for unit in UNITS:
        text = (root / unit).read_text()
        (tmp_path / Path(unit).name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    return tmp_path


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say_about_a_unit(run: Run, units: Path, unit: str) -> None:
    verified = run(ANALYZE, "verify", "--recursive-errors=yes", units / Path(unit).name)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_systemd_speaks_of_an_unknown_key(run: Run, units: Path) -> None:
    unit = units / "vastai-exporter.service"
    unit.write_text(unit.read_text().replace("PrivateTmp=", "PrivateTemp="))
    assert "PrivateTemp" in run(ANALYZE, "verify", unit).stderr


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_well_protected(run: Run, units: Path, unit: str) -> None:
    arguments = ("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", units / Path(unit).name)
    judged = run(ANALYZE, *arguments)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("unit", SERVICES)
def test_the_key_is_a_credential_and_never_in_the_environment(root: Path, unit: str) -> None:
    text = (root / unit).read_text()
    assert "LoadCredential=vast_api_key:/etc/vastai-exporter/vast_api_key" in text
    assert "VAST_API_KEY_FILE=%d/vast_api_key" in text
    assert "VAST_API_KEY=" not in text


def test_a_service_that_hangs_is_restarted_and_a_bad_configuration_is_not(root: Path) -> None:
    lines = (root / UNITS[0]).read_text().splitlines()
    assert {"Type=notify", "WatchdogSec=60", "Restart=on-failure", "RestartPreventExitStatus=2"} <= set(lines)


def test_the_timer_starts_the_service_beside_it(root: Path) -> None:
    timer = root / UNITS[2]
    assert timer.with_suffix(".service").exists()
    assert "Unit=" not in timer.read_text()


def test_the_textfile_is_where_the_service_may_write(root: Path) -> None:
    text = (root / UNITS[1]).read_text()
    (output,) = re.findall(r"(?m)^ExecStart=.* --output (\S+)$", text)
    (writable,) = re.findall(r"(?m)^ReadWritePaths=(.*)$", text)
    assert str(Path(output).parent) == writable
    assert output.endswith(".prom"), "all else is ignored by node_exporter"
