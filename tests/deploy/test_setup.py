"""What a lock names is what is installed, whatever has been published since; that is tested apart."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from pathlib import Path


class Checkout(NamedTuple):
    """A folder with .ci/setup and a lock, beside a folder that is all of pip's index."""

    root: Path
    wheels: Path

    def set_up(self) -> subprocess.CompletedProcess[str]:
        """Run `.ci/setup run`."""
        settings = {
            "PYTHON": sys.executable,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        command = [str(self.root / ".ci/setup"), "run"]
        return subprocess.run(command, env=kept | settings, capture_output=True, text=True, check=False)

    @property
    def installed(self) -> set[str]:
        """What its virtual environment has."""
        listed = [str(self.root / ".venv/bin/python"), "-m", "pip", "list", "--format=freeze"]
        found = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        return {package for package in found if package.split("==")[0] not in {"pip", "setuptools"}}


def publish(index: Path, name: str, version: str, *requires: str, extras: str = "") -> str:
    """Put a wheel into the index, and return its line in a lock."""
    folder = f"{name}-{version}.dist-info"
    about = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    if extras:
        about.append(f"Provides-Extra: {extras}")
    contents = {
        f"{folder}/METADATA": "\n".join(["Metadata-Version: 2.1", *about, ""]).encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={digest(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{folder}/RECORD"] = f"{record}{folder}/RECORD,,\n".encode()
    wheel = index / f"{name}-{version}-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for path, data in contents.items():
            archive.writestr(path, data)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Checkout:
    """One whose lock pins a package, and what that needs with an extra, of which a newer release is out."""
    index = tmp_path / "index"
    index.mkdir()
    tool = publish(index, "tool", "1", "measure[tables]>=1")
    measure = publish(index, "measure", "1", extras="tables")
    publish(index, "measure", "2", extras="tables")
    (tmp_path / ".ci").mkdir()
    shutil.copy(root / ".ci/setup", tmp_path / ".ci/setup")
    (tmp_path / "requirements.lock").write_text(tool + measure)
    return Checkout(tmp_path, index)


def test_a_newer_release_of_what_is_locked_changes_nothing(checkout: Checkout) -> None:
    done = checkout.set_up()

    assert done.returncode == 0, done.stderr
    assert checkout.installed == {"tool==1", "measure==1"}


def test_a_package_with_another_hash_is_not_installed(checkout: Checkout) -> None:
    publish(checkout.wheels, "tool", "1", "measure>=1")

    done = checkout.set_up()

    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


@pytest.fixture
def unreachable(root: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a copy of .ci/test-newest in `tmp_path`, in which nobody answers for an index."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(root / ".ci/test-newest", tmp_path / ".ci")
    shutil.copy(root / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(root / ".venv")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UV_") and name != "CI"}
    nobody = {"UV_DEFAULT_INDEX": "http://127.0.0.1:1/", "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0"}
    return kept | nobody | {"NO_PROXY": "127.0.0.1"}


@pytest.mark.parametrize(("more", "code"), [({}, 0), ({"CI": "true"}, 1)], ids=["here", "CI"])
def test_without_an_index_the_newest_releases_are_not_tested_which_is_said_and_fails_under_ci(
    unreachable: dict[str, str], tmp_path: Path, more: dict[str, str], code: int
) -> None:
    command = [str(tmp_path / ".ci/test-newest")]
    done = subprocess.run(command, env=unreachable | more, capture_output=True, text=True, check=False)

    assert done.returncode == code, done.stderr
    assert "NOT RUN: the tests with the newest releases" in done.stderr


PLACES = (".ci", ".github", "deploy", "docs", "Dockerfile", "Makefile", "README.md", "CONTRIBUTING.md")


def test_wherever_a_lock_is_installed_its_hashes_count_and_no_resolver_is_asked(root: Path) -> None:
    texts = [
        file.read_text()
        for place in PLACES
        for file in ([root / place] if (root / place).is_file() else (root / place).rglob("*"))
        if file.is_file() and file.suffix not in {".png", ".gif", ".svg", ".json"}
    ]
    commands = re.findall(r"^.*pip.* install .*-r .*$", "\n".join(texts), re.MULTILINE)

    assert len(commands) >= 3
    assert [line for line in commands if not {"--require-hashes", "--no-deps"} <= set(line.split())] == []
