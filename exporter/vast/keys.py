"""Read an account's API key, again for each request, so that a rotated key needs no restart."""

from __future__ import annotations

import re
import stat
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.vast.errors import AuthError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_KEY = re.compile(r"[A-Za-z0-9._~+/=:-]+")
#: No key is longer, but a wrong file may be.
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Key:
    """One account's key.

    Attributes:
        path: file with the key, or None if the key was given directly.
        value: the key if there is no file; never part of the repr.
        origin: name of the source of `value` in error messages.

    """

    path: Path | None = None
    value: str = field(default="", repr=False)
    origin: str = "the API key"

    def read(self) -> str:
        """Return the key.

        Raises:
            AuthError: the key is missing or malformed; the message does not contain it.

        """
        if self.path is None:
            if not self.value:
                raise AuthError(f"{self.origin} is not set or empty")
            return _checked(self.value, self.origin)
        try:
            with self.path.open("rb") as file:
                text = file.read(_LONGEST + 1)
        except OSError as error:
            raise AuthError(f"the key file {self.path} can't be read: {error.strerror}") from None
        except ValueError:  # a null byte
            raise AuthError("the path of the key file is not valid") from None
        return _checked(text.decode("ascii", "replace"), f"the key file {self.path}")

    def exposed(self) -> bool:
        """Return whether every user of this machine can read the key file.

        Group access is fine: systemd and Kubernetes use it to give a secret to one service. A file that
        Kubernetes mounts into a container is world-readable by default. That is fine too: the container has
        no other users, and `chmod` would not help.
        """
        if self.path is None:
            return False
        try:
            mounted = self.path.is_symlink() and "..data" in self.path.readlink().parts
            return not mounted and bool(self.path.stat().st_mode & stat.S_IROTH)
        except (OSError, ValueError):  # reported when the key is read
            return False


class KeyWatch:
    """Detects changes of a key; unreadable counts as a state."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._last = self._state()

    def changed(self) -> bool:
        """Return whether the key has changed since the last call."""
        before, self._last = self._last, self._state()
        return self._last != before

    def _state(self) -> str | None:
        try:
            return self._key.read()
        except AuthError:
            return None


def reader(key: Key, learn: Callable[[str], None]) -> Callable[[], str]:
    """Return a function that reads `key` and passes it to `learn` first, so that logs can redact it."""

    def read() -> str:
        value = key.read()
        learn(value)
        return value

    return read


def _checked(text: str, what: str) -> str:
    key = text.strip(string.whitespace)  # ASCII whitespace only; Python strips more by default
    if not key:
        raise AuthError(f"{what} is empty")
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise AuthError(
            f"{what} does not contain a valid key: expected one line of letters, digits and -._~+/=:"
        )
    return key
