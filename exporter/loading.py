"""From file, environment and flags to one valid configuration, or to a line for each mistake."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from exporter.config import Account, Config
from exporter.keys import Key
from exporter.shards import owner
from exporter.vast.errors import AuthError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

#: What can be set by a flag: the key's path in the file, and the flag.
FLAGS = {
    "web.listen_address": "--web.listen-address",
    "web.telemetry_path": "--web.telemetry-path",
    "web.config_file": "--web.config.file",
    "log.level": "--log.level",
    "log.format": "--log.format",
}
#: The account that the environment or the vendor's key file gives.
DEFAULT_ACCOUNT = "default"
_LONGEST_GIVEN = 80
#: Vast.ai's keys look like this; in a wrong place of the file one is still not for the terminal.
_LIKE_A_KEY = re.compile(r"[0-9a-fA-F]{32,}")
#: What a misspelt key of an account may look like; anything else may be a secret.
_LIKE_A_NAME = re.compile(r"[A-Za-z_-]{1,30}")
#: Where in a location the keys of an account stand.
_ACCOUNT_KEY_DEPTH = 2
_LARGEST_GIVEN = 10**20
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
#: What pydantic calls it, and what the reader of an error should.
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "int_type": "a whole number",
    "string_pattern_mismatch": "1 to 64 characters without line breaks",
    "string_type": "text; quotes make a number one",
    "tuple_type": "a list, each item with name and a key",
}


class ConfigError(Exception):
    """A configuration that can't be used: one line for each mistake, none with a secret."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(
            "".join(c if c.isprintable() else " " for c in _LIKE_A_KEY.sub("<secret>", line))
            for line in lines
        )
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of the accounts is ours: shard `index` of `total`."""

    index: int = 0
    total: int = 1

    def holds(self, account: str) -> bool:
        """Return whether an account is ours."""
        return owner(account, self.total) == self.index


ONLY_SHARD = Shard()


@dataclass(frozen=True, slots=True)
class AccountKey:
    """An account: its label, its key, and which of its instances are asked for."""

    name: str
    key: Key
    select_filters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration.

    Attributes:
        config: with all defaults filled in.
        accounts: with keys that could be read.
        notes: what an operator should be told, a sentence each.

    """

    config: Config
    accounts: tuple[AccountKey, ...]
    notes: tuple[str, ...]


def load(
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, str | None],
    shard: Shard = ONLY_SHARD,
) -> Loaded:
    """Read and check everything. Flags win over the environment, which wins over the file.

    Args:
        path: config.yaml, or None to do without.
        environ: the environment.
        flags: values by path of a key (`FLAGS`); None is a flag that was not given.
        shard: whose accounts are wanted; keys of others are not read.

    Raises:
        ConfigError: it can't be used.

    """
    config = load_config(path, environ, flags)
    if config.accounts:
        ignored = [name for name in ("VAST_API_KEY", "VAST_API_KEY_FILE") if environ.get(name)]
        notes = [f"{name} is ignored: the accounts of {path} are used" for name in ignored]
        return Loaded(config, _accounts(config.accounts, path, environ, shard), tuple(notes))
    accounts = (_default_account(path, environ),) if shard.holds(DEFAULT_ACCOUNT) else ()
    return Loaded(config, accounts, ())


def load_config(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str | None]) -> Config:
    """Read and check everything but the keys; see `load`."""
    settings = _read(path) if path is not None else {}
    origins = {key: FLAGS[key] for key, value in flags.items() if value is not None}
    for key, value in flags.items():
        if value is not None:
            _put(settings, key, value)
    if environ.get("VAST_URL"):
        origins["api.url"] = "VAST_URL"
        _put(settings, "api.url", environ["VAST_URL"])
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(_line(path, origins, detail) for detail in error.errors()) from None
    if config.web.config_file is not None:
        where = origins.get("web.config_file", f"{path}: web.config_file")
        raise ConfigError([f"{where}: this version serves without TLS and users; leave it out"])
    return config


class _Loader(yaml.SafeLoader):
    """YAML whose keys are texts, each there once (PyYAML takes the last), and whose errors say where."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - as the base class
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag not in _KEY_TAGS:
                raise yaml.composer.ComposerError(None, None, "a key has to be text", key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} is there twice"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, TypeError):
            # What PyYAML lets out for a date such as 2020-13-45, for "!!bool maybe", and the like.
            problem = "not the number or date that it looks like or is tagged as; quotes make it text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: can't be read: it is not UTF-8 text"]) from None
    try:
        settings = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([f"{path}: {where}{error.problem or 'not YAML'}"]) from None
    except yaml.YAMLError:
        raise ConfigError([f"{path}: not YAML: it holds a control character"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: not YAML: nested too deep"]) from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError([f"{path}: expected keys and values: {', '.join(Config.model_fields)}"])
    return settings


def _put(settings: dict[str, Any], key: str, value: str) -> None:
    section, _, name = key.partition(".")
    if settings.get(section) is None:
        settings[section] = {}
    if isinstance(settings[section], dict):
        settings[section][name] = value


def _line(path: Path | None, origins: Mapping[str, str], detail: ErrorDetails) -> str:
    location = _dotted(detail["loc"])
    origin = origins.get(location)
    where = (
        origin if origin is not None else ": ".join(filter(None, (str(path or "configuration"), location)))
    )
    return f"{where}: {_complaint(detail)}"


def _dotted(location: Sequence[int | str]) -> str:
    text = ""
    for depth, step in enumerate(location):
        if isinstance(step, int):
            text += f"[{step}]"
        elif location[0] != "accounts" or depth != _ACCOUNT_KEY_DEPTH or _LIKE_A_NAME.fullmatch(step):
            text += f".{step}"
    return text.lstrip(".")


def _complaint(detail: ErrorDetails) -> str:
    kind, location = detail["type"], detail["loc"]
    if kind == "extra_forbidden":
        return f"unknown key; allowed: {', '.join(_keys_at(location[:-1]))}"
    if kind == "missing":
        return "missing; a value is needed"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = _EXPECTED.get(kind, message)
    if kind == "value_error" and _keys_at(location):
        return message  # a check of several keys together says itself what was given
    if kind == "model_type":
        message = f"keys and values: {', '.join(_keys_at(location))}"
    given = _given(location, detail["input"])
    return f"{given}expected {message[:1].lower()}{message[1:]}"


def _given(location: Sequence[int | str], value: object) -> str:
    """Return what was given, unless it might be a key."""
    if location[:1] == ("accounts",) and location[2:3] not in {("name",), ("select_filters",)}:
        return ""
    if isinstance(value, str) and len(value) <= _LONGEST_GIVEN and "@" not in value:
        return f"{value!r}: "  # no URL with a password, and no name that ran into the key below it
    if value is None or (isinstance(value, int | float) and abs(value) < _LARGEST_GIVEN):
        return f"{json.dumps(value)}: "
    return ""


def _keys_at(location: Sequence[int | str]) -> list[str]:
    """Return the keys that are allowed at a place of the file."""
    model: Any = Config
    for step in location:
        if isinstance(step, int):
            model = Account
        elif isinstance(model, type) and issubclass(model, BaseModel) and step in model.model_fields:
            model = model.model_fields[step].annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _accounts(
    accounts: Iterable[Account], source: Path | None, environ: Mapping[str, str], shard: Shard
) -> tuple[AccountKey, ...]:
    found: list[AccountKey] = []
    mistakes: list[str] = []
    folder = source.parent if source is not None else Path()
    for index, account in enumerate(accounts):
        if not shard.holds(account.name):
            continue
        field, key = _key(account, folder, environ)
        if key is None:
            missing = f"the environment variable {account.api_key_env} is not set or empty"
            mistakes.append(f"{source}: accounts[{index}].{field}: {missing}")
            continue
        try:
            key.read()
            found.append(AccountKey(account.name, key, account.select_filters))
        except AuthError as error:
            mistakes.append(f"{source}: accounts[{index}].{field}: {error}")
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(found)


def _key(account: Account, folder: Path, environ: Mapping[str, str]) -> tuple[str, Key | None]:
    """Return the field that names the key, and the key; None for a variable that is not set or empty."""
    if account.api_key is not None:
        return "api_key", Key(value=account.api_key.get_secret_value())
    if account.api_key_file is not None:
        return "api_key_file", Key(path=folder / account.api_key_file)
    value = environ.get(account.api_key_env or "")
    return "api_key_env", Key(value=value) if value else None


def _default_account(path: Path | None, environ: Mapping[str, str]) -> AccountKey:
    """Return the account of a configuration without accounts, as the vendor's own client finds it."""
    value, file = environ.get("VAST_API_KEY"), environ.get("VAST_API_KEY_FILE")
    if value and file:
        raise ConfigError(["VAST_API_KEY and VAST_API_KEY_FILE: both are set, only one of them is allowed"])
    vendor = Path(
        environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/", ".config"), "vastai/vast_api_key"
    )
    if value:
        origin, key = "VAST_API_KEY", Key(value=value)
    elif file:
        origin, key = "VAST_API_KEY_FILE", Key(path=Path(file))
    elif os.access(vendor, os.F_OK):  # Path.exists raises where the home is another user's
        origin, key = str(vendor), Key(path=vendor)
    else:
        missing = f"no account: expected accounts in a file, VAST_API_KEY, VAST_API_KEY_FILE or {vendor}"
        raise ConfigError([missing if path is None else f"{path}: {missing}"])
    try:
        key.read()
    except AuthError as error:
        raise ConfigError([f"{origin}: {error}"]) from None
    return AccountKey(DEFAULT_ACCOUNT, key, {})
