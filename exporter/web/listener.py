"""A listening socket whose connections never take all file descriptors, TLS handshakes included."""

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
    """Return `wanted`, or half of what the process may open: walks and files need the rest."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft // 2)


class Listener(socket.socket):
    """Accepts; one connection more than `most` takes the place of the one that is silent for the longest.

    It counts open sockets, as asyncio tells nobody of a connection before its TLS handshake ends.
    Where none is silent, the new one has to go.

    Args:
        sock: listens; it is taken over.
        most: how many connections there may be.
        silent_since: when each established connection fell silent, by file descriptor; infinity for those
            that are being answered.
        cuts: told of those that have to go.

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
        """Accept as any socket does.

        Raises:
            ConnectionAbortedError: there is no place; whoever accepts tries again later.

        """
        accepted, address = super().accept()
        self._accepted = [other for other in self._accepted if other.fileno() >= 0]
        if len(self._accepted) >= self._most and not self._make_room():
            self._cuts.cut("too_many_connections", address[0])
            accepted.close()
            raise ConnectionAbortedError
        self._accepted.append(accepted)
        ACCEPTED.set((accepted, address[0]))  # for the task that asyncio begins with what is returned
        return accepted, address

    def _make_room(self) -> bool:
        silent_since = self._silent_since()
        # Who has not even been established goes first; of these and among equals the oldest.
        victim = min(self._accepted, key=lambda sock: silent_since.get(sock.fileno(), -math.inf))
        if silent_since.get(victim.fileno()) == math.inf:
            return False
        self._accepted.remove(victim)
        with suppress(OSError):  # its client has left already
            self._cuts.cut("too_many_connections", victim.getpeername()[0])
            victim.shutdown(socket.SHUT_RDWR)  # which its transport takes for the client's end
        return True
