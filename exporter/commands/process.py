"""Set process-wide limits before the exporter serves."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress

#: glibc's mallopt parameter for the maximum number of arenas.
_ARENAS = -8


def set_up() -> None:
    """Raise the limits for many loops; continue if the system does not support it."""
    _raise_descriptor_limit()
    _share_one_arena()


def _raise_descriptor_limit() -> None:
    """Raise the limit on open files to the maximum: most loops keep a socket; the usual limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems allow less than they report
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _share_one_arena() -> None:
    """Let all threads allocate from one arena.

    Each run has its own thread. With more arenas, memory freed by one walk would lie idle in its thread's
    arena, while the next walk allocates as much in another.
    """
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_ARENAS, 1)
