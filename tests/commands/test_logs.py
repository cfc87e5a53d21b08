"""One line a record, readable by machines, with nothing secret in it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    Form = Literal["logfmt", "json"]

KEY = "k" * 20 + "-secret"
PAIR = re.compile(r'([^ =]+)=("(?:[^"\\]|\\.)*"|[^ "=]*)(?: |$)')


@pytest.fixture(autouse=True)
def usual_logging() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    yield
    root.handlers[:], (sys.excepthook, threading.excepthook) = handlers, hooks
    root.setLevel(level)


def formatter(form: Form) -> logs.Formatter:
    redact = logs.Redactor()
    redact.learn(KEY)
    return logs.Formatter(form, redact)


def record(message: str = "run finished", /, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("exporter", logging.INFO, "x.py", 1, message, (), None)
    made.fields = fields
    return made


def parsed(line: str, form: Form) -> dict[str, object]:
    """Read a line back, as a log collector does."""
    assert len(line.splitlines()) == 1
    if form == "json":
        found = json.loads(line)
        assert isinstance(found, dict)
        return found
    pairs = PAIR.findall(line)
    assert "".join(f"{name}={value} " for name, value in pairs).rstrip(" ") == line.rstrip(" ")
    return {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_line_has_time_level_message_and_fields(form: Form) -> None:
    made = record(account="research", pages=3, seconds=2.25, ok=True, why=None)
    made.created = 1_768_478_400.5
    values = parsed(formatter(form).format(made), form)
    assert {name: str(value).lower() for name, value in values.items()} == {
        "ts": "2026-01-15t12:00:00.500z",
        "level": "info",
        "msg": "run finished",
        "account": "research",
        "pages": "3",
        "seconds": "2.25",
        "ok": "true",
        "why": "none" if form == "json" else "null",
    }


TEXTS = st.text(max_size=30) | st.sampled_from(
    ['"', "\\", "a=b", "two\nlines", "\r", "\u2028", "\x1b[2J", "é😀"]
)


@pytest.mark.parametrize("form", ["logfmt", "json"])
@given(TEXTS, TEXTS)
def test_any_text_comes_back_from_its_one_printable_line(form: Form, message: str, value: str) -> None:
    line = formatter(form).format(record(message, field=value, behind="it"))
    assert line.isprintable()
    values = parsed(line, form)
    assert values["msg"] == logs.Redactor()(message)
    assert values["field"] == logs.Redactor()(value)
    assert values["behind"] == "it"


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_numbers_that_json_has_not_and_objects_are_texts(form: Form) -> None:
    line = formatter(form).format(record(nan=float("nan"), path=ValueError("a b"), listed=[KEY]))
    values = parsed(line, form)
    assert (values["nan"], values["path"], values["listed"]) == ("nan", "a b", "['<secret>']")


def failing() -> None:
    key = KEY
    raise RuntimeError(f"GET https://vast.example/api?api_key=abc&x=1 with Bearer {key}\nand more")


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_traceback_is_one_line_without_the_key_it_holds(form: Form) -> None:
    made = record()
    try:
        failing()
    except RuntimeError:
        made.exc_info = sys.exc_info()
    line = formatter(form).format(made)
    found = str(parsed(line, form)["traceback"])
    assert "in failing\n" in found
    assert "GET https://vast.example/api?<query> with Bearer <secret>\nand more" in found
    assert KEY not in line
    assert "abc" not in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a {KEY} b {KEY}", "a <secret> b <secret>"),
        (f"{KEY}-and-longer", "<secret>"),
        (
            'Max retries: /api/v1/instances/?limit=25&after_token="x',
            'Max retries: /api/v1/instances/?<query>"x',
        ),
        ("https://vast.example?key", "https://vast.example?<query>"),
        ("('/a?b=c', '/d?e')", "('/a?<query>', '/d?<query>')"),
        ("nothing to hide? no", "nothing to hide? no"),
    ],
)
def test_keys_and_queries_are_taken_out_of_texts(text: str, shown: str) -> None:
    redact = logs.Redactor()
    for secret in (KEY, f"{KEY}-and-longer", ""):
        redact.learn(secret)
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_a_level_leaves_out_what_is_below_it(level: str, expected: list[str]) -> None:
    stream = io.StringIO()
    logs.set_up(level, "logfmt", logs.Redactor(), stream)
    logger = logging.getLogger("exporter.somewhere")
    for write in (logger.debug, logger.info, logger.warning, logger.error):
        write("said")
    assert re.findall(r"level=(\w+) msg=said", stream.getvalue()) == expected


@pytest.mark.parametrize("level", ["debug", "error"])
def test_libraries_tell_no_more_than_is_asked_for(level: str) -> None:
    stream = io.StringIO()
    logs.set_up(level, "logfmt", logs.Redactor(), stream)
    logging.getLogger("urllib3.connectionpool").debug('"GET /api?api_key=x HTTP/1.1" 200')
    logging.getLogger("urllib3.connectionpool").warning("Retrying")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    logging.getLogger("asyncio").debug("Using selector")
    assert re.findall('msg="(.*)"', stream.getvalue()) == ["Exception in ASGI application"]


def test_setting_up_again_replaces_what_was_set_up() -> None:
    before, after = io.StringIO(), io.StringIO()
    logs.set_up("info", "logfmt", logs.Redactor(), before)
    logs.set_up("debug", "json", logs.Redactor(), after)
    logging.getLogger("exporter").debug("said")
    assert before.getvalue() == ""
    assert json.loads(after.getvalue())["msg"] == "said"


def test_what_nobody_catches_in_a_thread_is_a_line_in_the_log_too() -> None:
    stream = io.StringIO()
    redact = logs.Redactor()
    redact.learn(KEY)
    logs.set_up("info", "json", redact, stream)
    logs.log_uncaught()
    thread = threading.Thread(target=failing, name="instances research")
    thread.start()
    thread.join()
    try:
        failing()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["thread"] for line in lines] == ["instances research", "main"]
    assert all("in failing" in line["traceback"] for line in lines)
    assert KEY not in stream.getvalue()


def test_of_many_secrets_those_that_were_in_use_last_are_left_out() -> None:
    redact = logs.Redactor(most=2)
    for secret in ("first", "second", "first", "", "third"):
        redact.learn(secret)
    assert redact("first second third") == "<secret> second <secret>"
