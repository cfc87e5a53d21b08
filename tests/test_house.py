"""The house: which room may know which other, and who alone may use what from outside."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import exporter

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUSE = Path(exporter.__file__).parent

#: Each room, and the rooms and modules that it may import. What is not named here may not be there.
KNOWS: dict[str, set[str]] = {
    "vast": set(),
    "metrics": set(),
    "config": {"vast"},
    "collectors": {"config", "vast", "metrics"},
    "exposition": {"collectors", "vast", "metrics"},
    "discovery": {"exposition", "collectors", "config", "metrics"},
    "polling": {"discovery", "exposition", "collectors", "config", "vast", "logs"},
    "web": {"polling", "discovery", "exposition", "config"},
    "simulator": {"web"},
    "commands": {
        "web",
        "polling",
        "discovery",
        "exposition",
        "collectors",
        "config",
        "vast",
        "metrics",
        "simulator",
        "logs",
    },
    "logs": set(),
    "cli": {"commands", "config"},
    "__main__": {"cli", "commands"},
    "__init__": set(),
}
#: What comes from outside, and the only rooms that may import it.
ONLY: dict[str, set[str]] = {
    "requests": {"vast"},
    "urllib3": {"vast"},
    "http.client": {"vast", "commands"},
    "yaml": {"config"},
    "pydantic": {"config", "web"},
    "prometheus_client": {"exposition"},
    "isal": {"exposition"},
    "starlette": {"web", "simulator"},
    "uvicorn": {"web"},
    "bcrypt": {"web"},
    "click": {"cli", "simulator"},
}
MODULES = sorted(HOUSE.rglob("*.py"))


def room_of(module: Path) -> str:
    """The room of a module, or its own name where it stands in none."""
    return module.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(module: Path) -> Iterator[tuple[str, int]]:
    """Every module that one imports, also for types only, and the line."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            name = node.module or ""
            yield name, node.lineno
            yield from ((f"{name}.{alias.name}", node.lineno) for alias in node.names)


def test_every_room_is_known() -> None:
    assert {room_of(module) for module in MODULES} == set(KNOWS)


def test_no_two_rooms_know_each_other_not_even_by_a_detour() -> None:
    def below(room: str, seen: tuple[str, ...] = ()) -> None:
        assert room not in seen, " -> ".join((*seen, room))
        for other in KNOWS[room]:
            below(other, (*seen, room))

    for room in KNOWS:
        below(room)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_module_imports_only_what_its_room_may_know(module: Path) -> None:
    room = room_of(module)
    for name, line in imports(module):
        place = f"{module.relative_to(HOUSE)}:{line}: {name}"
        first, _, rest = name.partition(".")
        if first == "exporter" and rest and not rest.startswith("__version__"):
            other = rest.partition(".")[0]
            assert other == room or other in KNOWS[room], place
        for outside, rooms in ONLY.items():
            if name == outside or name.startswith(f"{outside}."):
                assert room in rooms, place


def uses_of_environment(module: Path) -> Iterator[int]:
    """The lines that read the environment or the command line."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv", "sys.argv"}:
            yield node.lineno


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_only_the_command_line_reads_the_environment_and_argv(module: Path) -> None:
    if room_of(module) not in {"cli", "commands"}:
        assert list(uses_of_environment(module)) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_an_import_starts_nothing(module: Path) -> None:
    """Nothing is called for its effect at the top of a module, but for what guards a main program."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    calls = [
        node.lineno for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    assert calls == []
