"""The part of the chart's values.schema.json that the configuration's models say."""

from __future__ import annotations

import json
from typing import Any

from exporter.commands.configuration import CONFIG
from generator.markdown import NOTICE

#: Sections of config.yaml for which the chart has values of its own.
_OTHERWISE = ("accounts", "web")
#: What says nothing of what is allowed. A default is in seconds where a duration is in words.
_NEEDLESS = frozenset({"title", "default", "examples"})


def values_schema(present: str) -> str:
    """Return values.schema.json with the schema of the value `config` made anew."""
    schema = json.loads(present)
    whole = CONFIG.model_json_schema()
    models = whole.pop("$defs")
    config = _inlined(whole, models)
    for name in _OTHERWISE:
        del config["properties"][name]
    schema["properties"]["config"] = {"$comment": NOTICE, **config}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _inlined(node: Any, models: dict[str, Any], *, names: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema without references and without what says nothing; `names`: its keys are properties."""
    if isinstance(node, list):
        return [_inlined(item, models) for item in node]
    if not isinstance(node, dict):
        return node
    if not names:
        if "$ref" in node:
            node = models[node["$ref"].rpartition("/")[2]] | node
        node = _without_null(node)
        node = {key: value for key, value in node.items() if key not in _NEEDLESS | {"$ref"}}
    return {
        key: _inlined(value, models, names=key == "properties" and not names) for key, value in node.items()
    }


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the null that stands for a key that is not given."""
    kinds = [kind for kind in node.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return {**node, "anyOf": kinds} if kinds else node
    return {**kinds[0], **{key: value for key, value in node.items() if key != "anyOf"}}
