"""Describe errors in a configuration file: what is wrong, where, and what is allowed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    Location = tuple[int | str, ...]

_LONGEST_GIVEN = 80
_LARGEST_GIVEN = 10**20
#: Form of Vast.ai's keys and bcrypt's hashes; even misplaced ones must not be printed.
_LIKE_A_SECRET = re.compile(r"[0-9a-fA-F]{32,}|\$2[a-z]\$[0-9]{2}\$[./A-Za-z0-9]*")
#: Form of a misspelt key next to secrets; anything else may be a secret.
_LIKE_A_NAME = re.compile(r"[A-Za-z_-]{1,30}")
#: Expected values in plain words, by pydantic's error type.
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "int_type": "a whole number",
    "string_pattern_mismatch": "1 to 64 characters without line breaks",
    "string_type": "text; put a number in quotes",
    "tuple_type": "a list, each item with name and a key",
}


class ConfigError(Exception):
    """An invalid configuration: one line per mistake, none with a secret."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(
            "".join(c if c.isprintable() else " " for c in _LIKE_A_SECRET.sub("<secret>", line))
            for line in lines
        )
        super().__init__("\n".join(self.lines))


class Mistakes:
    """Describes pydantic's validation errors for `model`.

    Args:
        model: model of all settings.
        secret: returns whether the value at a location may be a secret that must not be shown.

    """

    def __init__(self, model: type[BaseModel], *, secret: Callable[[Location], bool]) -> None:
        self._model = model
        self._secret = secret

    def lines(self, error: ValidationError, place: Callable[[str], str]) -> list[str]:
        """Return a line for each mistake; `place` describes a location such as `accounts[0].name`."""
        return [
            f"{place(self._dotted(detail['loc']))}: {self._complaint(detail)}" for detail in error.errors()
        ]

    def keys_at(self, location: Sequence[int | str]) -> list[str]:
        """Return the keys allowed at a location; none if there is no model."""
        model: type[BaseModel] | None = self._model
        for step in location:
            if isinstance(step, str):
                field = model.model_fields.get(step) if model is not None else None
                model = _model_in(field.annotation) if field is not None else None
        return list(model.model_fields) if model is not None else []

    def _dotted(self, location: Location) -> str:
        text = ""
        for depth, step in enumerate(location):
            if isinstance(step, int):
                text += f"[{step}]"
            elif not self._secret(location[: depth + 1]) or _LIKE_A_NAME.fullmatch(step):
                text += f".{step}"
        return text.lstrip(".")

    def _complaint(self, detail: ErrorDetails) -> str:
        kind, location = detail["type"], detail["loc"]
        if kind == "extra_forbidden":
            return f"unknown key; allowed: {', '.join(self.keys_at(location[:-1]))}"
        if kind == "missing":
            return "missing; a value is required"
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        message = _EXPECTED.get(kind, message)
        if kind == "value_error" and self.keys_at(location):
            return message  # a check of several keys includes the values itself
        if kind == "model_type":
            message = f"keys and values: {', '.join(self.keys_at(location))}"
        if kind == "tuple_type" and not self.keys_at(location):
            message = "a list"
        given = "" if self._secret(location) else _given(detail["input"])
        return f"{given}expected {message[:1].lower()}{message[1:]}"


def _given(value: object) -> str:
    if isinstance(value, str) and len(value) <= _LONGEST_GIVEN and "@" not in value:
        return f"{value!r}: "  # no URL with a password, and no name that swallowed the key below it
    if value is None or (isinstance(value, int | float) and abs(value) < _LARGEST_GIVEN):
        return f"{json.dumps(value)}: "
    return ""


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type expression
    """Return the model in an annotation such as `tuple[Account, ...]` or `Tls | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
