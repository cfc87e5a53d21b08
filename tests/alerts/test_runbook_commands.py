"""Every `vastai` command in a runbook exists in the vendor's client, with its flags."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]


def commands() -> dict[str, set[str]]:
    """Return the flags that runbooks give to each command."""
    text = "\n".join(file.read_text() for file in sorted((ROOT / "docs/runbooks").glob("*.md")))
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in re.findall(r"`vastai ([^`]+)`", text):
        words = shlex.split(line)
        length = 1 if words[0] in {"logs", "copy", "execute", "ssh-url"} else 2
        found[" ".join(words[:length])] |= {word for word in words[length:] if re.match(r"--?[a-z]", word)}
    return dict(found)


@pytest.fixture(scope="module")
def client() -> str:
    found = os.environ.get("VASTAI_CLI") or shutil.which("vastai") or str(ROOT / ".venv-vendor/bin/vastai")
    assert Path(found).is_file(), f"the vendor's client is not at {found}: `make setup` installs it"
    return found


@pytest.mark.parametrize("command", sorted(commands()))
def test_the_vendors_client_has(command: str, client: str, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "VASTAI_NO_UPDATE_CHECK": "1"}
    called = subprocess.run(
        [client, *command.split(), "--help"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert called.returncode == 0, called.stderr
    for flag in commands()[command]:
        assert re.search(rf"(?<![\w-]){flag}(?![\w-])", called.stdout), flag
