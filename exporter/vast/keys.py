"""Where an account's API key comes from; read anew each time, so that a rotated key needs no restart."""

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
#: No key is longer; a wrong file may be.
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Key:
    """One account's key.

    Attributes:
        path: the file that holds it, or None where the key was given as it is.
        value: the key itself, where there is no file; never part of a representation.
        origin: what an error calls the place that `value` came from.

    """

    path: Path | None = None
    value: str = field(default="", repr=False)
    origin: str = "the API key"

    def read(self) -> str:
        """Return the key.

        Raises:
            AuthError: there is none, or what is there can't be a key; the message doesn't show it.

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
        """Return whether every user of this machine may read the key's file.

        A group may: that is how systemd and Kubernetes give a secret to one service. So may everybody in a
        container into which Kubernetes has mounted the file, by links of its own and open to all by default:
        nobody else is there, and `chmod` would not help.
        """
        if self.path is None:
            return False
        try:
            mounted = self.path.is_symlink() and "..data" in self.path.readlink().parts
            return not mounted and bool(self.path.stat().st_mode & stat.S_IROTH)
        except (OSError, ValueError):  # whoever reads the key says what is wrong
            return False


class KeyWatch:
    """Tells whether a key is another one than at the last look; being unreadable is a state like any."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._last = self._state()

    def changed(self) -> bool:
        """Return whether the key has changed since it was asked last."""
        before, self._last = self._last, self._state()
        return self._last != before

    def _state(self) -> str | None:
        try:
            return self._key.read()
        except AuthError:
            return None


def reader(key: Key, learn: Callable[[str], None]) -> Callable[[], str]:
    """Return a function that reads `key` and tells `learn` of it first, so that logs can leave it out."""

    def read() -> str:
        value = key.read()
        learn(value)
        return value

    return read


def _checked(text: str, what: str) -> str:
    key = text.strip(string.whitespace)  # of ASCII: Python strips more
    if not key:
        raise AuthError(f"{what} is empty")
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise AuthError(
            f"{what} does not contain a valid key: expected one line of letters, digits and -._~+/=:"
        )
    return key
