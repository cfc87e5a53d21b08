"""Text of users comes through every place as it is: metrics, logs, what is said, requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

if TYPE_CHECKING:
    from exporter.simulator import SimulatedVast
    from tests.support.program import Run, Write

TEXTS = {
    "quotes": """say "hi", 'there' `now`""",
    "backslashes": "\\ \\n \\\\",
    "shell and templates": "$HOME ${x} {} {{ .Values }} {0} %s %(name)s %d",
    "URL": "a&b=c#d+e%20f?g/h;i",
    "HTML": "<b>&amp;</b>",
    "emoji": "\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5} \N{SNOWMAN} caf\xe9",
    "blanks": " around ",
    "YAML": "- a: [b, *c, !d]",
}
#: No name of an account, but any label.
LINES = {"lines": "two\nlines\r\n\tand a tab", "controls": "\x00\x1b[2J\x7f\x9b\u2028"}


@pytest.mark.parametrize("text", [*TEXTS.values(), *LINES.values()], ids=[*TEXTS, *LINES])
def test_text_of_users_comes_through_as_it_is(
    text: str, run: Run, write: Write, settings: dict[str, object], vast: SimulatedVast
) -> None:
    name = text if text in TEXTS.values() else "research"
    for index in vast.fleet.roster.ids():
        vast.fleet.override(index, label=text, template_name=text, gpu_name=text)
    account = {"name": name, "api_key_file": str(write(vast.key, "key"))}
    filters = {"label": {"neq": text}, "gpu_name": {"eq": text}}
    config = write(settings | {"accounts": [account], "log": {"format": "json"}})
    output = config.with_name("vastai.prom")
    done = run("once", "--config.file", str(config), "--output", str(output))
    assert done.returncode == 0
    infos = [
        sample.labels
        for family in parse(output.read_bytes().decode())
        for sample in family.samples
        if sample.name == "vastai_instance_info"
    ]
    assert len(infos) == 60
    assert {(info["account"], info["label"], info["template"], info["gpu_name"]) for info in infos} == {
        (name, text, text, text)
    }
    logged = [json.loads(line) for line in done.stderr.split("\n") if line]
    assert {line["account"] for line in logged} == {name}
    checked = run("check-config", str(config))
    assert (checked.returncode, f"\naccounts: {name}\n" in checked.stdout) == (0, True)
    write(settings | {"accounts": [account | {"select_filters": filters}], "log": {"level": "error"}})
    done = run("once", "--config.file", str(config))
    asked = [seen.params for seen in vast.requests if "select_filters" in seen.params]
    assert json.loads(asked[-1]["select_filters"]) == filters
