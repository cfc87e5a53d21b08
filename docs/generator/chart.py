"""The generated parts of the chart: parts of values.schema.json, groups of metrics, and rules."""

from __future__ import annotations

import json
import runpy
from typing import TYPE_CHECKING, Any

import yaml

from exporter.commands.configuration import CONFIG
from exporter.exposition.self_metrics import GROUP
from exporter.exposition.table import GROUPS
from generator.markdown import NOTICE

if TYPE_CHECKING:
    from pathlib import Path

#: Sections of config.yaml that have their own values in the chart.
_OTHERWISE = ("accounts", "web")
#: Keys of an account that the chart derives from its secret, and the keys that name the secret.
_KEYS = ("api_key", "api_key_file", "api_key_env")
_SECRET = ("existingSecret", "key")
#: Thresholds that have their own values in the chart: the targets of links.
_BASES = ("runbook_base", "grafana_base")
#: Keys that do not restrict values. Defaults of durations would be in seconds, unlike the values.
_NEEDLESS = frozenset({"title", "default", "examples"})


def values_schema(present: str, thresholds: Path) -> str:
    """Return values.schema.json with renewed parts from other files: configuration, accounts, thresholds."""
    schema = json.loads(present)
    whole = CONFIG.model_json_schema()
    models = whole.pop("$defs")
    config = _inlined(whole, models)
    accounts = config["properties"]["accounts"]["items"]["properties"]
    for name in _OTHERWISE:
        del config["properties"][name]
    properties = schema["properties"]
    properties["config"] = {"$comment": NOTICE, **config}
    account = properties["accounts"]["items"]
    own = {name: account["properties"][name] for name in ("name", *_SECRET)}
    account["properties"] = own | {
        name: found for name, found in accounts.items() if name not in {*own, *_KEYS}
    }
    properties["prometheusRule"]["properties"]["thresholds"] = _thresholds(thresholds)
    part = schema["$defs"]["monitor"]["properties"]["parts"]["additionalProperties"]
    part["properties"]["groups"] = _groups()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def rules(generator: Path, thresholds: Path) -> dict[str, str]:
    """Return the chart's rule files by name: the rules of Prometheus, with %name% for each threshold."""
    places = {name: f"%{name}%" for name in yaml.safe_load(thresholds.read_text(encoding="utf-8"))}
    files: dict[str, str] = runpy.run_path(str(generator))["generate"](places)
    return files


def groups() -> str:
    """Return files/groups.yml, of which a monitor takes what its parts leave."""
    return f"# {NOTICE}\n{yaml.safe_dump([*GROUPS])}"


def _groups() -> dict[str, Any]:
    """Return the schema of a part's groups. `exporter` stays in the job whose `up` the rules read."""
    names = [name for name in GROUPS if name != GROUP]
    return {
        "$comment": NOTICE,
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"enum": names},
    }


def _thresholds(file: Path) -> dict[str, Any]:
    """Return the schema of thresholds; each has the type of its value in the file."""
    kinds = {
        name: {"type": "string" if isinstance(threshold["value"], str) else "number"}
        for name, threshold in yaml.safe_load(file.read_text(encoding="utf-8")).items()
        if name not in _BASES
    }
    return {"$comment": NOTICE, "type": "object", "additionalProperties": False, "properties": kinds}


def _inlined(node: Any, models: dict[str, Any], *, names: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema without references and needless keys; `names`: its keys are properties."""
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
    """Return a schema without the null that means "not set"."""
    kinds = [kind for kind in node.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return {**node, "anyOf": kinds} if kinds else node
    return {**kinds[0], **{key: value for key, value in node.items() if key != "anyOf"}}
