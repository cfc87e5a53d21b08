"""The dashboards as they are in the repository, what their queries say, and a Prometheus with a history."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser as promql
import pytest
import requests
import yaml

from grafana import history, tsdb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Json = dict[str, Any]

FOLDER = Path(history.__file__).parent
BOARDS = ("fleet", "instance", "cost", "serverless", "exporter")
STEP = 60.0
HOURS = 1.0
#: What Grafana puts for its own variables, with an hour in 60 points.
BUILT_IN = {
    "__rate_interval": "4m",
    "__range": "3600s",
    "__interval_ms": "60000",
    "__interval": "60s",
}
#: A variable of Grafana's, with its format if it has one.
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::(\w+))?\})")
OF_BOARDS = ("account", "label", "gpu_name")
EVERYTHING = "(?s:.*)"


def filled_in(value: str | list[str], form: str | None) -> str:
    """Return a chosen value as Grafana writes it into a query; text is what one value gives, a list many.

    Format `regex` is lodash's escapeRegExp, and an alternation of several. Without a format the value of a
    variable of one choice is written with backslashes doubled and quotes escaped.
    """
    if form == "regex":
        escaped = [
            re.sub(r"[\\^$.*+?()[\]{}|]", r"\\\g<0>", each)
            for each in ([value] if isinstance(value, str) else value)
        ]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
    assert form is None, f"no query uses the format {form}"
    assert isinstance(value, str), "only one value can be chosen"
    return value.replace("\\", "\\\\").replace('"', '\\"')


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a dashboard: of a panel, a variable or an annotation."""

    board: str
    place: str
    expression: str
    instant: bool = True

    def __str__(self) -> str:
        return f"{self.board}: {self.place}"

    def resolve(self, **chosen: str | list[str]) -> str:
        """Return it as Grafana would send it, with All for every variable that is not given."""

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            if name in BUILT_IN:
                return BUILT_IN[name]
            if name in chosen:
                return filled_in(chosen[name], match[3])
            if name == "instance":
                return "101"
            # What is no variable, such as the $1 of label_replace, stays as it is.
            return EVERYTHING if name in OF_BOARDS else match[0]

        return VARIABLE.sub(value, self.expression)

    def parse(self) -> promql.Expr:
        """Return its syntax tree."""
        return promql.parse(self.resolve())


class Dashboard:
    """A dashboard's JSON, and short ways to what it holds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.json: Json = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        self.panels: list[Json] = [panel for panel in self.json["panels"] if panel["type"] != "row"]
        self.variables: list[Json] = self.json["templating"]["list"]

    @property
    def queries(self) -> list[Query]:
        """Every query of every panel."""
        return [
            Query(
                self.name,
                f"{panel['title']} {target['refId']}",
                target["expr"],
                instant=target.get("instant", False),
            )
            for panel in self.panels
            for target in panel["targets"]
        ]

    @property
    def other_queries(self) -> list[Query]:
        """The selectors of variables, and what annotations ask for."""
        asked = [(variable["name"], variable["query"]["query"]) for variable in self.variables[1:]]
        return [
            *(Query(self.name, f"variable {name}", _selector(query)) for name, query in asked),
            *(
                Query(self.name, f"annotation {annotation['name']}", annotation["expr"], instant=False)
                for annotation in self.json["annotations"]["list"]
            ),
        ]


def _selector(query: str) -> str:
    """Return what a variable asks Prometheus for."""
    found = re.fullmatch(r"label_values\((.*), *\w+\)|query_result\((.*)\)", query)
    assert found, query
    return found[1] or found[2]


@pytest.fixture(scope="session", params=BOARDS)
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    """Each dashboard."""
    return Dashboard(request.param)


@pytest.fixture(scope="session")
def dashboards() -> list[Dashboard]:
    """All dashboards."""
    return [Dashboard(name) for name in BOARDS]


class Prometheus:
    """Answers queries about a history."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: Query, **chosen: str | list[str]) -> list[Json]:
        """Return the result of a query at the history's end, or over the whole of it."""
        if "$instance" in query.expression and "instance" not in chosen:
            chosen["instance"] = self.first_instance()
        expression = query.resolve(**chosen)
        if query.instant:
            return self.now(expression)
        times = {"start": history.END - HOURS * history.HOUR, "end": history.END, "step": STEP}
        return self._get("query_range", {"query": expression, **times})

    def verdict(self, dashboard: Dashboard, query: Query | None = None, **chosen: str | list[str]) -> str:
        """Return the word that a dashboard's first panel shows, or would show of another query."""
        (series,) = self.ask(query or dashboard.queries[0], **chosen)
        (mapping,) = dashboard.panels[0]["fieldConfig"]["defaults"]["mappings"]
        return str(mapping["options"][series["value"][1]]["text"])

    def first_instance(self) -> str:
        """Return the instance that the dashboard Instance shows where none is chosen."""
        (variable,) = [
            query for query in Dashboard("instance").other_queries if query.place == "variable instance"
        ]
        return str(self.now(variable.resolve())[0]["metric"]["instance_id"])

    def now(self, expression: str) -> list[Json]:
        """Return the result of an instant query at the history's end."""
        return self._get("query", {"query": expression, "time": history.END})

    def _get(self, path: str, params: Mapping[str, Any]) -> list[Json]:
        reply = requests.post(f"{self._url}/api/v1/{path}", data=params, timeout=60).json()
        assert reply["status"] == "success", f"{reply.get('error')}\n{params['query']}"
        result: list[Json] = reply["data"]["result"]
        return result


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of a fleet with incidents, failures of the API, and a label that changes near the end."""
    path: Path = tmp_path_factory.mktemp("history")
    history.write(path, history.Plan(instances=48, hours=HOURS, step=STEP))
    return path


@pytest.fixture
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """Serves the history."""
    with tsdb.served(folder, STEP) as url:
        yield Prometheus(url)


@pytest.fixture(scope="session")
def rules() -> list[Json]:
    """Every rule, recording and alerting."""
    files = [history.RULES, history.RULES.with_name("alerts.rules.yml")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
def slow_to_forget(folder: Path) -> Iterator[Prometheus]:
    """Serves the history as after a restart: what is gone is still seen for five minutes."""
    with tsdb.served(folder, 301) as url:
        yield Prometheus(url)
