"""Write the files that ship with the exporter, for users of the package without the repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Shipped files by path in the repository, which is also their path in the output directory.
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
    """Existing files differ from those to write.

    Attributes:
        paths: paths of the files.

    """

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(", ".join(map(str, paths)))
        self.paths = paths


def shipped() -> dict[Path, bytes]:
    """Return the shipped files by path; in a checkout, those of the checkout."""
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
    """Write all `files` below `folder`; `force` replaces existing files that differ.

    Raises:
        DifferentError: an existing file differs; nothing is written.
        OSError: a file cannot be read or written.

    """
    different = [folder / path for path, content in files.items() if _differs(folder / path, content)]
    if different and not force:
        raise DifferentError(different)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content
