"""What is imported is declared, and each lock is complete: it is installed without a resolver (.ci/setup)."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: Declared, but imported by another package: uvicorn parses with it.
FOR_OTHERS = {"httptools"}

SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
#: Each lock, and where what it names is installed.
LOCKS = [
    pytest.param("requirements.lock", ".venv", id="exporter"),
    pytest.param("requirements-dev.lock", ".venv", id="development"),
    pytest.param("tests/publishing.lock", ".venv-publishing", id="uploader's checker"),
    pytest.param("tests/vendor-client.lock", ".venv-vendor", id="vendor's client", marks=pytest.mark.peers),
]


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())


def names_of(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


# Imports


class Imports(ast.NodeVisitor):
    """Collects what a module imports when it runs."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        """Leave out what only a type checker reads."""
        inside = node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else [*node.body, *node.orelse]
        for each in inside:
            self.visit(each)

    def visit_Import(self, node: ast.Import) -> None:
        self.modules.update(alias.name.partition(".")[0] for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self.modules.add(node.module.partition(".")[0])


def test_what_the_exporter_imports_is_what_it_declares(root: Path, pyproject: dict[str, Any]) -> None:
    imports = Imports()
    for file in (root / "exporter").rglob("*.py"):
        imports.visit(ast.parse(file.read_bytes()))
    foreign = imports.modules - set(sys.stdlib_module_names) - {"exporter"}
    packages = metadata.packages_distributions()
    imported = {canonicalize_name(name) for module in foreign for name in packages[module]}

    assert "requests" in imported
    assert names_of(pyproject["project"]["dependencies"]) == imported | FOR_OTHERS


def test_each_dependency_has_a_last_release_that_may_be_tried(pyproject: dict[str, Any]) -> None:
    for line in pyproject["project"]["dependencies"]:
        assert {each.operator for each in Requirement(line).specifier} == {">=", "<"}, line


# Locks


def locked_by(lock: Path) -> list[Requirement]:
    """Return the packages that a lock pins, with their markers."""
    lines = lock.read_text().splitlines()
    return [Requirement(line.rstrip(" \\")) for line in lines if line and not line.startswith((" ", "#"))]


def holes(
    asked: list[Requirement],
    pins: dict[NormalizedName, str],
    found: dict[NormalizedName, metadata.Distribution],
    environment: dict[str, str],
) -> list[str]:
    """Follow all requirements from what is asked for, and return those that no pin meets."""
    missing: list[str] = []
    seen: set[tuple[str, str]] = set()
    waiting = [(each, extra) for each in asked for extra in ("", *each.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in pins or not requirement.specifier.contains(pins[name], prereleases=True):
            missing.append(f"{requirement}: {pins.get(name)}")
        elif (name, extra) not in seen:
            seen.add((name, extra))
            for each in map(Requirement, found[name].requires or ()):
                if each.marker is None or each.marker.evaluate(environment | {"extra": extra}):
                    waiting += [(each, more) for more in ("", *each.extras)]
    return missing


def environments() -> Iterator[dict[str, str]]:
    """This Python on every system that the exporter is for."""
    here = {key: str(value) for key, value in default_environment().items()}
    for system, platform in SYSTEMS.items():
        yield here | {"platform_system": system, "sys_platform": platform}


@pytest.fixture(scope="module")
def asked(root: Path, pyproject: dict[str, Any]) -> dict[str, list[Requirement]]:
    """What each lock was written for."""
    own = pyproject["project"]["dependencies"]
    lines = {
        "requirements.lock": own,
        "requirements-dev.lock": own + pyproject["dependency-groups"]["dev"],
    }
    for name in ("tests/vendor-client", "tests/publishing"):
        wanted = (root / f"{name}.in").read_text().splitlines()
        lines[f"{name}.lock"] = [line for line in wanted if not line.startswith("#")]
    return {lock: [Requirement(line) for line in wanted] for lock, wanted in lines.items()}


@pytest.mark.parametrize(("lock", "venv"), LOCKS)
def test_a_lock_has_all_that_its_packages_need_on_every_system(
    root: Path, asked: dict[str, list[Requirement]], lock: str, venv: str
) -> None:
    (site,) = (root / venv / "lib").glob("python3.*/site-packages")
    found = {canonicalize_name(each.name): each for each in metadata.distributions(path=[str(site)])}
    for environment in environments():
        pinned = [
            each for each in locked_by(root / lock) if not each.marker or each.marker.evaluate(environment)
        ]
        pins = {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in pinned}

        assert {name: found[name].version for name in pins} == pins
        assert holes(asked[lock], pins, found, environment) == []
