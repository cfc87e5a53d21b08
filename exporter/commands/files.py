"""The files that ship with the exporter, for those who have the package but not the repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What there is, by its place in the repository, which is its place in the folder that is written too.
PATTERNS = (
    "config.example.yaml",
    "deploy/alertmanager/*",
    "deploy/discovery/*",
    "deploy/prometheus/**/*",
    "deploy/systemd/**/*",
    "deploy/textfile/*",
    "grafana/*.json",
    "grafana/provisioning/**/*",
)
_PACKAGE = Path(__file__).resolve().parent.parent


class DifferentError(Exception):
    """Files that are there already are not what would be written.

    Attributes:
        paths: of the files.

    """

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(", ".join(map(str, paths)))
        self.paths = paths


def shipped() -> dict[Path, bytes]:
    """Return each file by its path. In a checkout they are those of the checkout."""
    root = _PACKAGE / "files"
    if not root.exists():
        root = _PACKAGE.parent
    found = (path for pattern in PATTERNS for path in root.glob(pattern))
    return {
        path.relative_to(root): path.read_bytes()
        for path in sorted(found)
        if path.is_file() and path.suffix != ".pyc"
    }


def write_files(files: Mapping[Path, bytes], folder: Path, *, force: bool) -> None:
    """Write all of `files` below `folder`; `force` replaces what is there and different.

    Raises:
        DifferentError: something is there and different; nothing is written.
        OSError: a file can't be read or written.

    """
    different = [folder / path for path, content in files.items() if _differs(folder / path, content)]
    if different and not force:
        raise DifferentError(different)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content
