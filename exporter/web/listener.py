"""Limit the connections of a listening socket, so that they never take all file descriptors."""

from __future__ import annotations

import math
import resource
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from exporter.web.handshakes import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.web.cuts import Cuts


def most_connections(wanted: int) -> int:
    """Return `wanted`, or half of the limit on open files if that is less: walks and files need the rest."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft // 2)


class Listener(socket.socket):
    """Accepts connections; above `most`, a new one replaces the one that has been silent longest.

    It counts open sockets, because asyncio reports a connection only after its TLS handshake. If none is
    silent, the new connection is closed.

    Args:
        sock: listening socket, which is taken over.
        most: maximum number of connections.
        silent_since: returns when each established connection fell silent, by file descriptor; infinity while
            it is being answered.
        cuts: records the closed connections.

    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        most: int,
        silent_since: Callable[[], Mapping[int, float]],
        cuts: Cuts,
    ) -> None:
        super().__init__(fileno=sock.detach())
        self._most = most
        self._silent_since = silent_since
        self._cuts = cuts
        self._accepted: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: no connection is available; the caller tries again later.

        """
        accepted, address = super().accept()
        self._accepted = [other for other in self._accepted if other.fileno() >= 0]
        if len(self._accepted) >= self._most and not self._make_room():
            self._cuts.cut("too_many_connections", address[0])
            accepted.close()
            raise ConnectionAbortedError
        self._accepted.append(accepted)
        ACCEPTED.set((accepted, address[0]))  # inherited by the task that asyncio creates for the connection
        return accepted, address

    def _make_room(self) -> bool:
        silent_since = self._silent_since()
        # Connections that are not established yet go first; among equals, the oldest.
        victim = min(self._accepted, key=lambda sock: silent_since.get(sock.fileno(), -math.inf))
        if silent_since.get(victim.fileno()) == math.inf:
            return False
        self._accepted.remove(victim)
        with suppress(OSError):  # the client has already disconnected
            self._cuts.cut("too_many_connections", victim.getpeername()[0])
            victim.shutdown(socket.SHUT_RDWR)  # its transport takes this for the client's EOF
        return True
