"""Logs on standard error, as logfmt or as JSON lines, with nothing secret in them.

A message is a few constant words; what varies goes into `extra={"fields": {...}}`.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing import TextIO

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_QUERY = re.compile(r"(/[^\s?\"'\\]*)\?[^\s\"'\\]*=[^\s\"'\\]*")
_BARE = re.compile(r"[^\s\"=\\]+")


class Redactor:
    """Takes known secrets, and the query of every URL, out of texts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: frozenset[str] = frozenset()

    def learn(self, secret: str) -> None:
        """Leave `secret` out from now on."""
        if secret and secret not in self._secrets:
            with self._lock:
                self._secrets |= {secret}

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
        shown = {name: self._redact(v) if isinstance(v, str) else v for name, v in fields.items()}
        if self._form == "json":
            return json.dumps(shown, ensure_ascii=False, default=str)
        return " ".join(f"{name}={_logfmt(value)}" for name, value in shown.items())


def _logfmt(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def set_up(level: str, form: Literal["logfmt", "json"], redact: Redactor, stream: TextIO) -> None:
    """Send all logs to `stream`; may be called again with other settings."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(form, redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    # It logs each request with its query, which is for no log.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # What they say at INFO is said better here.
    for name in ("asyncio", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
