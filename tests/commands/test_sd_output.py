"""One collection that writes targets for Prometheus's file_sd."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.program import Run, Write


def test_targets_replace_a_file_as_file_sd_reads_it_and_the_metrics_stay_away(
    run: Run, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    targets = tmp_path / "instances.json"
    done = run("once", "--config.file", str(write(settings)), "--sd-output", str(targets))
    assert (done.returncode, done.stdout) == (0, "")
    groups = json.loads(targets.read_text())
    assert groups
    assert {group["labels"]["__meta_vastai_account"] for group in groups} == {"research"}
    assert [path.name for path in tmp_path.iterdir() if "instances" in path.name] == ["instances.json"]


def test_targets_and_metrics_can_be_written_together_and_the_choice_holds(
    run: Run, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    path = write(settings | {"discovery": {"ports": [22]}})
    targets, output = tmp_path / "instances.json", tmp_path / "vastai.prom"
    command = ("once", "--config.file", str(path), "--sd-output", str(targets), "--output", str(output))
    done = run(*command)
    assert (done.returncode, done.stdout) == (0, "")
    groups = json.loads(targets.read_text())
    assert {group["labels"]["__meta_vastai_container_port"] for group in groups} == {"22"}
    assert 'vastai_api_instances{account="research"} 60\n' in output.read_text()
    assert not any(target in output.read_text() for group in groups for target in group["targets"])


def test_targets_stay_as_they_were_where_an_account_can_not_be_read(
    run: Run, write: Write, settings: dict[str, object]
) -> None:
    write("wrong", "key")
    targets = write("[]", "instances.json")
    done = run("once", "--config.file", str(write(settings)), "--sd-output", str(targets))
    assert (done.returncode, targets.read_text()) == (1, "[]")
    assert 'msg="targets not written: instances could not be read" accounts=research' in done.stderr


def test_targets_need_the_collector_of_instances(
    run: Run, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    path = write(settings | {"collectors": {"instances": {"enabled": False}}})
    done = run("once", "--config.file", str(path), "--sd-output", str(tmp_path / "instances.json"))
    assert (done.returncode, done.stderr) == (
        2,
        "discovery.enabled: true: requires collectors.instances.enabled: true\n",
    )


def test_a_file_for_targets_that_cannot_be_written_is_one_line(
    run: Run, write: Write, settings: dict[str, object], tmp_path: Path
) -> None:
    targets = tmp_path / "missing" / "instances.json"
    done = run("once", "--config.file", str(write(settings)), "--sd-output", str(targets))
    assert done.returncode == 1
    assert done.stderr.endswith(f"{targets}: can't be written: No such file or directory\n")
