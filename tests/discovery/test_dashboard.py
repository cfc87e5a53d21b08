"""The dashboard of deploy/discovery: valid, and about nothing that is not recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).parents[2]
BOARD: dict[str, Any] = json.loads((ROOT / "deploy/discovery/work.json").read_text())
SCHEMA = json.loads((ROOT / "tests/grafana/schema/grafana.json").read_text())
RULES = ("deploy/prometheus/recording.rules.yml", "deploy/discovery/recording.rules.yml")


def recorded() -> set[str]:
    groups = [group for file in RULES for group in yaml.safe_load((ROOT / file).read_text())["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"]}


def test_every_panel_is_valid_for_grafana_and_explains_itself() -> None:
    for panel in BOARD["panels"]:
        jsonschema.validate(panel["options"], SCHEMA["options"][panel["type"]])
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        jsonschema.validate(custom, SCHEMA["fieldConfig"].get(panel["type"], {"maxProperties": 0}))
        assert len(panel["description"]) > 10


def test_every_query_is_about_what_is_recorded() -> None:
    queries = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"\b\w+:\w+:\w+\b", query)}
    assert len(queries) >= 9
    assert named <= recorded()


def test_every_query_follows_all_variables() -> None:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            assert {*re.findall(r"\$(\w+)", target["expr"])} == {"account", "label", "gpu_name", "instance"}
