"""The workflow files of GitHub, read by linters, none of which asks the network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

FOLDER = ".github/workflows"
WORKFLOWS = ("test.yml", "release.yml")


@pytest.fixture(params=WORKFLOWS)
def workflow(request: pytest.FixtureRequest, root: Path) -> Path:
    """One of them."""
    return root / FOLDER / str(request.param)


def jobs_of(workflow: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a workflow."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


def test_these_are_all(root: Path) -> None:
    assert {path.name for path in (root / FOLDER).iterdir()} == set(WORKFLOWS)


def test_the_schema_of_github_allows_them(run: Run, root: Path) -> None:
    workflows = [root / FOLDER / name for name in WORKFLOWS]
    checked = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_linter_finds_no_mistake_in_it_or_its_scripts(run: Run, workflow: Path) -> None:
    shellcheck = run("shellcheck", "--version").args[0]
    checked = run("jactionlint", f"--shellcheck={shellcheck}", workflow)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


def test_the_auditor_finds_no_weakness(run: Run, workflow: Path) -> None:
    audited = run("zizmor", "--offline", "--no-progress", workflow)
    assert audited.returncode == 0, audited.stdout


def test_actions_are_pinned_by_hash_with_their_version_beside_it(workflow: Path) -> None:
    used = re.findall(r"uses: (?!\./)(.+)", workflow.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[0-9.]+", action)


def test_an_action_has_one_version_everywhere(root: Path) -> None:
    text = "".join((root / FOLDER / name).read_text() for name in WORKFLOWS)
    pinned = set(re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", text))
    assert len({action for action, _ in pinned}) == len(pinned)


def test_a_job_has_a_time_limit_and_only_the_rights_that_it_names(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {}
    for job in jobs_of(workflow).values():
        assert "permissions" in job
        assert "uses" in job or job["timeout-minutes"] <= 30


def test_nothing_is_published_before_all_is_tested_and_built(root: Path) -> None:
    jobs = jobs_of(root / FOLDER / "release.yml")
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert jobs["build"]["needs"] == "test"
    assert "Check that the tag matches the version" in [step.get("name") for step in jobs["build"]["steps"]]
    assert jobs["image"]["needs"] == "build"
    assert jobs["publish-python"]["needs"] == ["build", "image"]


def test_nothing_gets_a_name_before_the_one_who_may_refuse_has_taken_it(root: Path) -> None:
    jobs = jobs_of(root / FOLDER / "release.yml")
    assert jobs["publish"]["needs"] == ["build", "image", "publish-python"]
    (image,) = (step["with"] for step in jobs["image"]["steps"] if step.get("id") == "build")
    assert "push-by-digest=true" in image["outputs"]
    assert not {"tags", "push"} & image.keys()
    told = [step["run"] for name in ("build", "image") for step in jobs[name]["steps"] if "run" in step]
    naming = re.compile("helm push|gh release|imagetools")
    assert [line for line in told if naming.search(line)] == []
    assert len([step for step in jobs["publish"]["steps"] if naming.search(step.get("run", ""))]) == 3


def test_what_is_built_is_checked_by_the_checker_of_the_uploader_that_is_pinned(root: Path) -> None:
    uploader, version = re.findall(
        r"uses: (pypa/gh-action-pypi-publish)@\w+ # (v[0-9.]+)", (root / FOLDER / "release.yml").read_text()
    )[0]
    assert f"{uploader} {version}." in (root / "tests/publishing.in").read_text()
