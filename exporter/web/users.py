"""Check users and passwords without timing leaks and without blocking other requests."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

#: bcrypt ignores further bytes of a password; newer libraries reject longer ones, older tools truncate them.
BCRYPT_BYTES = 72
#: Maximum number of cached correct passwords; few setups have more users.
MOST_REMEMBERED = 1000
#: Maximum number of queued checks, so that guessing cannot pile up work: at 60 ms each about a second.
MOST_WAITING = 16


class TooManyGuessesError(Exception):
    """Too many password checks are in progress, so this password was not checked."""


class PasswordChecks:
    """Checks passwords against bcrypt hashes, one at a time, in a separate thread.

    Correct passwords are cached under a keyed hash, so that a scrape costs microseconds instead of bcrypt's
    tens of milliseconds. A flood of guesses occupies one thread, and at most `most_waiting` checks are
    queued.
    """

    def __init__(self, *, most_waiting: int = MOST_WAITING) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._waiting = 0
        self._most_waiting = most_waiting

    async def admits(self, users: Mapping[str, SecretStr], credentials: tuple[str, bytes]) -> bool:
        """Return whether `credentials`, a name and a password, match one of `users` (names and hashes).

        A check takes as long as the most expensive hash, for known and unknown names alike.

        Raises:
            TooManyGuessesError: the password was not checked.

        """
        name, password = credentials[0], credentials[1][:BCRYPT_BYTES]
        hashes = {user: secret.get_secret_value().encode() for user, secret in users.items()}
        dearest = max(hashes.values(), key=_cost)
        hashed = hashes.get(name) or dearest
        token = self._token(name, hashed, password)
        if name in hashes and token in self._right:
            self._right.move_to_end(token)
            return True
        right = await self._check(password, hashed, _cost(dearest)) and name in hashes
        if right:
            self._right[token] = None
            while len(self._right) > MOST_REMEMBERED:
                self._right.popitem(last=False)
        return right

    def close(self) -> None:
        """Stop the thread; queued checks are dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _check(self, password: bytes, hashed: bytes, cost: int) -> bool:
        if self._waiting >= self._most_waiting:
            raise TooManyGuessesError
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _check_at_cost, password, hashed, cost)
        finally:
            self._waiting -= 1

    def _token(self, name: str, hashed: bytes, password: bytes) -> bytes:
        message = b"\0".join((name.encode(), hashed, password))  # neither name nor hash can contain a null
        return hmac.digest(self._key, message, hashlib.sha256)


def credentials_of(authorization: str) -> tuple[str, bytes] | None:
    """Return name and password of an Authorization header (RFC 7617), or None if it has none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):  # ValueError: non-ASCII input, or a name that is not UTF-8
        return None


def _check_at_cost(password: bytes, hashed: bytes, cost: int) -> bool:
    """Check a password with the work of a hash of the given cost.

    Each step of cost doubles the work. One more check at each cost, from the hash's own up to one below the
    target, adds exactly the missing work.
    """
    right = bcrypt.checkpw(password, hashed)
    for each in range(_cost(hashed), cost):
        bcrypt.checkpw(password, b"$2b$%02d$" % each + hashed[7:])
    return right


def _cost(hashed: bytes) -> int:
    return int(hashed[4:6])
