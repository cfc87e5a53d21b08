"""docs/configuration.md and config.example.yaml, from the models of the configuration."""

from __future__ import annotations

import textwrap
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from exporter.collectors import COLLECTORS
from exporter.commands.configuration import CONFIG
from exporter.config.durations import format_duration
from exporter.config.loading import FLAGS
from exporter.config.models import DURATION, ContainerPort
from generator import cli
from generator.collectors import need, sentence
from generator.markdown import NOTICE, code, notice, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_WIDTH = 100
#: The keys of an account that config.example.yaml sets; the others are comments there.
_SHOWN = frozenset({"accounts.name", "accounts.api_key_file"})
#: Defaults that are the same as not being set.
_NOTHING: tuple[object, ...] = (None, {}, ())
_TYPES: dict[object, str] = {
    bool: "true or false",
    int: "number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "text, secret",
    ContainerPort: "port",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the file: where it is, what it says of itself, and the model of the keys below it, if any."""

    path: str
    info: FieldInfo
    model: type[BaseModel] | None
    is_list: bool

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition(".")[2]

    @property
    def meaning(self) -> str:
        """What the model says of it."""
        return " ".join((self.info.description or "").split())

    @property
    def default(self) -> object:
        """What it is without being set; None for nothing."""
        value = self.info.get_default(call_default_factory=True)
        return None if value is PydanticUndefined else value


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """Yield the keys of `model`, not those below them."""
    for name, info in model.model_fields.items():
        kind, _ = _kind(info)
        is_list = get_origin(kind) is tuple
        inner = get_args(kind)[0] if is_list else kind
        is_model = isinstance(inner, type) and issubclass(inner, BaseModel)
        yield Key(prefix + name, info, inner if is_model else None, is_list and is_model)


def example() -> str:
    """Return config.example.yaml."""
    head = [
        f"# {NOTICE}",
        "#",
        "# Every key of the configuration. Except for the account, the values here are the defaults.",
        "# A line with a # and no space after it is a key that is not set: remove the # to set it.",
        "# Durations use Prometheus's format: 500ms, 90s, 5m, 1h30m.",
    ]
    return "\n".join([*head, *_lines(CONFIG)]) + "\n"


def page() -> str:
    """Return docs/configuration.md."""
    sections = [_section(key) for key in keys(CONFIG)]
    variables = "\n".join(
        f"| {code(name)} | the flag {code(flag)} |" for name, flag in cli.variables().items()
    )
    return "\n".join([notice(), "", _BEFORE.replace("@variables@", variables), *sections, _flags()])


def _lines(model: type[BaseModel], prefix: str = "", indent: str = "") -> Iterator[str]:
    for key in keys(model, prefix):
        if not indent:
            yield ""
        if key.model is None:
            yield from _comment(key.meaning, indent)
            yield from _setting(key, indent)
            continue
        yield from _comment(_about(key), indent)
        yield f"{indent}{key.name}:"
        inner = list(_lines(key.model, f"{key.path}.", f"{indent}  "))
        yield from _as_item(inner, f"{indent}  ") if key.is_list else inner


def _as_item(lines: list[str], indent: str) -> Iterator[str]:
    """Yield `lines` as the only item of a list."""
    first = next(index for index, line in enumerate(lines) if not line.strip().startswith("#"))
    yield from lines[:first]
    yield f"{indent}- {lines[first].strip()}"
    yield from (f"  {line}" for line in lines[first + 1 :])


def _comment(text: str, indent: str) -> Iterator[str]:
    start = f"{indent}# "
    plain = text.replace("`", "")
    yield from textwrap.wrap(plain, _WIDTH, initial_indent=start, subsequent_indent=start)


def _setting(key: Key, indent: str) -> Iterator[str]:
    shown = key.default not in _NOTHING
    value = _plain(key) if shown else (key.info.examples or [""])[0]
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    if text.startswith(":"):  # valid without quotes, but a leading colon looks like a mistake
        text = f'"{text}"'
    yield f"{indent}{'' if shown or key.path in _SHOWN else '#'}{key.name}: {text}"


def _about(section: Key) -> str:
    """Return the description of a section."""
    for collector in COLLECTORS:
        if section.path == f"collectors.{collector.name}":
            return " ".join(map(sentence, (collector.about, need(collector))))
    texts = [section.model.__doc__ if section.model else "", section.meaning]
    return " ".join(sentence(text) for text in texts if text)


def _section(key: Key, level: int = 2) -> str:
    words = f"{_about(key)}{' A list; each item has these keys.' if key.is_list else ''}"
    head = f"{'#' * level} {code(key.path)}\n\n{words}\n"
    inner = list(keys(key.model, f"{key.path}.")) if key.model and not key.is_list else []
    if any(each.model for each in inner):
        return "\n".join([head, *(_section(each, level + 1) for each in inner)])
    return f"{head}\n{table(('key', 'type', 'default', 'meaning'), rows(key))}"


def rows(key: Key) -> list[tuple[str, str, str, str]]:
    """Return the table rows of a key and of the keys below it: path, type, default, meaning."""
    return [(code(row.path), _type(row), code(_default(row)), row.meaning) for row in _leaves(key)]


def _leaves(key: Key) -> Iterator[Key]:
    if key.model is None:
        yield key
        return
    for inner in keys(key.model, f"{key.path}{'[]' if key.is_list else ''}."):
        yield from _leaves(inner)


def _type(key: Key) -> str:
    kind, metadata = _kind(key.info)
    if DURATION in metadata:
        return "duration"
    if get_origin(kind) is Literal:
        return _either(kind)
    if get_origin(kind) is dict:
        return "keys and values"
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return f"list of {_either(item) if get_origin(item) is Literal else _TYPES[item]}"
    bounds = {name: getattr(item, name) for item in metadata for name in ("ge", "le") if hasattr(item, name)}
    span = f", {bounds['ge']:,} to {bounds['le']:,}" if {"ge", "le"} <= bounds.keys() else ""
    return _TYPES[kind] + span


def _either(kind: object) -> str:
    return " or ".join(code(value) for value in get_args(kind))


def _default(key: Key) -> str:
    if key.info.is_required() or key.default in _NOTHING:
        return ""
    value = _plain(key)
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(key: Key) -> Any:  # noqa: ANN401 - what YAML can write
    """Return the default as it is written in the file."""
    if isinstance(key.default, float) and DURATION in _kind(key.info)[1]:
        return format_duration(key.default)
    return list(key.default) if isinstance(key.default, tuple) else key.default


def _kind(info: FieldInfo) -> tuple[Any, tuple[Any, ...]]:
    """Return the type of a key's value without None, and its metadata."""
    annotation: Any = info.annotation
    metadata = tuple(info.metadata)
    if get_origin(annotation) in {Union, types.UnionType}:
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    if hasattr(annotation, "__metadata__"):
        return get_args(annotation)[0], (*annotation.__metadata__, *metadata)
    return annotation, metadata


def _flags() -> str:
    rows = [(code(flag), code(path)) for path, flag in FLAGS.items()]
    return f"## Flags\n\n[Commands](cli.md) describes all flags.\n\n{table(('flag', 'key'), rows)}"


_BEFORE = """\
# Configuration

The exporter works without a file. To use one, set `--config.file`; `config.example.yaml` lists every key.
Unknown keys, wrong types and impossible values are errors. The exporter prints one line for each, with the
key's path, the given value and the allowed values, and exits with code 2. `vastai-exporter check-config FILE`
checks a file.

## What wins

1. Flags win over the environment.
2. The environment wins over the file.
3. Accounts are the exception: accounts in the file win over `VAST_API_KEY` and `VAST_API_KEY_FILE`. The log
   then says that these are ignored.

## Environment variables

| variable | meaning |
| --- | --- |
| `VAST_API_KEY` | the key of a single account with the name `default` |
| `VAST_API_KEY_FILE` | a file that contains this key; not together with `VAST_API_KEY` |
| `VAST_URL` | the API's URL; wins over `api.url` |
| the name in an account's `api_key_env` | the key of this account |
@variables@
| `VASTAI_EXPORTER_REVISION` | the commit in `vastai_exporter_build_info`; the image build sets it |
| `XDG_CONFIG_HOME`, `HOME` | the folder in which the vendor's client keeps its key |

If there are neither accounts in the file nor `VAST_API_KEY` or `VAST_API_KEY_FILE`, the exporter uses the key
file of the vendor's client: `$XDG_CONFIG_HOME/vastai/vast_api_key`, or else `~/.config/vastai/vast_api_key`.

The requests to the API also obey `HTTPS_PROXY` and `NO_PROXY`. They trust the system's certificates, or those
in `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE` if one of them is set. `SSL_CERT_FILE` and `SSL_CERT_DIR` set the
location of the system's certificates.

## Durations

Durations use Prometheus's format, whole numbers with units, from large to small, without spaces: `500ms`,
`90s`, `5m`, `1h30m`, `1d`, `0s`. Units are `y`, `w`, `d`, `h`, `m`, `s`, `ms`.

## Keys and files

A key file contains only the key. The exporter ignores spaces and line ends around it. A relative path starts
at the folder of the configuration file. The exporter reads a key file before each request, so it uses a new
key at once, without a restart. After a failed run, it checks the file every second and retries as soon as the
file has changed.

A missing key file or variable affects only its own account. The runs of this account fail with the reason
`auth`, and the log reports it at every start and reload. The exporter uses the key as soon as it exists. If
no account has a key, the exporter exits with code 2. `check-config` exits with code 2 for any missing key.

Two accounts with the same key share its pace.

## Reload

The exporter reloads the configuration file when it changes, and on SIGHUP and POST `/-/reload`. It checks the
file every 2 seconds and applies a change that two checks in a row have seen. It therefore never loads a
half-written file. It follows symbolic links, so it notices changes to Kubernetes volumes. It refuses a
configuration with a mistake and keeps the old one. Accounts that did not change keep their data.

A change of `web` needs a restart, so a reload refuses it. The exporter rereads the file `web.config_file`
when it changes ([web configuration](web-configuration.md)). Variables and flags keep their values from the
start.
"""
