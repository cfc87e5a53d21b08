"""Telling systemd how the service is doing (sd_notify); does nothing where systemd did not ask for it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: Seconds for which a queue of systemd's that is full is waited for.
PATIENCE = 1.0


class Notifier:
    """Sends states to the socket that systemd named in the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # An address that begins with @ is in Linux's abstract namespace.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        ours = environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        microseconds = environ.get("WATCHDOG_USEC", "")
        self._watchdog = int(microseconds) / 1e6 if ours and microseconds.isdigit() else 0.0

    def ready(self, status: str) -> None:
        """Say that the service is up, and a line about what it does."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the service is on its way down."""
        self._send("STOPPING=1")

    def keep_alive(self, healthy: Callable[[], bool]) -> None:
        """Feed systemd's watchdog, where there is one, while `healthy` says so; it restarts us if not."""
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
        # Not being able to tell systemd must not end what it watches over.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.sendto(state.encode(), self._address)
