"""Log to standard error as logfmt or JSON lines, without secrets.

A message is a constant phrase; variable data goes into `extra={"fields": {...}}`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing import Protocol

    class Sink(Protocol):
        """Destination of log lines."""

        def write(self, text: str, /) -> object:
            """Write text."""

        def flush(self) -> object:
            """Flush the stream."""


_log = logging.getLogger(__name__)

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
#: Every line is searched for each secret. Keys are learnt before each request, so those in use are the
#: latest.
MOST_SECRETS = 1_000
_QUERY = re.compile(r"(/[^\s?\"'\\]*)\?[^\s\"'\\]+")
#: A value that is safe to log.
Shown = str | int | float | bool | None
_BARE = re.compile(r"[^\s\"=\\]+")


class Redactor:
    """Removes known secrets, and the query of every URL, from texts.

    Args:
        most: maximum number of known secrets; one more evicts the one least recently learnt.

    """

    def __init__(self, *, most: int = MOST_SECRETS) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._learnt: dict[str, None] = {}  # most recent last
        self._secrets: tuple[str, ...] = ()

    def learn(self, secret: str) -> None:
        """Redact `secret` from now on."""
        if not secret:
            return
        with self._lock:
            is_new = secret not in self._learnt
            self._learnt.pop(secret, None)
            self._learnt[secret] = None
            if is_new:
                for old in list(self._learnt)[: -self._most]:
                    del self._learnt[old]
                # Longest first, so that a secret that is a prefix of another does not leave its rest.
                self._secrets = tuple(sorted(self._learnt, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return `text` without secrets and queries."""
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
        return _QUERY.sub(r"\1?<query>", text)


class Formatter(logging.Formatter):
    """Formats a record as one line: time, level, message, its fields, and any traceback."""

    def __init__(self, form: Literal["logfmt", "json"], redact: Redactor) -> None:
        super().__init__()
        self._form = form
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, object] = {
            "ts": time.replace("+00:00", "Z"),
            "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        # Before quoting, which could hide a secret behind backslashes.
        shown = {name: self._shown(value) for name, value in fields.items()}
        if self._form == "json":
            return _json(shown)
        return " ".join(f"{name}={_logfmt(value)}" for name, value in shown.items())

    def _shown(self, value: object) -> Shown:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float) and isfinite(value):
            return float(f"{value:.6g}")
        return self._redact(str(value))


def _logfmt(value: Shown) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value) and value.isprintable():
        return value
    return _json(value)


def _json(value: object) -> str:
    """Return JSON on one line; emoji stay, terminal control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def set_up(level: str, form: Literal["logfmt", "json"], redact: Redactor, stream: Sink) -> None:
    """Send all logs to `stream`; may be called again with other settings."""
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(form, redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    # urllib3 logs each request with its query, which must not be logged. uvicorn.error logs every bad
    # request, with which a stranger could fill the disk.
    for name in ("urllib3", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Our own logs say more than its INFO messages.
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, LEVELS[level]))


def log_uncaught() -> None:
    """Log uncaught exceptions in all threads instead of printing them unredacted."""

    def log(thread: str, error: BaseException | None) -> None:
        _log.error("unexpected error", exc_info=error, extra={"fields": {"thread": thread}})

    sys.excepthook = lambda _kind, error, _trace: log("main", error)
    sys.unraisablehook = lambda args: log(threading.current_thread().name, args.exc_value)
    threading.excepthook = lambda args: log(args.thread.name if args.thread else "", args.exc_value)
