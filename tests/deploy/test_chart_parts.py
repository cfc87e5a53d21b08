"""Parts of the page that monitors of the chart scrape by themselves: their groups, intervals and jobs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.exposition.table import GROUPS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Objects = list[dict[str, Any]]
    Helm = Callable[..., subprocess.CompletedProcess[str]]
    Render = Callable[..., Objects]
    Run = Callable[..., subprocess.CompletedProcess[str]]

PARTS = {"rare": {"groups": ["hardware"], "interval": "4m"}, "use": {"groups": ["use", "money"]}}

both = pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])


def endpoints(objects: Render, monitor: str, **settings: object) -> list[dict[str, Any]]:
    """Return the endpoints of a monitor."""
    rendered = objects({"demo": True, monitor: {"enabled": True, **settings}})
    (spec,) = (item["spec"] for item in rendered if item["kind"].lower() == monitor.lower())
    found: list[dict[str, Any]] = spec.get("endpoints") or spec["podMetricsEndpoints"]
    return found


def job(rules: list[dict[str, Any]], before: str) -> str:
    """Return what relabelling makes of the label job."""
    for rule in rules:
        if rule.get("targetLabel") == "job":
            matched = re.fullmatch(rule.get("regex", "(.*)"), before if "sourceLabels" in rule else "")
            assert matched
            before = matched.expand(rule.get("replacement", "$1").replace("$1", r"\1"))
    return before


@both
def test_without_parts_the_whole_page_is_one_endpoint(objects: Render, monitor: str) -> None:
    (whole,) = endpoints(objects, monitor)
    assert "params" not in whole
    assert "metricRelabelings" not in whole


@both
def test_every_group_is_scraped_once_and_those_that_no_part_names_stay_together(
    objects: Render, monitor: str
) -> None:
    rest, *parts = endpoints(objects, monitor, parts=PARTS, interval="1m")
    assert [(part["params"]["group"], part["interval"]) for part in parts] == [
        (["hardware"], "4m"),
        (["use", "money"], "1m"),
    ]
    assert rest["params"]["group"] == [name for name in GROUPS if name not in {"hardware", "use", "money"}]
    assert rest["interval"] == "1m"
    assert {part["path"] for part in (rest, *parts)} == {"/metrics"}


@both
@pytest.mark.parametrize(
    ("settings", "common"),
    [
        ({}, "vastai-exporter"),
        ({"jobLabel": "app.kubernetes.io/name"}, "of-the-label"),
        ({"relabelings": [{"targetLabel": "job", "replacement": "own"}]}, "own"),
    ],
    ids=str,
)
def test_each_target_has_its_own_job_and_all_samples_have_the_first_ones(
    objects: Render, monitor: str, settings: dict[str, Any], common: str
) -> None:
    found = endpoints(objects, monitor, parts=PARTS, **settings)
    targets = [job(each["relabelings"], "of-the-label") for each in found]
    assert targets == [common, f"{common}-rare", f"{common}-use"]
    samples = [
        job(each.get("metricRelabelings", []), target) for each, target in zip(found, targets, strict=True)
    ]
    assert samples == [common] * 3


@both
def test_each_part_is_scraped_as_the_whole_page_would_be(objects: Render, monitor: str) -> None:
    settings: dict[str, Any] = {
        "basicAuth": {"username": {"name": "vast-scrape", "key": "user"}},
        "scrapeTimeout": "5s",
        "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_info"}],
    }
    for each in endpoints(objects, monitor, parts=PARTS, **settings):
        assert (each["basicAuth"], each["scrapeTimeout"]) == (settings["basicAuth"], "5s")
        assert each["honorLabels"] is True
        assert each["metricRelabelings"][-1] == settings["metricRelabelings"][-1]


@both
def test_prometheus_accepts_the_jobs_that_the_operator_makes_of_parts(
    objects: Render, run: Run, promtool: Path, tmp_path: Path, monitor: str
) -> None:
    def renamed(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", key): value for key, value in rule.items()}
            for rule in rules
        ]

    jobs = [
        {
            "job_name": str(number),
            "scrape_interval": each["interval"],
            "params": each["params"],
            "relabel_configs": renamed(each["relabelings"]),
            "metric_relabel_configs": renamed(each.get("metricRelabelings", [])),
        }
        for number, each in enumerate(endpoints(objects, monitor, parts=PARTS))
    ]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": jobs}))
    checked = run(promtool, "check", "config", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            {"rare": {"groups": ["hardware"]}, "other": {"groups": ["use", "hardware"]}},
            "parts: rare: the group hardware is also in another part",
        ),
        *(
            (
                {"rare": {"groups": ["hardware"], "interval": interval}},
                f"with the interval {interval}, series would have gaps",
            )
            for interval in ("10m", "1h", "4m1ms", "241s", "1d")
        ),
        *(
            ({name: part}, "don't meet the specifications of the schema")
            for name, part in (
                ("own", {"groups": ["exporter"]}),  # whose job the rules name, as that of `up`
                ("typo", {"groups": ["hardwear"]}),
                ("empty", {"groups": []}),
                ("whole", {"interval": "1m"}),
                ("No name", {"groups": ["hardware"]}),
                ("twice", {"groups": ["use", "use"]}),
            )
        ),
    ],
    ids=str,
)
def test_parts_that_would_lose_or_double_series_are_refused(
    helm: Helm, parts: dict[str, Any], told: str
) -> None:
    rendered = helm("template", {"demo": True, "podMonitor": {"enabled": True, "parts": parts}})
    assert rendered.returncode != 0
    assert told in rendered.stderr
