"""Checks users and passwords without timing leaks and without blocking other requests."""

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

#: bcrypt looks at no more of a password; newer libraries refuse longer ones, older tools have cut them.
BCRYPT_BYTES = 72
#: Passwords found right that are remembered; there are hardly more users.
MOST_REMEMBERED = 1000
#: Checks that may wait for one another, so that guessing can't pile up work: at 60 ms each about a second.
MOST_WAITING = 16


class TooManyGuessesError(Exception):
    """So many passwords are being checked already that this one isn't."""


class PasswordChecks:
    """Checks passwords against bcrypt hashes, one at a time and beside everything else.

    What was right is remembered under a keyed hash, so that a scrape costs microseconds and not bcrypt's
    tens of milliseconds. A flood of guesses occupies one thread, and never more than `most_waiting` checks.
    """

    def __init__(self, *, most_waiting: int = MOST_WAITING) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._waiting = 0
        self._most_waiting = most_waiting

    async def admits(self, users: Mapping[str, SecretStr], credentials: tuple[str, bytes]) -> bool:
        """Return whether `credentials`, a name and a password, are those of one of `users` (their hashes).

        An unknown name takes as long as a known one, and all known ones as long as the dearest.

        Raises:
            TooManyGuessesError: the password wasn't checked.

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
        """End the thread; checks that wait are dropped."""
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
        message = b"\0".join((name.encode(), hashed, password))  # neither name nor hash can hold a null
        return hmac.digest(self._key, message, hashlib.sha256)


def credentials_of(authorization: str) -> tuple[str, bytes] | None:
    """Return name and password of an Authorization header (RFC 7617), or None if it has none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):  # ValueError: what isn't ASCII, or a name that isn't UTF-8
        return None


def _check_at_cost(password: bytes, hashed: bytes, cost: int) -> bool:
    """Check a password, with as much work as a hash of that cost would be.

    Each step of cost doubles the work. So once more at each cost from the hash's own up to the last below the
    wanted one makes just what is missing.
    """
    right = bcrypt.checkpw(password, hashed)
    for each in range(_cost(hashed), cost):
        bcrypt.checkpw(password, b"$2b$%02d$" % each + hashed[7:])
    return right


def _cost(hashed: bytes) -> int:
    return int(hashed[4:6])
