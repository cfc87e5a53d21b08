"""What every rule does, as promtool sees it: alerts.yml and recording.yml say what is expected.

An alert fires when it should and not a step earlier, and stays silent otherwise.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    PromtoolTest = Callable[[list[tuple[str, list[dict[str, Any]]]]], dict[str, str]]
    Labels = dict[str, str]
    Series = dict[str, object]

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
ALERTS = yaml.safe_load((HERE / "alerts.yml").read_text())
RECORDS = yaml.safe_load((HERE / "recording.yml").read_text())["cases"]
#: Labels that a metric has by the beginning of its name; of the exporter itself there is one.
BY_NAME = {
    "vastai_instance_": ("account", "instance_id"),
    "vastai_endpoint_": ("account", "endpoint_id"),
    "vastai_price_increase_": ("account", "instance_id"),
    "vastai_market_saving_": ("account", "instance_id"),
    "vastai_market_": (),
    "vastai_exporter_": (),
    "vastai_": ("account",),
}
#: Metrics of which an object has several, each of which is given alone.
COUNTED = {"vastai_instances", "vastai_endpoint_workers"}
#: Of an alert: a healthy one, and one without data.
MOST_BASIC_VARIANTS = 2
#: Alerts that are about missing data, or whose data is history that a variant cuts off.
WITHOUT_DATA = {"VastaiExporterAbsent", "VastaiReliabilityFalling"}
#: For how long nothing may fire in a quiet world.
QUIET = "120m"
USUAL = {"account": "research", "instance_id": "1", "endpoint_id": "7"}
#: Labels by which one object is told from another; all others are what is said of it.
IDENTITY = (
    "account",
    "instance_id",
    "endpoint_id",
    "collector",
    "reason",
    "field",
    "code",
    "type",
    "job",
    "instance",
)
AREA_LABELS = {
    "instance": {"account": "research", "instance_id": "1"},
    "endpoint": {"account": "research", "endpoint_id": "7"},
    "account": {"account": "research"},
}
FIRES = "fires with these labels and annotations, and not a step earlier"
LABEL = re.compile(r'(\w+)="([^"]*)"')


def minutes(duration: str) -> int:
    assert duration.endswith("m")
    return int(duration.removesuffix("m"))


def parsed(series: str) -> tuple[str, Labels]:
    """Return name and labels, with the usual account and instance where the metric has these labels."""
    name = series.partition("{")[0]
    own = next((labels for begin, labels in BY_NAME.items() if name.startswith(begin)), ())
    usual = {label: USUAL[label] for label in own}
    return name, usual | dict(LABEL.findall(series))


def written(name: str, labels: Labels) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inside}}}"


def is_of(series: str, name: str, labels: Labels) -> bool:
    """Whether a series is one of this metric and this object."""
    own, owned = parsed(series)
    return own == name and all(owned.get(label) == labels[label] for label in IDENTITY if label in labels)


def changed(world: Series, change: Mapping[str, Any]) -> Series:
    """Return the world after a change: `gone` leaves it, `given` replaces what is of the same object."""
    world = dict(world)
    for gone in change.get("gone", ()):
        name, labels = parsed(gone)
        said = dict(LABEL.findall(gone))
        world = {
            series: value
            for series, value in world.items()
            if not (is_of(series, name, labels) and said.items() <= parsed(series)[1].items())
        }
    given = {written(*parsed(series)): value for series, value in change.get("given", {}).items()}
    replaced = [parsed(series) for series in given]
    replaced = [(name, labels) for name, labels in replaced if name not in COUNTED]
    kept = {
        series: value
        for series, value in world.items()
        if not any(is_of(series, *other) for other in replaced)
    }
    return kept | given


HEALTHY = changed({}, {"given": ALERTS["healthy"]})


def values(value: object, step: int, number: int) -> str:
    """Return a value in promtool's notation."""
    if value == "now":
        return f"0+{60 * step}x{number}"
    if isinstance(value, int | float):
        return f"{value}x{number}"
    text = str(value)
    if text.startswith("again "):
        return " ".join([text.removeprefix("again ")] * number)
    return re.sub(r"xN\b", f"x{number}", text) if re.search("[x_ ]", text) else f"{text}x{number}"


def title(case: Mapping[str, Any]) -> str:
    what = case["record"] if "record" in case else f"{case['alert']} {case['severity']}"
    return what + (f", {case['name']}" if "name" in case else "")


def inputs(world: Series, step: int, until: int) -> dict[str, Any]:
    series = [
        {"series": key, "values": values(value, step, until // step + 1)} for key, value in world.items()
    ]
    return {"interval": f"{step}m", "input_series": series}


def dashboard(labels: Labels, area: str) -> str:
    account = labels.get("account", "$__all")
    query = {
        "instance": f"vastai-instance?var-account={account}&var-instance={labels.get('instance_id')}",
        "endpoint": f"vastai-serverless?var-account={account}",
        "account": f"vastai-cost?var-account={account}",
    }.get(area, f"vastai-exporter?var-account={account}")
    return f"/d/{query}"


def expected(case: Mapping[str, Any], area: str) -> list[dict[str, Any]]:
    """Return what promtool has to find: the alert, and others of the same name that fire by then."""
    labels = case.get("labels") or AREA_LABELS[area]
    annotations = {
        "summary": case["fires"]["summary"],
        "description": case["fires"]["description"],
        "runbook_url": f"docs/runbooks/{case['alert']}.md",
        "dashboard_url": dashboard(labels, area),
    }
    return [
        {"exp_labels": {**labels, "severity": severity, "area": area}, "exp_annotations": annotations}
        for severity in (case["severity"], *case["fires"].get("also", ()))
    ]


def groups(case: Mapping[str, Any], areas: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the case that fires and its variants that don't, as promtool wants them."""
    step, at = minutes(case.get("step", "1m")), minutes(case["fires"]["at"])
    world = changed(changed(HEALTHY, {"gone": case.get("gone", ())}), {"given": case.get("given", {})})
    firing = {
        "eval_time": f"{at}m",
        "alertname": case["alert"],
        "exp_alerts": expected(case, areas[case["alert"]]),
    }
    fires = {
        "name": f"{title(case)}: {FIRES}",
        **inputs(world, step, at),
        "alert_rule_test": [firing],
        "promql_expr_test": [silence(case, at - step, FIRES)],
    }
    yield fires
    silent = {name: changed(world, change) for name, change in case.get("silent", {}).items()}
    if areas[case["alert"]] == "exporter":
        # These are about what all accounts have in common.
        for name, variant in silent.items():
            checks = [silence(case, at, name)]
            yield {"name": f"{title(case)}: {name}", **inputs(variant, step, at), "promql_expr_test": checks}
    elif silent:
        yield together(case, silent, step, at)


def together(case: Mapping[str, Any], silent: Mapping[str, Series], step: int, at: int) -> dict[str, Any]:
    """Return all variants in one world, with accounts of its own for each: that takes a third of the time."""
    world: Series = {}
    checks = []
    for number, (name, variant) in enumerate(silent.items()):
        own = rf'account="\1 {number}"'
        world |= {re.sub(r'\baccount="(\w+)"', own, key): value for key, value in variant.items()}
        checks.append(silence(case, at, name, f"account=~`.* {number}`"))
    return {"name": f"{title(case)}: all variants", **inputs(world, step, at), "promql_expr_test": checks}


def silence(case: Mapping[str, Any], moment: int, name: str, *more: str) -> dict[str, Any]:
    """Return a check that the alert does not fire in the case's severity, whatever it does in others."""
    labels = (f'alertname="{case["alert"]}"', f'severity="{case["severity"]}"', 'alertstate="firing"', *more)
    expression = f"ALERTS{{{','.join(labels)}}}"
    return {"expr": said(expression, f"{title(case)}: {name}"), "eval_time": f"{moment}m", "exp_samples": []}


def said(expression: str, name: str) -> str:
    """Return an expression with a name behind it: promtool says of those that fail nothing else."""
    return f"{expression} # {name}"


@pytest.fixture(scope="module")
def failed(alerts: list[dict[str, Any]], promtool_test: PromtoolTest) -> dict[str, str]:
    """Run all of alerts.yml; return what promtool says of each case that failed."""
    areas = {alert["alert"]: alert["labels"]["area"] for alert in alerts}
    return promtool_test([(case.get("step", "1m"), [*groups(case, areas)]) for case in ALERTS["cases"]])


@pytest.mark.parametrize(
    "name",
    [f"{title(case)}: {name}" for case in ALERTS["cases"] for name in (FIRES, *case.get("silent", {}))],
    ids=str,
)
def test_alert(name: str, failed: dict[str, str]) -> None:
    assert name not in failed, failed[name]


def test_nothing_fires_in_a_quiet_world(promtool_test: PromtoolTest) -> None:
    sets = []
    for name, change in ALERTS["quiet"].items():
        until = change.get("until", QUIET)
        ever = f'max by (alertname) (last_over_time(ALERTS{{alertstate="firing"}}[{until}]))'
        world = changed(HEALTHY, change)
        if "restart" in change:
            world = {series: restarted(value, change["restart"]) for series, value in world.items()}
        check = {"expr": said(ever, name), "eval_time": until, "exp_samples": []}
        test = {"name": name, **inputs(world, 1, minutes(until)), "promql_expr_test": [check]}
        sets.append((change.get("step", "2m"), [test]))
    assert promtool_test(sets) == {}


def restarted(value: object, minute: int) -> object:
    """Return a value that is missing for three minutes from `minute` on."""
    return value if isinstance(value, str) else f"{value}x{minute - 1} stale _x2 {value}xN"


@pytest.fixture(scope="module")
def wrong_records(promtool_test: PromtoolTest) -> dict[str, str]:
    """Run all of recording.yml; return what promtool says of each case that failed."""
    sets = []
    for case in RECORDS:
        at, step = case.get("at", "10m"), case.get("step", "1m")
        own = "" if "query" in case else case["record"]
        samples = [{"labels": own + labels, "value": value} for labels, value in case["expect"].items()]
        query = said(case.get("query", case["record"]), title(case))
        check = {"expr": query, "eval_time": at, "exp_samples": samples}
        world = changed({}, {"given": case["given"]})
        test = {"name": title(case), **inputs(world, 1, minutes(at)), "promql_expr_test": [check]}
        sets.append((step, [test]))
    return promtool_test(sets)


@pytest.mark.parametrize("name", [title(case) for case in RECORDS], ids=str)
def test_record(name: str, wrong_records: dict[str, str]) -> None:
    assert name not in wrong_records, wrong_records[name]


def test_every_rule_has_cases(rules: list[dict[str, Any]]) -> None:
    records = {rule["record"] for rule in rules if "record" in rule}
    alerts = {(rule["alert"], rule["labels"]["severity"]) for rule in rules if "alert" in rule}
    assert {case["record"] for case in RECORDS} == records
    assert {(case["alert"], case["severity"]) for case in ALERTS["cases"]} == alerts


def test_every_alert_has_variants_just_below_and_without_data() -> None:
    silent: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for case in ALERTS["cases"]:
        silent[case["alert"], case["severity"]].update(case.get("silent", {}))
    for rule, variants in silent.items():
        assert len(variants) >= MOST_BASIC_VARIANTS, rule
        assert rule[0] in WITHOUT_DATA or any("gone" in variant for variant in variants.values()), rule
