from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import requests

from exporter.simulator import (
    DROPPED,
    FILTERS,
    INSTANCE,
    INSTANCES,
    OLD_INSTANCES,
    USER,
    IncidentType,
    ManualClock,
    Reply,
    SimulatedVast,
    json_reply,
    starts,
)
from exporter.simulator.api.rate_limits import too_frequent

if TYPE_CHECKING:
    from collections.abc import Mapping


def get(vast: SimulatedVast, path: str, *, key: str | None = "", **params: str) -> requests.Response:
    """Ask with the default key; with None, without any."""
    headers = {} if key is None else {"Authorization": f"Bearer {key or vast.key}"}
    return requests.get(vast.url + path, headers=headers, params=params, timeout=10)


def test_the_list_is_served_as_json(vast: SimulatedVast) -> None:
    reply = get(vast, INSTANCES, limit="3", select_cols='["id","label"]')
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert [row["id"] for row in reply.json()["instances"]] == vast.fleet.ids()[:3]


def test_a_bad_query_is_status_400_in_the_documented_shape(vast: SimulatedVast) -> None:
    reply = get(vast, INSTANCES, after_token="garbage")
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_token")
    assert "success" not in reply.json()


def test_the_old_list_is_gone(vast: SimulatedVast) -> None:
    reply = get(vast, OLD_INSTANCES)
    assert (reply.status_code, reply.json()["error"]) == (410, "deprecated_endpoint")


def test_one_instance_is_shown_or_null(vast: SimulatedVast, monotonic: ManualClock) -> None:
    chosen = vast.fleet.ids()[7]
    assert get(vast, f"/api/v0/instances/{chosen}/").json()["instances"]["id"] == chosen
    monotonic.advance(2)
    gone = get(vast, "/api/v0/instances/1/")
    assert (gone.status_code, gone.json()) == (200, {"instances": None})
    monotonic.advance(2)
    assert get(vast, "/api/v0/instances/one/").status_code == 400


def test_the_values_to_filter_by_are_listed_once_each(vast: SimulatedVast) -> None:
    combinations = get(vast, FILTERS).json()["filters"]
    assert {"actual_status", "verification", "gpu_name"} == set(combinations[0])
    assert len({tuple(c.values()) for c in combinations}) == len(combinations)
    assert {c["gpu_name"] for c in combinations} == {i.contract.machine.gpu.name for i in vast.fleet.roster}


def test_the_user_has_a_credit_and_private_things(vast: SimulatedVast) -> None:
    user = get(vast, USER).json()
    assert user["credit"] == pytest.approx(vast.fleet.credit())
    assert user["balance"] == 0
    assert user["api_key"] == vast.key
    assert {"ssh_key", "email", "address", "phone_number", "last4", "sid"} <= set(user)
    vast.fleet.set_credit(-3.5)
    vast.fleet.set_autobill(None, None)
    user = get(vast, USER).json()
    assert (user["credit"], user["autobill_amount"], user["autobill_threshold"]) == (-3.5, None, None)


def test_time_passes_by_the_clock_that_was_given(vast: SimulatedVast, clock: ManualClock) -> None:
    vast.fleet.set_autobill(None, None)
    before = get(vast, USER).json()["credit"]
    clock.advance(600)
    assert get(vast, USER).json()["credit"] < before


def test_without_a_key_nothing_is_answered(vast: SimulatedVast) -> None:
    for path in (INSTANCES, OLD_INSTANCES, USER):
        reply = get(vast, path, key=None)
        assert reply.status_code == 403
        expected = {"success": False, "error": "auth_error", "msg": "This action requires login."}
        assert reply.json() == expected


def test_an_unknown_key_is_status_404(vast: SimulatedVast) -> None:
    reply = get(vast, INSTANCES, key="wrong")
    assert reply.status_code == 404
    assert reply.json() == {"success": False, "error": "auth_error", "msg": "Invalid user key"}


def test_a_key_in_the_query_is_accepted_and_seen_in_the_log(vast: SimulatedVast) -> None:
    assert get(vast, INSTANCES, key=None, api_key=vast.key).status_code == 200
    assert vast.requests[-1].params["api_key"] == vast.key


def test_keys_are_revoked_and_rotated_at_run_time(vast: SimulatedVast, monotonic: ManualClock) -> None:
    old = vast.key
    vast.rotate("new-key")
    assert get(vast, USER, key=old).status_code == 404
    assert get(vast, USER, key="new-key").status_code == 200
    assert get(vast, USER).json()["api_key"] == "new-key"
    vast.revoke()
    assert get(vast, USER).status_code == 404
    monotonic.advance(5)
    vast.rotate("newest-key")
    assert get(vast, USER).status_code == 200


def test_every_key_opens_its_own_fleet(vast: SimulatedVast) -> None:
    vast.add_account("team", "team-key", size=5, seed=9)
    reply = get(vast, INSTANCES, key="team-key").json()
    assert [row["id"] for row in reply["instances"]] == vast.fleet_of("team").ids()
    assert get(vast, INSTANCES).json()["total_instances"] == 60
    assert [asked.account for asked in vast.requests] == ["team", "default"]
    with pytest.raises(ValueError, match="taken"):
        vast.add_account("other", "team-key")


def test_a_request_too_soon_after_another_is_refused_even_if_that_was_refused(
    vast: SimulatedVast, monotonic: ManualClock
) -> None:
    assert get(vast, INSTANCES).status_code == 200
    monotonic.advance(0.9)
    refused = get(vast, INSTANCES)
    assert refused.status_code == 429
    assert refused.text == "API requests too frequent: endpoint threshold=1.0"
    assert refused.headers["content-type"] == "text/plain"
    assert "retry-after" not in refused.headers
    monotonic.advance(0.9)
    assert get(vast, INSTANCES).status_code == 429
    monotonic.advance(1.0)
    assert get(vast, INSTANCES).status_code == 200


def test_a_refusal_may_say_when_to_come_again(vast: SimulatedVast, monotonic: ManualClock) -> None:
    vast.rate_limits.retry_after = True
    vast.rate_limits.thresholds[INSTANCES] = 1.5
    get(vast, INSTANCES)
    monotonic.advance(0.1)
    assert get(vast, INSTANCES).headers["retry-after"] == "2"


def test_ordinary_replies_say_that_nothing_remains_and_mean_nothing_by_it(vast: SimulatedVast) -> None:
    for _ in range(3):
        reply = get(vast, USER)
        assert reply.status_code == 200
        assert (reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-remaining"]) == ("3.0", "0")


def test_a_refusal_need_not_name_the_threshold(vast: SimulatedVast) -> None:
    vast.faults.add(INSTANCES, too_frequent(), too_frequent(retry_after=7))
    assert get(vast, INSTANCES).text == "API requests too frequent"
    vast.rate_limits.thresholds.clear()
    refused = get(vast, INSTANCES)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert refused.headers["content-type"] == "text/plain"


def test_thresholds_hold_for_each_endpoint_and_key_by_itself(vast: SimulatedVast) -> None:
    vast.add_account("team", "team-key", size=2)
    one = f"/api/v0/instances/{vast.fleet.ids()[0]}/"
    assert [get(vast, path).status_code for path in (INSTANCES, one, USER, USER)] == [200, 200, 200, 200]
    assert get(vast, INSTANCES, key="team-key").status_code == 200
    assert get(vast, one).text == "API requests too frequent: endpoint threshold=2.0"


def test_a_threshold_can_be_changed_while_it_runs(vast: SimulatedVast, monotonic: ManualClock) -> None:
    vast.rate_limits.thresholds[INSTANCES] = 3.0
    get(vast, INSTANCES)
    monotonic.advance(2)
    assert get(vast, INSTANCES).text.endswith("threshold=3.0")


def test_without_thresholds_requests_may_follow_each_other_at_once(clock: ManualClock) -> None:
    with SimulatedVast(size=1, clock=clock, thresholds=False) as vast:
        assert [get(vast, INSTANCES).status_code for _ in range(3)] == [200, 200, 200]


def test_the_log_says_when_what_was_asked_by_whom(vast: SimulatedVast, monotonic: ManualClock) -> None:
    headers = {"Authorization": f"Bearer {vast.key}", "User-Agent": "probe/1"}
    requests.get(vast.url + INSTANCES, params={"limit": "7"}, headers=headers, timeout=10)
    monotonic.advance(0.5)
    get(vast, INSTANCES)
    get(vast, "/api/v0/instances/5/", key="wrong")
    first, second, third = vast.requests
    assert (first.endpoint, first.account, first.status) == (INSTANCES, "default", 200)
    assert (first.params, first.user_agent) == ({"limit": "7"}, "probe/1")
    assert second.status == 429
    assert (third.endpoint, third.account, third.status) == (INSTANCE, "", 404)
    assert [b - a for a, b in pairwise(starts(vast.requests, INSTANCES))] == [0.5]
    assert vast.key not in repr(vast.requests)


def test_faults_happen_in_order_and_then_the_api_answers_again(
    vast: SimulatedVast, monotonic: ManualClock
) -> None:
    html = Reply(502, b"<html>bad gateway</html>", {"content-type": "text/html", "retry-after": "7"})
    vast.faults.add(INSTANCES, html, json_reply({"success": False}), times=2)
    seen = []
    for _ in range(5):
        monotonic.advance(1)
        seen.append(get(vast, INSTANCES))
    assert [reply.status_code for reply in seen] == [502, 200, 502, 200, 200]
    assert seen[0].headers["retry-after"] == "7"
    assert seen[1].json() == {"success": False}
    assert seen[4].json()["success"] is True
    assert [asked.status for asked in vast.requests] == [502, 200, 502, 200, 200]


def test_a_fault_may_change_the_answer_that_was_due(vast: SimulatedVast) -> None:
    def without_rows(params: Mapping[str, str], due: Reply) -> Reply:
        assert params == {"limit": "2"}
        return replace(due, body=json.dumps({**json.loads(due.body), "instances": None}).encode())

    vast.faults.add(INSTANCES, without_rows)
    reply = get(vast, INSTANCES, limit="2").json()
    assert (reply["instances"], reply["instances_found"]) == (None, 2)


def test_a_lasting_fault_stays_until_it_is_cleared(vast: SimulatedVast) -> None:
    vast.faults.always(USER, Reply(500, b"oops"))
    vast.faults.add(USER, Reply(503))
    assert vast.faults.pending(USER) == 1
    assert [get(vast, USER).status_code for _ in range(4)] == [503, 500, 500, 500]
    vast.faults.clear()
    assert get(vast, USER).status_code == 200


def test_a_refusal_for_pace_uses_no_fault_up(vast: SimulatedVast) -> None:
    get(vast, INSTANCES)
    vast.faults.add(INSTANCES, Reply(500))
    assert get(vast, INSTANCES).status_code == 429
    assert vast.faults.pending(INSTANCES) == 1


def test_a_connection_can_be_dropped_without_an_answer(vast: SimulatedVast) -> None:
    vast.faults.add(USER, Reply(drop=True))
    with pytest.raises(requests.ConnectionError):
        get(vast, USER)
    assert vast.requests[-1].status == DROPPED
    assert get(vast, USER).status_code == 200


@pytest.mark.parametrize("cut", [0, 100])
def test_a_body_can_be_cut_off(vast: SimulatedVast, cut: int) -> None:
    vast.faults.add(USER, lambda _, due: replace(due, cut=cut))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        get(vast, USER)


def test_an_answer_can_be_late_or_slow_in_coming(vast: SimulatedVast) -> None:
    vast.faults.add(USER, Reply(delay=60), lambda _, due: replace(due, delay=0.1, pause=0.02))
    with pytest.raises(requests.ReadTimeout):
        requests.get(vast.url + USER, headers={"Authorization": f"Bearer {vast.key}"}, timeout=0.05)
    slow = get(vast, USER)
    assert slow.elapsed.total_seconds() >= 0.1
    assert slow.json()["credit"] > 0


def test_while_one_answer_is_late_others_are_served(vast: SimulatedVast) -> None:
    vast.add_account("team", "team-key", size=1)
    vast.faults.add(USER, Reply(delay=60))

    def ask_in_vain() -> None:
        with suppress(requests.RequestException):  # the server ends before
            get(vast, USER)

    thread = threading.Thread(target=ask_in_vain, daemon=True)
    thread.start()
    while not vast.requests:
        thread.join(0.001)
    assert get(vast, USER, key="team-key").status_code == 200
    assert thread.is_alive()


def test_other_methods_and_paths_are_refused(vast: SimulatedVast) -> None:
    assert requests.delete(vast.url + INSTANCES, timeout=10).status_code == 405
    assert get(vast, "/api/v0/machines/").status_code == 404


def test_an_incident_shows_at_once(vast: SimulatedVast, clock: ManualClock) -> None:
    clock.advance(3600)
    incident = vast.inject(IncidentType.STUCK_LOADING, duration=60)
    assert incident.began == clock()
    reply = get(vast, f"/api/v0/instances/{incident.instance_id}/").json()
    assert reply["instances"]["actual_status"] == "loading"
