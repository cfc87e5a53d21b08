"""The web configuration as its files say now: they are looked at with each connection and each request."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.config.mistakes import ConfigError
from exporter.config.web import WebConfig, read_web_config
from exporter.web.tls import files, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """Who gets in: a web configuration, and the TLS context that follows from it."""

    config: WebConfig
    context: ssl.SSLContext | None


def read_access(path: Path, note: Callable[[Path], None] = lambda _: None) -> Access:
    """Read a web configuration file and those that it names.

    Args:
        path: of the web configuration file.
        note: told of each file before it is read.

    Raises:
        ConfigError: it can't be used.

    """
    note(path)
    config = read_web_config(path)
    if config.tls_server_config is None:
        return Access(config, None)
    for file in files(config.tls_server_config, path).values():
        note(file)
    return Access(config, server_context(config.tls_server_config, path))


class LiveAccess:
    """Reads the files again when one of them changes; while they are wrong, the last good stays in force.

    Args:
        path: the web configuration file; None lets everybody in, without TLS.
        on_read: told whether what was read is good, each time that it is read again.

    Raises:
        ConfigError: it can't be used from the beginning.

    """

    def __init__(self, path: Path | None, on_read: Callable[[bool], None] = lambda _: None) -> None:
        self._path = path
        self._on_read = on_read
        self._seen = _Seen()
        self._access = read_access(path, self._seen.note) if path is not None else Access(WebConfig(), None)

    def now(self) -> Access:
        """Return what is in force."""
        if self._path is not None and self._seen.changed():
            self._read_again(self._path)
        return self._access

    @property
    def tls(self) -> ssl.SSLContext | None:
        """A context each of whose connections is made by the newest one; None without TLS."""
        return NewestContext.of(self) if self._access.context is not None else None

    def _read_again(self, path: Path) -> None:
        self._seen = _Seen()
        try:
            access = read_access(path, self._seen.note)
        except ConfigError as error:
            self._refuse(error.lines)
            return
        if (access.context is None) != (self._access.context is None):
            self._refuse([f"{path}: tls_server_config: to begin or end TLS needs a restart"])
            return
        self._access = access
        self._on_read(True)  # noqa: FBT003
        _log.info(
            "the web configuration was read again",
            extra={"fields": {"users": len(access.config.basic_auth_users)}},
        )

    def _refuse(self, mistakes: Sequence[str]) -> None:
        self._on_read(False)  # noqa: FBT003 - the one thing that it says
        for line in mistakes:
            _log.error("the new web configuration is refused", extra={"fields": {"error": line}})


class NewestContext(ssl.SSLContext):
    """Stands for whatever context is the newest, as a server keeps the one that it was started with."""

    _live: LiveAccess

    @classmethod
    def of(cls, live: LiveAccess) -> NewestContext:
        """Return the one of `live`."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._live = live
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:  # noqa: ANN401 - as the base class
        """Begin a connection by the newest context."""
        newest = self._live.now().context
        assert newest is not None  # noqa: S101 - LiveAccess keeps TLS as it began
        return newest.wrap_bio(*args, **kwargs)


class _Seen:
    """Files, and how they looked just before they were read."""

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
