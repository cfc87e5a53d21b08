"""The shell scripts of the repository's tools."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_linter_finds_nothing_to_complain_about(run: Run, shell_scripts: list[Path]) -> None:
    assert len(shell_scripts) > 5
    checked = run("shellcheck", *map(str, shell_scripts))
    assert checked.returncode == 0, checked.stdout


def test_scripts_stop_at_the_first_mistake_and_can_be_run(shell_scripts: list[Path]) -> None:
    for script in shell_scripts:
        assert "\nset -euo pipefail\n" in script.read_text(), script
        assert os.access(script, os.X_OK), script
