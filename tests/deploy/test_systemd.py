"""The systemd units, read by systemd's own tools."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.config.models import Account
from exporter.web.access import read_access

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
DROP_INS = "deploy/systemd/drop-ins"
#: Asks the kernel for what MemoryDenyWriteExecute= does, and imports all of the exporter.
CONFINED = """
import ctypes, importlib, mmap, pkgutil
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
assert ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) == 0
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    print("confined")
import exporter
for module in pkgutil.walk_packages(exporter.__path__, "exporter."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("imported", module.name)
"""


@pytest.fixture
def units(root: Path, tmp_path: Path) -> Path:
    """The units in a folder of their own, with a command that exists here."""
    for unit in UNITS:
        text = (root / unit).read_text()
        text = re.sub(r"(?m)^(Exec(?:Start|Reload)=)\S+", r"\1/bin/true", text)
        (tmp_path / Path(unit).name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say_about_a_unit(run: Run, units: Path, unit: str) -> None:
    verified = run(ANALYZE, "verify", "--recursive-errors=yes", units / Path(unit).name)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_systemd_has_nothing_to_say_about_the_drop_ins(run: Run, root: Path, units: Path) -> None:
    folder = units / "vastai-exporter.service.d"
    shutil.copytree(root / DROP_INS, folder)
    assert len(list(folder.glob("*.conf"))) == 3
    verified = run(ANALYZE, "verify", "--recursive-errors=yes", units / "vastai-exporter.service")
    assert (verified.returncode, verified.stderr) == (0, "")
    (folder / "web.conf").write_text("[Service]\nLoadCredentials=a:b\n")
    assert "LoadCredentials" in run(ANALYZE, "verify", units / "vastai-exporter.service").stderr


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


def test_the_drop_in_for_accounts_takes_the_place_of_the_one_key(root: Path) -> None:
    text = (root / DROP_INS / "accounts.conf").read_text()
    lines = text.splitlines()
    for setting in ("Environment=", "LoadCredential="):
        assert next(line for line in lines if line.startswith(setting)) == setting, "takes back the unit's"
    (example,) = re.findall(r"(?m)^#     - (\{.*\})$", text)
    account = Account.model_validate(yaml.safe_load(example))
    # Of a folder, systemd loads every file that is there, each under the credential's name and its own.
    assert re.findall(r"(?m)^LoadCredential=(.+)$", text) == ["key:/etc/vastai-exporter/keys"]
    assert account.api_key_file == Path("/run/credentials/vastai-exporter.service", f"key_{account.name}")


def test_the_drop_in_for_the_web_side_has_every_file_that_its_web_yml_names(root: Path) -> None:
    text = (root / DROP_INS / "web.conf").read_text()
    (example,) = re.findall(r"(?m)^#   tls_server_config: (\{.*\})$", text)
    credentials = set(re.findall(r"(?m)^LoadCredential=([\w.]+):", text))
    assert {"web.yml", *yaml.safe_load(example).values()} == credentials
    assert "\nEnvironment=VASTAI_EXPORTER_WEB_CONFIG_FILE=%d/web.yml\n" in text


def test_the_drop_in_for_users_needs_no_certificate(root: Path, tmp_path: Path) -> None:
    text = (root / DROP_INS / "users.conf").read_text()
    (example,) = re.findall(r"(?m)^#   (basic_auth_users: \{.*\})$", text)
    (tmp_path / "web.yml").write_text(example.replace("...", "a" * 53))
    assert read_access(tmp_path / "web.yml").config.basic_auth_users.keys() == {"prometheus"}
    assert re.findall(r"(?m)^LoadCredential=([\w.]+):", text) == ["web.yml"]
    assert "\nEnvironment=VASTAI_EXPORTER_WEB_CONFIG_FILE=%d/web.yml\n" in text


def test_a_reload_is_one_that_can_fail(root: Path) -> None:
    lines = (root / UNITS[0]).read_text().splitlines()
    assert "ExecReload=/opt/vastai-exporter/bin/vastai-exporter reload $MAINPID" in lines
    assert "RuntimeDirectory=vastai-exporter" in lines, "where the outcome is left"


def test_the_exporter_needs_no_memory_that_is_writable_and_executable(run: Run) -> None:
    done = run(Path(sys.executable), "-c", CONFINED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("confined\nimported exporter.")


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


def test_the_page_lets_the_textfile_unit_write_to_its_folder(root: Path) -> None:
    text = (root / UNITS[1]).read_text()
    (group,) = re.findall(r"(?m)^Group=(.*)$", text)
    (writable,) = re.findall(r"(?m)^ReadWritePaths=(.*)$", text)
    command = f"install -d -m 775 -g {group} {writable}"  # Debian's package lets only root write there
    assert command in text
    assert f"\n{command} " in (root / "docs/install.md").read_text()
