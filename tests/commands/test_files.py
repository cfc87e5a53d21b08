"""`files`: what goes with the exporter, for whoever has the package and not the repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

from exporter.cli import cli

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).parents[2]


def invoke(folder: Path, *flags: str) -> Result:
    return CliRunner().invoke(cli, ("files", "--output", str(folder), *flags))


def test_rules_dashboards_units_and_examples_lie_as_in_the_repository(tmp_path: Path) -> None:
    done = invoke(tmp_path / "new/folder")

    written = {path.relative_to(tmp_path / "new/folder") for path in tmp_path.rglob("*") if path.is_file()}
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/new/folder: wrote {len(written)} files\n")
    assert set(map(str, written)) >= {
        "config.example.yaml",
        "deploy/alertmanager/alertmanager.yml",
        "deploy/discovery/prometheus.yml",
        "deploy/prometheus/alerts.rules.yml",
        "deploy/prometheus/generate.py",
        "deploy/prometheus/recording.rules.yml",
        "deploy/prometheus/source/alerts.yml",
        "deploy/prometheus/thresholds.yml",
        "deploy/systemd/drop-ins/web.conf",
        "deploy/systemd/vastai-exporter.service",
        "deploy/textfile/vastai-textfile.timer",
        "grafana/provisioning/datasources/prometheus.yml",
        *(f"grafana/{path.name}" for path in (ROOT / "grafana").glob("*.json")),
    }
    for path in written:
        assert (tmp_path / "new/folder" / path).read_bytes() == (ROOT / path).read_bytes()


def test_again_it_changes_nothing(tmp_path: Path) -> None:
    assert [invoke(tmp_path).exit_code for _ in range(2)] == [0, 0]


def test_what_was_changed_by_hand_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    invoke(tmp_path)
    rules, example = tmp_path / "deploy/prometheus/alerts.rules.yml", tmp_path / "config.example.yaml"
    rules.write_text("mine")
    example.unlink()

    done = invoke(tmp_path)

    assert done.exit_code == 1
    assert done.stderr == f"{rules}: exists and differs; --force overwrites it\n"
    assert rules.read_text() == "mine"
    assert not example.exists()

    assert invoke(tmp_path, "--force").exit_code == 0
    assert rules.read_bytes() == (ROOT / "deploy/prometheus/alerts.rules.yml").read_bytes()


def test_what_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "deploy").write_text("a file")

    done = invoke(tmp_path)

    assert (done.exit_code, done.stderr) == (
        1,
        f"{tmp_path}/deploy/alertmanager: can't be written: Not a directory\n",
    )


def test_a_folder_has_to_be_named() -> None:
    done = CliRunner().invoke(cli, ("files",))

    assert done.exit_code == 2
    assert "Missing option '--output'" in done.stderr
