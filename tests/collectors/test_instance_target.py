"""Where an instance can be reached: what the API's fields say, and what of it is no use."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import instances
from exporter.collectors.instance_target import (
    PORTS,
    TARGET_FIELDS,
    UNREACHABLE,
    Target,
    address,
    ports_as_text,
)
from exporter.metrics.fields import Problems
from exporter.metrics.values import UnreadableError

if TYPE_CHECKING:
    from exporter.collectors.fleet import Member
    from tests.support.pipeline import Account, Exporter

ADDRESSED = instances.COLLECTOR.addressed
assert ADDRESSED is not None
#: A row of an instance that serves.
ROW: dict[str, Any] = {
    "id": 7,
    "actual_status": "running",
    "public_ipaddr": "203.0.113.7",
    "ports": {"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40022"}]},
    "image_uuid": "vllm/vllm-openai:v0.9.1",
    "template_name": "vLLM",
    "machine_id": 4711,
    "geolocation": "Quebec, CA",
    "is_bid": True,
}
TARGET = Target(
    "203.0.113.7",
    ((8000, 40022),),
    "vllm/vllm-openai:v0.9.1",
    "vLLM",
    "4711",
    "Quebec, CA",
    "interruptible",
)


def mapped(port: object, host: str = "0.0.0.0") -> list[dict[str, object]]:
    return [{"HostIp": host, "HostPort": port}]


def walked(account: Account, **fields: object) -> Member:
    assert ADDRESSED is not None
    account.collect(ADDRESSED, {"instances": [ROW | fields], "next_token": None})
    (part,) = account.stores["instances"].snapshot.parts
    member: Member = part.items[7]
    return member


def test_a_running_instance_has_a_target(exporter: Exporter) -> None:
    account = exporter.account()
    assert walked(account).target == TARGET
    assert (account.unreadable, account.out_of_range) == ({}, {})


@pytest.mark.parametrize("status", ["loading", "exited", "stopped", "offline", "frozen", None, ["running"]])
def test_what_does_not_run_has_none(exporter: Exporter, status: object) -> None:
    assert walked(exporter.account(), actual_status=status).target == UNREACHABLE


@pytest.mark.parametrize("field", ["public_ipaddr", "ports"])
@pytest.mark.parametrize("nothing", [None, "missing"])
def test_null_and_missing_are_no_target_and_nothing_to_count(
    exporter: Exporter, field: str, nothing: str | None
) -> None:
    account = exporter.account()
    account.collect(
        ADDRESSED,  # type: ignore[arg-type]
        {
            "instances": [
                {name: value for name, value in (ROW | {field: nothing}).items() if value != "missing"}
            ]
        },
    )
    (part,) = account.stores["instances"].snapshot.parts
    assert part.items[7].target == UNREACHABLE
    assert account.unreadable == {}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 \n", "203.0.113.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("", None),
        (" \n", None),
    ],
)
def test_an_address_is_read(sent: str, expected: str | None) -> None:
    assert address(sent) == expected


@pytest.mark.parametrize(
    "sent",
    [
        "gpu.example.org",
        "203.0.113.7:80",
        "203.0.113.7 198.51.100.1",
        "203.0.113",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "fe80::1%eth0",
        "http://203.0.113.7",
        3405803783,
        True,
        ["203.0.113.7"],
        {},
    ],
)
def test_what_is_no_address_of_one_machine_is_counted(exporter: Exporter, sent: object) -> None:
    account = exporter.account()
    assert walked(account, public_ipaddr=sent).target == UNREACHABLE
    assert account.unreadable == {"public_ipaddr": 1}


@pytest.mark.parametrize(
    ("sent", "expected", "odd"),
    [
        ({"8000/tcp": mapped("40022"), "22/tcp": mapped(40001)}, "8000=40022 22=40001", 0),
        ({"8000/tcp": [*mapped("40022"), *mapped("40023", "::")]}, "8000=40022", 0),
        ({"8000": mapped("40022")}, "8000=40022", 0),
        ({"8000/udp": mapped("40022"), "8001/sctp": "whatever"}, None, 0),
        ({"8000/tcp": None, "8001/tcp": []}, None, 0),
        ({}, None, 0),
        ({"8000/tcp": [{}, None, *mapped("40022")]}, "8000=40022", 0),
        ({"8000/tcp": mapped("40022"), "8001/tcp": mapped("")}, "8000=40022", 1),
        ({"8000/tcp": mapped("0")}, None, 1),
        ({"8000/tcp": mapped("65536")}, None, 1),
        ({"8000/tcp": mapped(-1)}, None, 1),
        ({"8000/tcp": mapped(80.5)}, None, 1),
        ({"8000/tcp": mapped(port=True)}, None, 1),
        ({"8000/tcp": mapped(None)}, None, 1),
        ({"8000/tcp": "40022"}, None, 1),
        ({"8000/tcp": 40022}, None, 1),
        ({"8000/tcp": {"HostPort": "40022"}}, None, 1),
        ({"8000-8010/tcp": mapped("40022"), "http/tcp": mapped("40023"), "": None}, None, 3),
        ({"99999/tcp": mapped("40022")}, None, 1),
        ([8080, 8081], None, 1),
        ("8080", None, 1),
        (True, None, 1),
    ],
)
def test_ports_are_read_one_by_one_and_odd_ones_counted(sent: object, expected: str | None, odd: int) -> None:
    problems = Problems()
    assert PORTS.value(sent, problems) == expected
    assert +problems.unreadable == ({"ports": odd} if odd else {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)
names = st.from_regex(r"[0-9]{1,6}(/tcp|/udp)?", fullmatch=True) | st.text(max_size=10)
mappings = st.lists(st.fixed_dictionaries({"HostIp": json_values, "HostPort": json_values}), max_size=3)


@given(st.dictionaries(names, mappings | json_values, max_size=5) | json_values)
def test_whatever_ports_hold_what_is_read_are_pairs_of_ports(sent: object) -> None:
    text = ports_as_text(sent)
    pairs = [pair.split("=") for pair in text.split(" ")] if text else []
    assert all(1 <= int(port) <= 65535 for pair in pairs for port in pair)
    assert all(len(pair) == 2 for pair in pairs)


@given(json_values | st.ip_addresses().map(str))
def test_whatever_an_address_is_what_is_read_is_one(sent: object) -> None:
    try:
        found = address(sent)
    except UnreadableError:
        return
    assert found is None or str(ip_address(found)) == found


def test_only_discovery_asks_for_addresses(exporter: Exporter) -> None:
    account = exporter.account()
    account.walk([ROW])
    (part,) = account.stores["instances"].snapshot.parts
    assert part.items[7].target is None
    walked(account)
    asked = [set(json.loads(parse_qs(urlsplit(path).query)["select_cols"][0])) for path in exporter.api.asked]
    names = {field.name for field in TARGET_FIELDS}
    assert asked[1] - asked[0] == names
    assert asked[0] <= asked[1]
    assert not names & set(instances.COLLECTOR.fields)
    assert ADDRESSED is not None
    assert names <= set(ADDRESSED.fields)


def test_addresses_add_nothing_to_the_metrics(exporter: Exporter) -> None:
    account = exporter.account()
    account.walk([ROW])
    before = exporter.scrape()
    walked(account)
    assert exporter.scrape() == before
