"""Read YAML settings strictly: no duplicate keys, no guessing, and errors with their position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from exporter.config.mistakes import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

#: Maximum nesting of lists and mappings; no setting needs more than five levels.
DEEPEST = 32
_TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_KEY_TAGS = (_TEXT, "tag:yaml.org,2002:merge")
#: Tags that YAML gives to some plain keys. Every key here is text, so `yes` and `1` mean what is written.
_LOOKS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp"))


class _Loader(yaml.SafeLoader):
    """YAML loader with unique text keys (PyYAML takes the last duplicate), and with positions in errors."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        self._depth += 1
        if self._depth > DEEPEST:  # well below Python's recursion limit, near which anything may fail
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "nested too deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - as in the base class
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag in _LOOKS:
                key.tag = _TEXT
            if key.tag not in _KEY_TAGS:
                raise yaml.composer.ComposerError(None, None, "a key must be text", key.start_mark)
            if key.value in seen:
                problem = f"duplicate key {key.value!r}"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, TypeError):
            # PyYAML lets these through for a date such as 2020-13-45, for "!!bool maybe", and the like.
            problem = "not a valid number, date or tagged value; quotes make it text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _loaded(text: str, texts: Sequence[str]) -> Any:  # noqa: ANN401 - anything that the file contains
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        if texts:
            _take_as_written(root, texts)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _take_as_written(node: yaml.Node, way: Sequence[str]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if way and key.value == way[0]:
            _take_as_written(value, way[1:])
        elif not way and isinstance(value, yaml.ScalarNode):
            value.value = "" if value.tag == _NULL else value.value
            value.tag = _TEXT


def read_yaml(path: Path, keys: Iterable[str], texts: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings in a file; an empty file has none.

    Args:
        path: path of the file.
        keys: allowed top-level keys, for the error message.
        texts: path to a mapping whose keys and values are all taken as text, as written.

    Raises:
        ConfigError: the file cannot be read, or is not a mapping.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: can't be read: not UTF-8 text"]) from None
    try:
        settings = _loaded(text, texts)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([f"{path}: {where}{error.problem or 'not valid YAML'}"]) from None
    except yaml.YAMLError:
        raise ConfigError([f"{path}: not valid YAML: contains a control character"]) from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError([f"{path}: expected keys and values: {', '.join(keys)}"])
    return settings
