"""The image: read by a linter, and built and run by a real Docker engine (deploy/test-images)."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

import exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

#: Seconds in which a container is healthy, on however busy a machine.
PATIENCE = 90
#: How it is run: nothing that can be taken away is left.
CONFINED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=128m",
    "--pids-limit=64",
    "--health-interval=1s",
)


def docker(*arguments: str) -> str:
    """Return what a docker command prints."""
    command = shutil.which("docker")
    assert command, "docker is missing: run deploy/test-images"
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspect(what: str, template: str) -> Any:  # noqa: ANN401 - JSON
    """Return a part of what docker knows of a container or an image."""
    return json.loads(docker("inspect", what, "--format", f"{{{{json {template}}}}}"))


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait for a condition, or fail with what there is instead."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.2)


@pytest.fixture
def demo(image: str) -> Iterator[tuple[str, str]]:
    """A confined container with a simulated Vast.ai, and its address."""
    started = docker(
        "run", "--detach", "--network=host", *CONFINED, image, "demo", "--web.listen-address=127.0.0.1:10699"
    )
    try:
        yield started, "http://127.0.0.1:10699"  # which nobody tells the health check
    finally:
        docker("rm", "--force", started)


def test_the_linter_finds_nothing_to_complain_about(run: Run, root: Path) -> None:
    linted = run("hadolint", "--failure-threshold", "style", root / "Dockerfile")
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_builder_asks_no_registry_for_a_frontend(root: Path) -> None:
    assert "syntax=" not in (root / "Dockerfile").read_text().replace(" ", "")


def test_the_builder_gets_only_what_the_image_is_made_of(root: Path, copied: list[str]) -> None:
    lines = (root / ".dockerignore").read_text().split()
    assert "*" in lines
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied)


@pytest.mark.docker
def test_it_is_healthy_confined_and_serves(demo: tuple[str, str]) -> None:
    container, url = demo
    until(
        lambda: inspect(container, ".State.Health.Status") == "healthy",
        lambda: str(inspect(container, ".State")) + docker("logs", container),
    )
    until(lambda: requests.get(f"{url}/-/ready", timeout=10).ok, lambda: docker("logs", container))
    assert "vastai_instances{" in requests.get(f"{url}/metrics", timeout=10).text
    status = docker("exec", container, "cat", "/proc/1/status")
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


@pytest.mark.docker
def test_it_stops_by_itself_with_a_connection_open(demo: tuple[str, str]) -> None:
    container, url = demo
    with requests.Session() as session:
        until(lambda: serves(session, url), lambda: docker("logs", container))
        docker("stop", "--time", "10", container)
    assert inspect(container, ".State.ExitCode") == 0  # and not 137, as after ten seconds


def serves(session: requests.Session, url: str) -> bool:
    """Return whether the exporter answers."""
    try:
        return session.get(f"{url}/-/healthy", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.docker
def test_a_process_that_does_not_answer_is_unhealthy(image: str) -> None:
    asked = ["run", "--rm", "--network=none", *CONFINED, image, "health"]
    command = shutil.which("docker")
    assert command
    done = subprocess.run([command, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.docker
def test_it_holds_what_the_lock_file_says_and_no_installer(image: str, root: Path) -> None:
    listing = (
        "import importlib.metadata as m, sys\n"
        "path = [folder for folder in sys.path if folder.startswith('/opt')]\n"
        "print(*(f'{each.name}=={each.version}' for each in m.distributions(path=path)))"
    )
    found = docker("run", "--rm", "--entrypoint", "python", image, "-c", listing).lower().replace("_", "-")
    lines = (root / "requirements.lock").read_text().splitlines()
    locked = {line.split()[0] for line in lines if "==" in line and ";" not in line}
    assert set(found.split()) == locked


@pytest.mark.docker
def test_it_says_what_it_is(image: str) -> None:
    labels = inspect(image, ".Config.Labels")
    prefix = "org.opencontainers.image"
    assert labels[f"{prefix}.version"] == exporter.__version__
    assert labels[f"{prefix}.revision"] == "0123abc"
    assert labels[f"{prefix}.licenses"] == "Apache-2.0"
    assert docker("run", "--rm", image, "--version") == f"vastai-exporter, version {exporter.__version__}"


@pytest.mark.docker
def test_what_is_added_to_python_is_small(image: str) -> None:
    sizes = docker("history", image, "--human=false", "--format", "{{.Size}} {{.CreatedBy}}").splitlines()
    (own,) = (line for line in sizes if "COPY /opt/exporter" in line)
    assert int(own.split()[0]) < 30_000_000


@pytest.mark.docker
def test_built_again_it_has_the_same_files(image: str, build: Callable[..., str]) -> None:
    again = build("vastai-exporter:again", "--no-cache")
    listing = (
        "cd /opt/exporter && find . -type f -exec sha256sum {} + | sort"
        " && find . -printf '%M %U %p\\n' | sort"
    )
    first, second = (
        docker("run", "--rm", "--entrypoint", "sh", tag, "-c", listing) for tag in (image, again)
    )
    assert first == second
