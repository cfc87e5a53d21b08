"""The program on real sockets: accounts of their own, keys that change, no secrets, a real Prometheus."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.simulator import INSTANCES, SimulatedVast, json_reply
from tests.support.program import COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.program import Program, Start, Write

AUTH = 'vastai_collector_failures_total{account="%s",collector="instances",reason="auth"}'


def metrics(program: Program) -> str:
    return requests.get(f"{program.url()}/metrics", timeout=30).text


def value(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, series
    return float(found[1])


def test_a_revoked_key_hurts_its_own_account_only_and_a_new_one_is_used_at_once(
    start: Start, write: Write, vast: SimulatedVast
) -> None:
    vast.add_account("batch", "batch-key-1", size=30, seed=2)
    vast.revoke("batch")
    research, batch = write(vast.key, "research"), write("batch-key-1\n", "batch")
    path = write(
        {
            "api": {"url": vast.url, "min_interval": "0s"},
            "accounts": [
                {"name": "research", "api_key_file": research.name},
                {"name": "batch", "api_key_file": batch.name},
            ],
            "collectors": {"instances": {"interval": "1h", "stale_after": "2h"}},
            "web": {"listen_address": "127.0.0.1:0"},
        }
    )
    program = start("--config.file", str(path))
    program.line("account=research collector=instances outcome=success")
    program.line("account=batch collector=instances outcome=failure .*reason=auth")
    text = metrics(program)
    assert value(text, 'vastai_api_instances{account="research"}') == 60
    assert 'vastai_instances{account="batch"' not in text
    assert value(text, AUTH % "batch") == 1
    assert value(text, AUTH % "research") == 0
    assert requests.get(f"{program.url()}/-/healthy", timeout=30).status_code == 200

    vast.rotate("batch-key-2", "batch")
    batch.write_text("batch-key-2\n")
    program.line("msg=recovered account=batch collector=instances")
    text = metrics(program)
    assert value(text, 'vastai_api_instances{account="batch"}') == 30
    assert value(text, 'vastai_collector_success{account="batch",collector="instances"}') == 1
    assert value(text, AUTH % "batch") == 1
    assert "batch-key" not in program.errors + text


def test_a_key_that_the_api_says_back_is_not_passed_on(
    start: Start, vast: SimulatedVast, write: Write, settings: dict[str, object]
) -> None:
    vast.faults.always(INSTANCES, json_reply({"error": "bad", "msg": f"what is {vast.key}?x=1"}, 400))
    program = start("--config.file", str(write(settings)), "--log.level", "debug")
    program.line("collector=instances outcome=failure")
    page = requests.get(program.url(), timeout=30).text
    assert "HTTP 400 (bad" in page
    assert vast.key not in page + program.errors


def test_it_may_have_as_many_sockets_as_the_system_allows(
    start: Start, settings: Mapping[str, object], write: Write
) -> None:
    command = ("sh", "-c", 'ulimit -Sn 64; ulimit -Hn 512; exec "$@"', "sh", *COMMAND)
    program = start("--config.file", str(write(settings)), command=command)
    program.url()
    limits = Path(f"/proc/{program.process.pid}/limits").read_text()
    assert re.search(r"^Max open files +512 +512 ", limits, re.MULTILINE)


# A real Prometheus


@pytest.mark.peers
def test_prometheus_gets_what_the_demo_shows(
    start: Start, prometheus: Callable[[str], str], eventually: Callable[[Callable[[], object]], None]
) -> None:
    demo = start("demo", "--web.listen-address", "127.0.0.1:0", "--instances", "40", "--speed", "0")
    url = prometheus(demo.url().removeprefix("http://"))

    def query(expression: str) -> list[dict[str, str]]:
        """Return labels and values of a vector."""
        answer = requests.get(f"{url}/api/v1/query", params={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", answer
        return [{**one["metric"], "value": one["value"][1]} for one in answer["data"]["result"]]

    # On a busy machine a scrape may come too late, and for as long there is nothing.
    price = "vastai_instance_dph_total_dollars_per_hour * on (account, instance_id) group_left (gpu_name)"
    for expression in (
        "up == 1",
        "sum(vastai_instances) == 40",
        "count(vastai_instance_num_gpus) == 40",
        'vastai_collector_success{collector="account"} == 1',
        f'count({price} vastai_instance_info{{gpu_name!=""}} > 0) == 40',
    ):
        eventually(partial(query, expression))
