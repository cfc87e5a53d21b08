"""What the tests of alerts share: where things are, and the real programs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.simulator import ManualClock, SimulatedVast
from tests.support.alerting import SECOND_KEY, Exporter, Webhook, calm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    Run = Callable[..., "subprocess.CompletedProcess[str]"]
    PromtoolTest = Callable[[list[tuple[str, list[Mapping[str, Any]]]]], dict[str, str]]

ROOT = Path(__file__).parents[2]
RULE_FILES = ("recording.rules.yml", "alerts.rules.yml")
#: Seconds that all tests of a file may take one promtool.
LONGEST = 600


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
def groups() -> list[dict[str, Any]]:
    """Every group of rules of both files."""
    files = [ROOT / "deploy/prometheus" / name for name in RULE_FILES]
    return [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]


@pytest.fixture(scope="session")
def rules(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every rule of both files."""
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


def promtools() -> dict[str, str]:
    """Return each promtool that is here by its version: the system's, VASTAI_PROMTOOL, what CI has unpacked.

    Prometheus 2.42, which is Debian's, and Prometheus 3 read rules differently.
    """
    unpacked = shutil.which("promtool", path=ROOT / ".cache/prometheus/root/usr/bin")
    found: dict[str, str] = {}
    for promtool in filter(None, (shutil.which("promtool"), os.environ.get("VASTAI_PROMTOOL"), unpacked)):
        said = subprocess.run([promtool, "--version"], capture_output=True, text=True, check=True)
        version = re.search(r"version (\d+\.\d+)", said.stdout + said.stderr)
        assert version, said
        found.setdefault(version[1], promtool)
    return found


@pytest.fixture(scope="module", params=promtools() or ["missing"])
def promtool(request: pytest.FixtureRequest) -> str:
    """Each promtool in turn."""
    found = promtools().get(request.param)
    if found is None:
        pytest.fail("promtool is not installed: `make setup` does that")
    return found


@pytest.fixture(scope="module")
def promtool_test(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> PromtoolTest:
    """Give tests to `promtool test rules`; return what it says of those that failed, by their name.

    The rules are the files that ship, as they are: what a test has read and written anew is another file.
    """

    def test_rules(sets: list[tuple[str, list[Mapping[str, Any]]]]) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("promtool")
        files = [ROOT / "deploy/prometheus" / name for name in RULE_FILES]
        order = [group["name"] for file in files for group in yaml.safe_load(file.read_text())["groups"]]
        # Without an order, promtool shuffles the groups; Prometheus evaluates them side by side.
        common = {"rule_files": [*map(str, files)], "group_eval_order": order}
        for number, (step, tests) in enumerate(sets):
            document = {**common, "evaluation_interval": step, "tests": tests}
            written = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
            (folder / f"test-{number}.yml").write_text(written)
        names = [f"test-{number}.yml" for number in range(len(sets))]
        halves = [names[::2], names[1::2]]
        with ThreadPoolExecutor() as pool:
            said = pool.map(lambda half: verdicts(promtool, half, folder), halves)
            found = dict(chain.from_iterable(said))
        failed: dict[str, str] = {}
        for name, (_, tests) in zip(names, sets, strict=True):
            text = found[name]
            if text is not None:
                named = re.findall(
                    r'^ *name: (.*),$|^ *expr: "(?:[^"\\]|\\.)* # ([^"]*)"', text, re.MULTILINE
                )
                failed |= {one or other: text for one, other in named} or {tests[0]["name"]: text}
        return failed

    return test_rules


def verdicts(promtool: str, names: list[str], folder: Path) -> list[tuple[str, str | None]]:
    """Return what promtool says of each file of tests, or None where all of it is as expected."""
    if not names:
        return []
    command = [promtool, "test", "rules", *names]
    pipe = subprocess.PIPE
    # promtool makes a database for each test; collecting garbage less often saves a quarter of its time.
    environment = {"GOGC": "800"} | os.environ
    ran = subprocess.run(
        command,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment,
        timeout=LONGEST,
        check=False,
    )
    parts = re.split(r"^  (SUCCESS|FAILED:)$", ran.stdout, flags=re.MULTILINE)[1:]
    assert len(parts) == 2 * len(names), ran.stdout
    return [
        (name, None if verdict == "SUCCESS" else text)
        for name, verdict, text in zip(names, parts[::2], parts[1::2], strict=True)
    ]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())


@pytest.fixture
def vast(clock: ManualClock) -> Iterator[SimulatedVast]:
    """Two accounts in which all instances run, and have no trouble."""
    with SimulatedVast(size=12, clock=clock, thresholds=False, incidents=False) as vast:
        vast.add_account("second", SECOND_KEY, size=4, seed=2)
        for name in ("default", "second"):
            calm(vast.fleet_of(name), clock())
        yield vast


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


@pytest.fixture
def exporter(vast: SimulatedVast, stack: ModuleType, tmp_path: Path) -> Exporter:
    return Exporter(stack, tmp_path, vast.url, {"default": vast.key, "second": SECOND_KEY})
