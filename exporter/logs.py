"""Logs on standard error, as logfmt or as JSON lines, with nothing secret in them.

A message is a few constant words; what varies goes into `extra={"fields": {...}}`.
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
        """Where lines go."""

        def write(self, text: str, /) -> object:
            """Take some text."""

        def flush(self) -> object:
            """Pass it on."""


_log = logging.getLogger(__name__)

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
#: Each line is searched for all of them. Keys are learnt before each request, so those in use are the latest.
MOST_SECRETS = 1_000
_QUERY = re.compile(r"(/[^\s?\"'\\]*)\?[^\s\"'\\]+")
#: What a value is when it has become harmless.
Shown = str | int | float | bool | None
_BARE = re.compile(r"[^\s\"=\\]+")


class Redactor:
    """Takes known secrets, and the query of every URL, out of texts.

    Args:
        most: secrets that are known at a time; one more makes it forget the one that was learnt, or learnt
            again, the longest ago.

    """

    def __init__(self, *, most: int = MOST_SECRETS) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._learnt: dict[str, None] = {}  # the latest last
        self._secrets: tuple[str, ...] = ()

    def learn(self, secret: str) -> None:
        """Leave `secret` out from now on."""
        if not secret:
            return
        with self._lock:
            is_new = secret not in self._learnt
            self._learnt.pop(secret, None)
            self._learnt[secret] = None
            if is_new:
                for old in list(self._learnt)[: -self._most]:
                    del self._learnt[old]
                # The longest first: none may leave the rest of another that it begins.
                self._secrets = tuple(sorted(self._learnt, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return `text` without what must not be shown."""
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
        return _QUERY.sub(r"\1?<query>", text)


class Formatter(logging.Formatter):
    """One line a record: time, level, message, the record's own fields, and perhaps a traceback."""

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
        # Before the quoting, which could hide a secret behind its backslashes.
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
    """Return JSON on one line; emoji stay as they are, what a terminal would obey does not."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def set_up(level: str, form: Literal["logfmt", "json"], redact: Redactor, stream: Sink) -> None:
    """Send all logs to `stream`; may be called again with other settings."""
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(form, redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    # The first logs each request with its query, which is for no log; the second each bad request of a
    # stranger, which must not fill a disk.
    for name in ("urllib3", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # What it says at INFO is said better here.
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, LEVELS[level]))


def log_uncaught() -> None:
    """Log what nobody has caught, in any thread, instead of printing it as it is."""

    def log(thread: str, error: BaseException | None) -> None:
        _log.error("unexpected error", exc_info=error, extra={"fields": {"thread": thread}})

    sys.excepthook = lambda _kind, error, _trace: log("main", error)
    sys.unraisablehook = lambda args: log(threading.current_thread().name, args.exc_value)
    threading.excepthook = lambda args: log(args.thread.name if args.thread else "", args.exc_value)
