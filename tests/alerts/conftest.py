"""What the tests of alerts share: where things are, and the real programs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    Run = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


def load(file: Path) -> ModuleType:
    """Return a script, which is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generator() -> ModuleType:
    """deploy/prometheus/generate.py."""
    return load(ROOT / "deploy/prometheus/generate.py")


@pytest.fixture(scope="session")
def stack() -> ModuleType:
    """deploy/stack/stack.py, which is also what starts the programs of the tests."""
    return load(ROOT / "deploy/stack/stack.py")


@pytest.fixture(scope="session")
def rules() -> list[dict[str, Any]]:
    """Every rule of both files."""
    files = [ROOT / "deploy/prometheus" / name for name in ("recording.rules.yml", "alerts.rules.yml")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="session")
def alerts(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every alerting rule."""
    return [rule for rule in rules if "alert" in rule]


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Where a program is: VASTAI_PROMETHEUS and so on, else PATH; Debian's alertmanager has another name."""

    def find(name: str) -> str:
        names = {"alertmanager": ("prometheus-alertmanager", "alertmanager")}.get(name, (name,))
        found = os.environ.get(f"VASTAI_{name.upper()}") or next(filter(None, map(shutil.which, names)), None)
        if found is None:
            pytest.fail(f"{name} is not installed: `make setup` does that")
        return found

    return find


@pytest.fixture(scope="session")
def run(program: Callable[[str], str]) -> Run:
    """Run a program to its end and return what came of it."""

    def run_program(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [program(name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    return run_program


@pytest.fixture(scope="session")
def promtool_test(
    program: Callable[[str], str],
    rules: list[dict[str, Any]],
    alerts: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., dict[str, str]]:
    """Give tests to `promtool test rules`; return what it says of those that failed, by their name.

    Each set of tests names what it is about, and is evaluated every `step` with the rules that this needs and
    no others, which takes a tenth of the time.
    """

    def needed(about: str) -> list[dict[str, Any]]:
        wanted = {rule["alert"] for rule in alerts} if about == "every alert" else {about}
        kept = [rule for rule in rules if wanted & {rule.get("record"), rule.get("alert")}]
        assert kept, about
        while True:
            text = str(kept)
            more = [rule for rule in rules if rule in kept or rule.get("record", "no record") in text]
            if len(more) == len(kept):
                return more
            kept = more

    def test_rules(sets: list[tuple[str, str, list[Mapping[str, Any]]]]) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("promtool")
        for number, (about, step, tests) in enumerate(sets):
            group = {"name": about, "rules": [with_severity(rule) for rule in needed(about)]}
            rule_file, test_file = folder / f"rules-{number}.yml", folder / f"test-{number}.yml"
            rule_file.write_text(yaml.safe_dump({"groups": [group]}, sort_keys=False, allow_unicode=True))
            document = {"rule_files": [rule_file.name], "evaluation_interval": step, "tests": tests}
            test_file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
        command = [
            program("promtool"),
            "test",
            "rules",
            *(f"test-{number}.yml" for number in range(len(sets))),
        ]
        said = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            timeout=100,
            check=False,
        ).stdout
        verdicts = re.split(r"^  (SUCCESS|FAILED:)$", said, flags=re.MULTILINE)[1:]
        assert len(verdicts) == 2 * len(sets), said
        failed: dict[str, str] = {}
        for verdict, text, (_, _, tests) in zip(verdicts[::2], verdicts[1::2], sets, strict=True):
            if verdict != "SUCCESS":
                named = re.split(r"^ *name: (.*),$", text, flags=re.MULTILINE)[1:]
                failed |= dict(zip(named[::2], named[1::2], strict=True)) or {tests[0]["name"]: text}
        return failed

    return test_rules


def with_severity(rule: dict[str, Any]) -> dict[str, Any]:
    """Return an alert with its severity in its name, since promtool knows alerts by nothing else."""
    return {**rule, "alert": f"{rule['alert']} {rule['labels']['severity']}"} if "alert" in rule else rule
