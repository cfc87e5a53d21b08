"""What the process asks of the system before it serves."""

from __future__ import annotations

import resource
from contextlib import suppress


def set_up() -> None:
    """Ask for what many loops need; where the system does not have it, go on without."""
    _raise_descriptor_limit()


def _raise_descriptor_limit() -> None:
    """Allow as many sockets as the system lets us have: most loops keep one, and 1,024 in all are usual."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems give less than they name
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
