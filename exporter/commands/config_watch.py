"""Notices that config.yaml has changed: written in place, replaced, or swapped by Kubernetes."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds between two looks.
PERIOD = 2.0


class ConfigWatch:
    """Compares a file's content with what was last read of it.

    A file that is just being written may be cut off anywhere and be valid by itself, without its last
    accounts. So a change counts when two looks in a row have seen the same.

    Args:
        path: of the file; None, a pipe or a device never changes.

    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read = self._seen = self._digest()

    def note(self) -> None:
        """Take the present content for what is being read now; call this before the file is read."""
        self._read = self._seen = self._digest()

    def changed(self) -> bool:
        """Return whether the file now says something else, and said so at the last look too."""
        before, self._seen = self._seen, self._digest()
        return self._seen is not None and self._seen == before and self._seen != self._read

    def _digest(self) -> bytes | None:
        """Return a digest of the content, or None where there is no regular file that can be read."""
        if self._path is None:
            return None
        try:
            if not stat.S_ISREG(self._path.stat().st_mode):
                return None
            return hashlib.sha256(self._path.read_bytes()).digest()
        except (OSError, ValueError):  # gone for a moment, or for good: what was read stays in force
            return None
