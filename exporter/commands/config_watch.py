"""Detect changes of config.yaml: rewritten in place, replaced, or swapped by Kubernetes."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds between checks.
PERIOD = 2.0


class ConfigWatch:
    """Compares a file's content with its last loaded state.

    A half-written file can be valid, without its last accounts. A change therefore counts only if two
    consecutive checks see the same content.

    Args:
        path: path of the file; None, a pipe and a device never change.

    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read = self._seen = self._digest()

    def note(self) -> None:
        """Record the current content as loaded; call this before reading the file."""
        self._read = self._seen = self._digest()

    def changed(self) -> bool:
        """Return whether the content differs from what was loaded, and is the same as at the last check."""
        before, self._seen = self._seen, self._digest()
        return self._seen is not None and self._seen == before and self._seen != self._read

    def _digest(self) -> bytes | None:
        """Return a digest of the content, or None if there is no readable regular file."""
        if self._path is None:
            return None
        try:
            if not stat.S_ISREG(self._path.stat().st_mode):
                return None
            return hashlib.sha256(self._path.read_bytes()).digest()
        except (OSError, ValueError):  # missing, briefly or for good: the loaded configuration stays in force
            return None
