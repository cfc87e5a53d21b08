"""Process-wide settings that are made before the exporter serves."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress

#: mallopt's name, in glibc, for the most arenas.
_ARENAS = -8


def set_up() -> None:
    """Ask for what many loops need; where the system does not have it, go on without."""
    _raise_descriptor_limit()
    _share_one_arena()


def _raise_descriptor_limit() -> None:
    """Allow as many sockets as the system lets us have: most loops keep one, and 1,024 in all are usual."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems give less than they name
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _share_one_arena() -> None:
    """Let all threads take their memory from the same place.

    Each run has a thread of its own. With more arenas, what one walk frees lies idle in that of its thread,
    while the next walk takes as much in another.
    """
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_ARENAS, 1)
