"""Provide the current web configuration; each connection and request checks its files for changes."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.config.mistakes import ConfigError
from exporter.config.web import WebConfig, read_web_config
from exporter.web.handshakes import Handshake, Handshakes
from exporter.web.tls import CLIENT_CERTIFICATES, VERSIONS, files, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """A web configuration, and the TLS context made from it."""

    config: WebConfig
    context: ssl.SSLContext | None


def read_access(path: Path, note: Callable[[Path], None] = lambda _: None) -> Access:
    """Read a web configuration file and the files that it names.

    Args:
        path: path of the web configuration file.
        note: called with each path before it is read.

    Raises:
        ConfigError: the configuration is invalid.

    """
    note(path)
    config = read_web_config(path)
    if config.tls_server_config is None:
        return Access(config, None)
    for file in files(config.tls_server_config, path).values():
        note(file)
    return Access(config, server_context(config.tls_server_config, path))


def openings(old: WebConfig, new: WebConfig) -> list[str]:
    """Return the protections of `old` that `new` weakens, in words.

    A half-written file can be valid: without its users, or without the line that requires certificates.
    """
    found = []
    if old.basic_auth_users and not new.basic_auth_users:
        found.append("basic_auth_users: removing all users requires a restart")
    old_tls, new_tls = old.tls_server_config, new.tls_server_config
    if (old_tls is None) != (new_tls is None):
        found.append("tls_server_config: enabling or disabling TLS requires a restart")
    if old_tls is None or new_tls is None:
        return found
    place = "tls_server_config."
    if CLIENT_CERTIFICATES[old_tls.client_auth_type] > CLIENT_CERTIFICATES[new_tls.client_auth_type]:
        found.append(f"{place}client_auth_type: weakening {old_tls.client_auth_type} requires a restart")
    if VERSIONS[old_tls.min_version] > VERSIONS[new_tls.min_version]:
        found.append(f"{place}min_version: lowering {old_tls.min_version} requires a restart")
    return found


class LiveAccess:
    """Reloads the files when one of them changes; invalid files leave the last valid state in force."""

    def __init__(
        self,
        path: Path | None,
        on_read: Callable[[bool], None] = lambda _: None,
        handshakes: Handshakes | None = None,
    ) -> None:
        self._path = path
        self._on_read = on_read
        self.handshakes = handshakes or Handshakes()
        self._seen = _Seen()
        self._access = read_access(path, self._seen.note) if path is not None else Access(WebConfig(), None)
        #: Mistakes in the current files, one line each.
        self.mistakes: tuple[str, ...] = ()
        if path is not None and not self._access.config.asks_of_clients:
            _log.warning(
                "the web configuration requires neither a user nor a client certificate",
                extra={"fields": {"file": str(path)}},
            )

    def now(self) -> Access:
        """Return the configuration in force."""
        if self._path is not None and self._seen.changed():
            self._read_again(self._path)
        return self._access

    @property
    def tls(self) -> ssl.SSLContext | None:
        """A context whose connections use the newest certificate; None without TLS."""
        return NewestContext.of(self) if self._access.context is not None else None

    def _read_again(self, path: Path) -> None:
        self._seen = _Seen()
        try:
            access = read_access(path, self._seen.note)
        except ConfigError as error:
            self._refuse(error.lines)
            return
        if opened := openings(self._access.config, access.config):
            self._refuse([f"{path}: {line}" for line in opened])
            return
        self._access, self.mistakes = access, ()
        self._on_read(True)  # noqa: FBT003
        _log.info(
            "web configuration reloaded",
            extra={"fields": {"users": len(access.config.basic_auth_users)}},
        )

    def _refuse(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        self._on_read(False)  # noqa: FBT003 - its only argument
        for line in mistakes:
            _log.error("new web configuration rejected", extra={"fields": {"error": line}})


class NewestContext(ssl.SSLContext):
    """Stands for the newest context, since a server keeps the context that it was started with."""

    _live: LiveAccess

    @classmethod
    def of(cls, live: LiveAccess) -> NewestContext:
        """Return the context for `live`."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._live = live
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *args: Any,  # noqa: ANN401 - as in the base class
        **kwargs: Any,  # noqa: ANN401
    ) -> ssl.SSLObject:
        """Start a connection with the newest context."""
        newest = self._live.now().context
        assert newest is not None  # noqa: S101 - LiveAccess never turns TLS on or off
        made = newest.wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(made, Handshake)  # noqa: S101 - set by `server_context`
        made.watch(self._live.handshakes, incoming, outgoing)
        return made


class _Seen:
    """Files, and their state just before they were read."""

    def __init__(self) -> None:
        self._states: dict[Path, tuple[int, ...]] = {}

    def note(self, path: Path) -> None:
        self._states[path] = _state(path)

    def changed(self) -> bool:
        return any(_state(path) != state for path, state in self._states.items())


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
