"""Report the service's state to systemd (sd_notify); does nothing unless systemd asked for it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: Seconds to wait if systemd's queue is full.
PATIENCE = 1.0


class Notifier:
    """Sends states to the socket in the environment variable that systemd sets."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ means Linux's abstract namespace.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        ours = environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        microseconds = environ.get("WATCHDOG_USEC", "")
        self._watchdog = int(microseconds) / 1e6 if ours and microseconds.isdigit() else 0.0

    def ready(self, status: str) -> None:
        """Report that the service is up, with a line of status."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Report that the configuration is being reloaded; `ready` ends this state."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def keep_alive(self, healthy: Callable[[], bool]) -> None:
        """Feed systemd's watchdog, if any, while `healthy` returns true; otherwise systemd restarts us."""
        if self._address and self._watchdog:
            threading.Thread(target=self._feed, args=(healthy,), name="watchdog", daemon=True).start()

    def _feed(self, healthy: Callable[[], bool]) -> None:
        while True:
            if healthy():
                self._send("WATCHDOG=1")
            time.sleep(self._watchdog / 2)

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A failure to notify systemd must not stop the service.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.sendto(state.encode(), self._address)
