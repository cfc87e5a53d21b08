"""The vendor's own command-line client must not notice that this is not the real thing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.simulator import INSTANCES, USER, ManualClock, SimulatedVast, starts
from exporter.simulator.fleet.instance_row import row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Client = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]


def find_client() -> str:
    """VASTAI_CLI, else on PATH, else where `make setup` puts it."""
    own = ROOT / ".venv-vendor" / "bin" / "vastai"
    found = os.environ.get("VASTAI_CLI") or shutil.which("vastai") or str(own)
    if not Path(found).is_file():
        pytest.fail(f"the vendor's client is not at {found}: `make setup` installs it")
    return found


@pytest.fixture
def vast(clock: ManualClock) -> Iterator[SimulatedVast]:
    with SimulatedVast(size=60, clock=clock, thresholds=False) as served:
        yield served


@pytest.fixture
def client(vast: SimulatedVast, tmp_path: Path) -> Client:
    """Runs the client with a home of its own; it looks for no updates."""
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "VASTAI_NO_UPDATE_CHECK": "1",
        "LANG": "C.UTF-8",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [find_client(), *arguments, "--raw", "--url", vast.url, "--api-key", vast.key]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )

    return run


def stripped(value: object) -> object:
    """What the client does to texts."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return {name: stripped(item) for name, item in value.items()}
    return [stripped(item) for item in value] if isinstance(value, list) else value


def rows(vast: SimulatedVast) -> list[dict[str, object]]:
    fleet = vast.fleet
    return [row(instance, fleet.now) for instance in fleet.roster]


def test_it_lists_the_same_instances_page_by_page(vast: SimulatedVast, client: Client) -> None:
    found: list[dict[str, object]] = []
    token: str | None = ""
    while token is not None:
        answer = client("show", "instances", "-l", "25", *(("-t", token) if token else ()))
        assert (answer.returncode, answer.stderr) == (0, "")
        page = json.loads(answer.stdout)
        assert page["total_instances"] == 60
        found += page["instances"]
        token = page["next_token"]
    assert found == rows(vast)
    assert len(starts(vast.requests, INSTANCES)) == 3


def test_it_lists_the_same_instances_all_at_once(vast: SimulatedVast, client: Client) -> None:
    answer = client("show", "instances")
    assert (answer.returncode, answer.stderr) == (0, "")
    found = json.loads(answer.stdout)
    # The client replaces the API's duration by the age, and makes a dictionary of the environment.
    for fields in found:
        del fields["duration"]
    expected = rows(vast)
    for fields in expected:
        del fields["duration"]
        pairs = fields["extra_env"]
        assert isinstance(pairs, list)
        fields["extra_env"] = dict(pairs)
    assert found == stripped(expected)


def test_it_filters_by_label_status_and_gpu(vast: SimulatedVast, client: Client) -> None:
    answer = client("show", "instances", "--label", "", "--status", "running", "--gpu-name", "RTX 4090")
    assert answer.returncode == 0
    assert [fields["id"] for fields in json.loads(answer.stdout)] == [
        i.id
        for i in vast.fleet.roster
        if (i.contract.label, i.status, i.contract.machine.gpu.name) == (None, "running", "RTX 4090")
    ]


def test_it_shows_one_instance(vast: SimulatedVast, client: Client) -> None:
    chosen = vast.fleet.ids()[3]
    answer = client("show", "instance", str(chosen))
    assert answer.returncode == 0
    assert json.loads(answer.stdout)["id"] == chosen


def test_it_shows_the_user_and_the_credit(vast: SimulatedVast, client: Client) -> None:
    answer = client("show", "user")
    assert (answer.returncode, answer.stderr) == (0, "")
    user = json.loads(answer.stdout)
    assert user["credit"] == pytest.approx(vast.fleet.credit(), abs=1e-6)
    assert vast.requests[-1].endpoint == USER
    assert vast.requests[-1].user_agent.startswith("vastai-")


def test_it_shows_what_was_charged(client: Client) -> None:
    span = ("--start-date", "2026-01-10", "--end-date", "2026-01-14")
    answer = client("show", "invoices-v1", "--charges", *span, "--limit", "100")
    assert answer.returncode == 0
    page = json.loads(answer.stdout)
    assert (page["count"], page["next_token"]) == (page["total"], None)
    assert sum(row["amount"] for row in page["results"]) > 0
    assert {row["type"] for row in page["results"]} == {"instance"}


def test_it_finds_offers(client: Client) -> None:
    answer = client("search", "offers", "gpu_name=RTX_4090 num_gpus=1", "-o", "dph")
    assert answer.returncode == 0
    offers = json.loads(answer.stdout)
    assert {(offer["gpu_name"], offer["num_gpus"]) for offer in offers} == {("RTX 4090", 1)}


def test_it_shows_endpoints_backups_and_price_increases(vast: SimulatedVast, client: Client) -> None:
    endpoints = json.loads(client("show", "endpoints").stdout)
    assert [row["endpoint_state"] for row in endpoints] == ["active", "active", "suspended"]
    ids = set(vast.fleet.ids())
    backups = json.loads(client("show", "instance-backups").stdout)
    assert {row["contract_id"] for row in backups} <= ids
    increases = json.loads(client("show", "pending-price-increases").stdout)
    assert {row["contract_id"] for row in increases["pending_price_increases"]} <= ids
    assert len(backups) * increases["count"] > 0


def test_it_says_that_a_revoked_key_is_no_good(vast: SimulatedVast, client: Client) -> None:
    vast.revoke()
    answer = client("show", "user")
    assert json.loads(answer.stderr) == {"error": True, "msg": "Invalid user key", "status_code": 404}


def test_it_fails_on_the_second_page_of_a_server_that_holds_it_to_the_documented_threshold(
    vast: SimulatedVast, client: Client
) -> None:
    vast.rate_limits.thresholds[INSTANCES] = 1.0
    answer = client("show", "instances")
    assert json.loads(answer.stderr)["status_code"] == 429
    asked = [request for request in vast.requests if request.endpoint == INSTANCES]
    assert [request.status for request in asked] == [200, 429, 429, 429]
