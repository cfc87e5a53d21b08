"""From file, environment and flags to one configuration, or to a line for each mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.collectors import COLLECTORS
from exporter.commands.configuration import CONFIG, load
from exporter.config.durations import format_duration, parse_duration
from exporter.config.mistakes import ConfigError
from exporter.config.models import OPERATORS, split_address

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config.loading import Loaded
    from tests.support.program import Write

KEY = "a-key-of-nobody"
ACCOUNT = "accounts: [{name: research, api_key: a-key-of-nobody}]\n"
BELOW = "not below interval, which is"
INSTANCES = "collectors.instances"
NO_FILE = "the key file /no/such can't be read: No such file or directory"
NO_VARIABLE = "the environment variable NONE is not set or empty"
NOT_A_VARIABLE = "expected the name of an environment variable, such as RESEARCH_KEY"
NO_ACCOUNT = "no account: expected accounts in a file, VAST_API_KEY, VAST_API_KEY_FILE or "
URL_PARTS = "expected a URL without user, password, query or fragment"
ROOT_KEYS = "api, accounts, collectors, discovery, limits, web, log"
ACCOUNT_KEYS = "name, api_key, api_key_file, api_key_env, select_filters, budget, label_budgets"
COLLECTOR_NAMES = ", ".join(collector.name for collector in COLLECTORS)
COLLECTOR_KEYS = "enabled, interval, stale_after"
DURATION = "expected a duration such as 500ms, 90s, 5m or 1h30m"
ADDRESS = "expected an address such as :10622, 127.0.0.1:10622 or [::1]:10622"
URL = "expected a URL such as https://console.vast.ai"
LINK = "expected a URL such as https://grafana.example/dashboards"
WEB_KEYS = "listen_address, telemetry_path, config_file, dashboards_url"
CONTAINER_PORT = "expected a TCP port such as 8000/tcp or 8000"
PATH = (
    "expected a path such as /metrics, other than /, /-/healthy, /-/ready, /-/reload, /healthz, /readyz,"
    " /sd/instances"
)
TEXT = "expected text; put a number in quotes"
NAME = "expected 1 to 64 characters without line breaks"
ONE_KEY = "exactly one of api_key, api_key_file, api_key_env is allowed"
NOT_A_VALUE = "not a valid number, date or tagged value; quotes make it text"
NO_KEY = "the API key does not contain a valid key: expected one line of letters, digits and -._~+/=:"
SCALARS = "expected texts, numbers, true, false or null as values for 'gpu_name'"

#: The file's text, and what is said of it behind its name.
MISTAKES = {
    # YAML
    "[": "line 1, column 2: expected the node content, but found '<stream end>'",
    "api: {a b": "line 1, column 10: expected ',' or '}', but got '<stream end>'",
    "api:\n\turl: x": "line 2, column 1: found character '\\t' that cannot start any token",
    "api: *nothing": "line 1, column 6: found undefined alias 'nothing'",
    "api: !!python/object:os.system x": "line 1, column 6: could not determine a constructor for the tag"
    " 'tag:yaml.org,2002:python/object:os.system'",
    "{}\n---\n{}": "line 2, column 1: but found another document",
    "api: \x00": "not valid YAML: contains a control character",
    "[" * 5000: "line 1, column 33: nested too deep",
    "api: {}\nlog: {}\napi: {}": "line 3, column 1: duplicate key 'api'",
    "log: {level: info, level: debug}": "line 1, column 20: duplicate key 'level'",
    "1: x": f"1: unknown key; allowed: {ROOT_KEYS}",
    "~: x": "line 1, column 1: a key must be text",
    "? [a]\n: x": "line 1, column 3: a key must be text",
    "on: x": f"on: unknown key; allowed: {ROOT_KEYS}",
    "api: 2020-13-45": f"line 1, column 6: {NOT_A_VALUE}",
    "api: !!bool maybe": f"line 1, column 6: {NOT_A_VALUE}",
    "api: !!timestamp maybe": f"line 1, column 6: {NOT_A_VALUE}",
    "api: !!int ''": f"line 1, column 6: {NOT_A_VALUE}",
    f"limits: {{labels: {'9' * 5000}}}": f"line 1, column 18: {NOT_A_VALUE}",
    # unknown keys and wrong kinds, at each level
    "- a": f"expected keys and values: {ROOT_KEYS}",
    "just text": f"expected keys and values: {ROOT_KEYS}",
    "acounts: []": f"acounts: unknown key; allowed: {ROOT_KEYS}",
    "surprise:": f"surprise: unknown key; allowed: {ROOT_KEYS}",
    '"a\\nb": 1': f"a b: unknown key; allowed: {ROOT_KEYS}",
    "api: 5": "api: 5: expected keys and values: url, run_url, timeout, min_interval",
    "api: {key: x}": "api.key: unknown key; allowed: url, run_url, timeout, min_interval",
    "collectors: [a]": f"collectors: expected keys and values: {COLLECTOR_NAMES}",
    "collectors: {weather: {}}": f"collectors.weather: unknown key; allowed: {COLLECTOR_NAMES}",
    "collectors: {account: {every: 5m}}": f"collectors.account.every: unknown key; allowed: {COLLECTOR_KEYS}",
    "collectors: {account: 5m}": f"collectors.account: '5m': expected keys and values: {COLLECTOR_KEYS}",
    "limits: {label: 5}": "limits.label: unknown key; allowed: labels, market",
    "web: {port: 1}": f"web.port: unknown key; allowed: {WEB_KEYS}",
    "log: {file: x}": "log.file: unknown key; allowed: level, format",
    "log: debug": "log: 'debug': expected keys and values: level, format",
    # the API
    "api: {url: 5}": f"api.url: 5: {TEXT}",
    "api: {url: console.vast.ai}": f"api.url: 'console.vast.ai': {URL}",
    "api: {url: 'ftp://console.vast.ai'}": f"api.url: 'ftp://console.vast.ai': {URL}",
    "api: {url: 'https://'}": f"api.url: 'https://': {URL}",
    "api: {url: 'https://[::1'}": f"api.url: 'https://[::1': {URL}",
    "api: {url: 'https://a:99999'}": f"api.url: 'https://a:99999': {URL}",
    "api: {url: 'https://a b'}": f"api.url: 'https://a b': {URL}",
    "api: {url: 'https://user:word@a'}": f"api.url: {URL_PARTS}",
    "api: {url: 'https://a/?b=c'}": f"api.url: 'https://a/?b=c': {URL_PARTS}",
    "api: {run_url: run.vast.ai}": f"api.run_url: 'run.vast.ai': {URL}",
    "api: {run_url: 'https://user:word@a'}": f"api.run_url: {URL_PARTS}",
    "api: {timeout: 30}": f"api.timeout: 30: {DURATION}",
    "api: {timeout: thirty}": f"api.timeout: 'thirty': {DURATION}",
    "api: {timeout: 0s}": "api.timeout: '0s': expected a duration above 0s",
    "api: {timeout: 2y}": "api.timeout: '2y': expected at most 1y",
    "api: {timeout: 5s3m}": f"api.timeout: '5s3m': {DURATION}",
    "api: {min_interval: -1s}": f"api.min_interval: '-1s': {DURATION}",
    "api: {min_interval: ''}": f"api.min_interval: '': {DURATION}",
    "api: {min_interval: true}": f"api.min_interval: true: {DURATION}",
    # collectors
    "collectors: {instances: {interval: 999ms}}": f"{INSTANCES}.interval: '999ms': expected at least 1s",
    "collectors: {instances: {interval: 10m}}": f"{INSTANCES}: stale_after 5m: {BELOW} 10m",
    "collectors: {account: {stale_after: 1m}}": f"collectors.account: stale_after 1m: {BELOW} 5m",
    "collectors: {account: {enabled: 'no'}}": "collectors.account.enabled: 'no': expected true or false",
    "collectors: {account: {enabled: 0}}": "collectors.account.enabled: 0: expected true or false",
    "collectors: {account: {enabled: no}, instances: {enabled: no}}": "collectors: all disabled;"
    " expected at least one enabled collector",
    # limits
    "discovery: {enabled: 1}": "discovery.enabled: 1: expected true or false",
    "discovery: {ports: 8000}": "discovery.ports: 8000: expected a list",
    "discovery: {ports: [8000/udp]}": f"discovery.ports[0]: '8000/udp': {CONTAINER_PORT}",
    "discovery: {ports: [0]}": f"discovery.ports[0]: 0: {CONTAINER_PORT}",
    "discovery: {ports: [65536/tcp]}": f"discovery.ports[0]: '65536/tcp': {CONTAINER_PORT}",
    "discovery: {ports: [true]}": f"discovery.ports[0]: true: {CONTAINER_PORT}",
    "discovery: {ports: [80.5]}": f"discovery.ports[0]: 80.5: {CONTAINER_PORT}",
    "discovery: {labels: serving}": "discovery.labels: 'serving': expected a list",
    "discovery: {labels: [17]}": "discovery.labels[0]: 17: expected text; put a number in quotes",
    "discovery: {enabled: true}\ncollectors: {instances: {enabled: false}}": (
        "discovery.enabled: true: requires collectors.instances.enabled: true"
    ),
    "limits: {labels: 0}": "limits.labels: 0: expected greater than or equal to 1",
    "limits: {labels: 100001}": "limits.labels: 100001: expected less than or equal to 100000",
    "limits: {labels: 20.5}": "limits.labels: 20.5: expected a whole number",
    "limits: {labels: '200'}": "limits.labels: '200': expected a whole number",
    "limits: {labels: true}": "limits.labels: true: expected a whole number",
    f"limits: {{labels: 0x{'f' * 5000}}}": "limits.labels: expected less than or equal to 100000",
    # the web side
    "web: {listen_address: 10622}": f"web.listen_address: 10622: {TEXT}",
    "web: {listen_address: localhost}": f"web.listen_address: 'localhost': {ADDRESS}",
    "web: {listen_address: ':65536'}": f"web.listen_address: ':65536': {ADDRESS}",
    "web: {listen_address: '::1:80'}": f"web.listen_address: '::1:80': {ADDRESS}",
    "web: {listen_address: '[1:2]:80'}": f"web.listen_address: '[1:2]:80': {ADDRESS}",
    "web: {listen_address: '[localhost]:80'}": f"web.listen_address: '[localhost]:80': {ADDRESS}",
    "web: {listen_address: 'a..b:80'}": f"web.listen_address: 'a..b:80': {ADDRESS}",
    "web: {listen_address: 'http://a:80'}": f"web.listen_address: 'http://a:80': {ADDRESS}",
    "web: {telemetry_path: metrics}": f"web.telemetry_path: 'metrics': {PATH}",
    "web: {telemetry_path: /}": f"web.telemetry_path: '/': {PATH}",
    **{
        f"web: {{telemetry_path: {path}}}": f"web.telemetry_path: '{path}': {PATH}"
        for path in ("/..", "/.", "/./-/reload", "/-/../metrics", "/metrics/..", "/a/./b")
    },
    "web: {telemetry_path: /-/ready}": f"web.telemetry_path: '/-/ready': {PATH}",
    "web: {telemetry_path: '/metrics?a=b'}": f"web.telemetry_path: '/metrics?a=b': {PATH}",
    "web: {telemetry_path: '/{a}'}": f"web.telemetry_path: '/{{a}}': {PATH}",
    "web: {config_file: ''}": "web.config_file: '': expected the path of a file",
    "web: {dashboards_url: 5}": f"web.dashboards_url: 5: {TEXT}",
    "web: {dashboards_url: ''}": f"web.dashboards_url: '': {LINK}",
    "web: {dashboards_url: 'javascript:alert(1)'}": f"web.dashboards_url: 'javascript:alert(1)': {LINK}",
    "web: {dashboards_url: /d/vastai-fleet}": f"web.dashboards_url: '/d/vastai-fleet': {LINK}",
    "web: {dashboards_url: 'https:///d/fleet'}": f"web.dashboards_url: 'https:///d/fleet': {LINK}",
    "web: {dashboards_url: 'https://a b'}": f"web.dashboards_url: 'https://a b': {LINK}",
    "web: {dashboards_url: 'https://user:word@a'}": "web.dashboards_url: expected a URL without user or"
    " password",
    # logs
    "collectors: {instances: {groups: [status, gpus]}}": "collectors.instances.groups[1]: 'gpus': expected"
    " 'status', 'use', 'money', 'hardware' or 'network'",
    "collectors: {instances: {groups: []}}": "collectors.instances.groups: expected at least one of status,"
    " use, money, hardware, network",
    "collectors: {instances: {groups: status}}": "collectors.instances.groups: 'status': expected a list",
    "collectors: {account: {groups: [account]}}": "collectors.account.groups: unknown key; allowed: enabled,"
    " interval, stale_after",
    "log: {level: WARN}": "log.level: 'WARN': expected 'debug', 'info', 'warn' or 'error'",
    "log: {format: xml}": "log.format: 'xml': expected 'logfmt' or 'json'",
    # accounts
    "accounts: {name: a}": "accounts: expected a list, each item with name and a key",
    "accounts: [a-key-of-nobody]": f"accounts[0]: expected keys and values: {ACCOUNT_KEYS}",
    "accounts: [{api_key: k}]": "accounts[0].name: missing; a value is required",
    "accounts: [{name: 5, api_key: k}]": f"accounts[0].name: 5: {TEXT}",
    "accounts: [{name: '', api_key: k}]": f"accounts[0].name: '': {NAME}",
    'accounts: [{name: "a\\nb", api_key: k}]': f"accounts[0].name: 'a\\nb': {NAME}",
    'accounts: [{name: "\\x9b2J", api_key: k}]': f"accounts[0].name: '\\x9b2J': {NAME}",
    f"accounts: [{{name: {'é' * 65}, api_key: k}}]": f"accounts[0].name: '{'é' * 65}': {NAME}",
    f"accounts: [{{name: {'é' * 81}, api_key: k}}]": f"accounts[0].name: {NAME}",
    "accounts: [{name: a, api_key: k}, {name: a, api_key: l}]": "accounts: the name 'a' is used twice;"
    " each account needs its own",
    "accounts: [{name: a}]": f"accounts[0]: no key: {ONE_KEY}",
    "accounts: [{name: a, api_key: k, api_key_env: B}]": f"accounts[0]: api_key and api_key_env: {ONE_KEY}",
    "accounts: [{name: a, api_key: 12345}]": f"accounts[0].api_key: {TEXT}",
    "accounts: [{name: a, api_key: ''}]": "accounts[0].api_key: the API key is not set or empty",
    "accounts: [{name: a, api_key: two words}]": f"accounts[0].api_key: {NO_KEY}",
    "accounts: [{name: a, api_key_file: ''}]": "accounts[0].api_key_file: expected the path of a file",
    'accounts: [{name: a, api_key_file: "\\0"}]': "accounts[0].api_key_file: expected the path of a file",
    "accounts: [{name: a, api_key_file: 5}]": "accounts[0].api_key_file: expected the path of a file",
    "accounts: [{name: a, api_key_file: /no/such}]": f"accounts[0].api_key_file: {NO_FILE}",
    "accounts: [{name: a, api_key_env: NONE}]": f"accounts[0].api_key_env: {NO_VARIABLE}",
    "accounts: [{name: a, api_key_env: 'A B'}]": f"accounts[0].api_key_env: {NOT_A_VARIABLE}",
}
#: What is no budget, and what is said of it.
BUDGET = "expected dollars, above 0 and up to 1,000,000,000"
NO_BUDGETS = {
    "0": f"0: {BUDGET}",
    "-5": f"-5: {BUDGET}",
    "true": f"true: {BUDGET}",
    "'2000'": f"'2000': {BUDGET}",
    "[2000]": BUDGET,
    ".nan": BUDGET,
    ".inf": BUDGET,
    "1000000001": f"1000000001: {BUDGET}",
    "2020-01-01": BUDGET,
}
#: The same of what stands behind `select_filters:` of an account.
FILTER_MISTAKES = {
    "5": "5: expected keys and values",
    "{gpu_name: 5}": "expected an operator and a value for 'gpu_name', such as {in: [RTX 4090]}",
    "{gpu_name: {}}": "expected an operator and a value for 'gpu_name', such as {in: [RTX 4090]}",
    "{gpu_name: {like: x}}": f"expected one of {', '.join(OPERATORS)} for 'gpu_name', not 'like'",
    "{gpu_name: {in: x}}": "expected a list with in and notin, one value with the others, for 'gpu_name'",
    "{gpu_name: {eq: [x]}}": "expected a list with in and notin, one value with the others, for 'gpu_name'",
    "{gpu_name: {eq: {}}}": SCALARS,
    "{gpu_name: {in: [.nan]}}": SCALARS,
    "{gpu_name: {in: [.inf]}}": SCALARS,
    f"{{gpu_name: {{gt: 0x{'f' * 5000}}}}}": SCALARS,
    "{gpu_name: {in: [2020-01-01]}}": SCALARS,
}


def mistakes(path: Path | None, environ: dict[str, str] | None = None, **flags: str) -> list[str]:
    """Return what is said of a configuration that can't be used, without the path."""
    named = {name.replace("__", "."): value for name, value in flags.items()}
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, named)
    assert str(caught.value) == "\n".join(caught.value.lines)
    return [line.removeprefix(f"{path}: ") for line in caught.value.lines]


def loaded(path: Path | None, environ: dict[str, str] | None = None, **flags: str) -> Loaded:
    return load(path, environ or {}, {name.replace("__", "."): value for name, value in flags.items()})


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[:60])
def test_a_mistake_is_one_line_with_place_what_was_given_and_what_is_allowed(text: str, write: Write) -> None:
    assert mistakes(write(text), {"VAST_API_KEY": KEY, "NONE": ""}) == [MISTAKES[text]]


@pytest.mark.parametrize("text", FILTER_MISTAKES, ids=lambda text: text[:40])
def test_a_mistake_in_a_filter_names_the_column(text: str, write: Write) -> None:
    path = write(f"accounts: [{{name: a, api_key: k, select_filters: {text}}}]")
    assert mistakes(path) == [f"accounts[0].select_filters: {FILTER_MISTAKES[text]}"]


@pytest.mark.parametrize("text", NO_BUDGETS)
def test_what_is_no_budget_is_said_with_its_place(text: str, write: Write) -> None:
    path = write(f"accounts: [{{name: a, api_key: k, budget: {text}, label_budgets: {{train: {text}}}}}]")
    said = NO_BUDGETS[text]
    assert mistakes(path) == [f"accounts[0].budget: {said}", f"accounts[0].label_budgets.train: {said}"]


def test_labels_of_budgets_are_texts_that_fit_into_a_metric(write: Write) -> None:
    def said(labels: str) -> list[str]:
        return mistakes(write(f"accounts: [{{name: a, api_key: k, label_budgets: {labels}}}]"))

    assert said("5") == ["accounts[0].label_budgets: 5: expected keys and values"]
    assert said(f"{{{'é' * 251}: 1}}") == [
        "accounts[0].label_budgets: expected labels of at most 500 bytes, as metrics have them"
    ]
    good = loaded(write(f"accounts: [{{name: a, api_key: k, label_budgets: {{{'é' * 250}: 1, 2024: 2}}}}]"))
    assert good.accounts[0].label_budgets == {"é" * 250: 1.0, "2024": 2.0}


def test_every_mistake_of_a_file_is_told_at_once(write: Write) -> None:
    path = write("api: {timeout: 5, url: x}\nlog: {level: loud}\nlimits: {labels: 0}")
    assert len(mistakes(path)) == 4


def test_of_several_accounts_the_one_with_the_mistake_is_named(write: Write) -> None:
    accounts = [{"name": f"a{i}", "api_key": KEY} for i in range(3)]
    accounts[2]["api_key"] = "two words"
    assert mistakes(write({"accounts": accounts})) == [f"accounts[2].api_key: {NO_KEY}"]


@pytest.mark.parametrize(
    ("account", "line"),
    [
        ({"api_key_file": "/no/such"}, f"api_key_file: {NO_FILE}"),
        ({"api_key_env": "NONE"}, f"api_key_env: {NO_VARIABLE}"),
    ],
)
def test_an_account_without_a_key_beside_one_that_has_one_is_kept_and_told(
    write: Write, account: dict[str, str], line: str
) -> None:
    path = write({"accounts": [{"name": "a", "api_key": KEY}, {"name": "b"} | account]})
    found = loaded(path)
    assert [each.name for each in found.accounts] == ["a", "b"]
    assert found.without_key == (f"{path}: accounts[1].{line}",)


def test_where_no_account_has_a_key_each_is_a_mistake(write: Write) -> None:
    accounts = [{"name": "a", "api_key_file": "/no/such"}, {"name": "b", "api_key_env": "NONE"}]
    assert mistakes(write({"accounts": accounts})) == [
        f"accounts[0].api_key_file: {NO_FILE}",
        f"accounts[1].api_key_env: {NO_VARIABLE}",
    ]


def test_a_file_that_is_missing_a_folder_or_binary_is_said_to_be(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    assert mistakes(tmp_path / "missing") == ["can't be read: No such file or directory"]
    assert mistakes(tmp_path) == ["can't be read: Is a directory"]
    assert mistakes(binary) == ["can't be read: not UTF-8 text"]


# What is not a mistake


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing but a remark",
        "---",
        "{}",
        "accounts:",
        "accounts: []",
        "api:\ncollectors:\n  instances:\n  account:\nlimits:\nweb:\nlog:\n",
        "api: {url: , run_url: , timeout: , min_interval: }\nlog: {level: }\nlimits: {labels: }",
    ],
)
def test_what_is_left_out_or_left_empty_has_its_default(text: str, write: Write) -> None:
    assert loaded(write(text), {"VAST_API_KEY": KEY}).config == CONFIG.model_validate({})


def test_the_defaults_are_the_documented_ones() -> None:
    found = CONFIG.model_validate({}).model_dump()
    collectors = found.pop("collectors")
    assert {name: settings for name, settings in collectors.items() if settings["enabled"]} == {
        "instances": {
            "enabled": True,
            "interval": 60.0,
            "stale_after": 300.0,
            "groups": ("status", "use", "money", "hardware", "network"),
        },
        "account": {"enabled": True, "interval": 300.0, "stale_after": 1800.0},
    }
    assert found == {
        "api": {
            "url": "https://console.vast.ai",
            "run_url": "https://run.vast.ai",
            "timeout": 30.0,
            "min_interval": None,
        },
        "accounts": (),
        "discovery": {"enabled": False, "ports": (), "labels": ()},
        "limits": {"labels": 200, "market": 20},
        "web": {
            "listen_address": ":10622",
            "telemetry_path": "/metrics",
            "config_file": None,
            "dashboards_url": None,
        },
        "log": {"level": "info", "format": "logfmt"},
    }


def test_every_key_can_be_set(write: Write) -> None:
    write(KEY, "key")
    path = write(
        """
        api:
          url: "https://vast.example:8443/base/"
          run_url: "https://run.example/"
          timeout: 1m30s
          min_interval: 0s
        accounts:
          - &first
            name: "research \U0001f600"
            api_key_file: key
            select_filters: {gpu_name: {in: [RTX 4090, null]}, num_gpus: {gte: 2}, label: {eq: null}}
          - {<<: *first, name: by value, api_key_file: , api_key: a-key-of-nobody}
          - {name: by variable, api_key_env: RESEARCH_KEY, budget: 2000.5, label_budgets: {train: 500, "": 1}}
        collectors:
          instances: {interval: 1s, stale_after: 1s, groups: [use, status]}
          account: {enabled: false}
        discovery: {enabled: true, ports: [8000/tcp, 9400, "9100"], labels: [serving, ""]}
        limits: {labels: 1, market: 5}
        web:
          listen_address: "[::1]:80"
          telemetry_path: /a/b-c_d.e~f
          dashboards_url: https://grafana.example/d/fleet?orgId=1#top
        log: {level: error, format: json}
        """
    )
    found = loaded(path, {"RESEARCH_KEY": f" {KEY}\n"})
    assert [account.name for account in found.accounts] == ["research \U0001f600", "by value", "by variable"]
    assert [account.key.read() for account in found.accounts] == [KEY] * 3
    assert found.accounts[1].select_filters == found.accounts[0].select_filters
    assert found.accounts[0].select_filters["label"] == {"eq": None}
    assert [(account.budget, account.label_budgets) for account in found.accounts] == [
        (None, {}),
        (None, {}),
        (2000.5, {"train": 500.0, "": 1.0}),
    ]
    assert found.config.api.model_dump() == {
        "url": "https://vast.example:8443/base",
        "run_url": "https://run.example",
        "timeout": 90.0,
        "min_interval": 0.0,
    }
    assert found.config.discovery.ports == (8000, 9400, 9100)
    assert found.config.discovery.labels == ("serving", "")
    assert found.config.collectors.named("instances").interval == 1
    assert not found.config.collectors.named("account").enabled
    assert found.config.web.telemetry_path == "/a/b-c_d.e~f"
    assert found.config.web.dashboards_url == "https://grafana.example/d/fleet?orgId=1#top"
    assert (found.config.log.level, found.config.log.format) == ("error", "json")
    assert found.notes == ()


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        (":10622", "", 10622),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:80", "localhost", 80),
        ("gpu-1.my_net.example:65535", "gpu-1.my_net.example", 65535),
        ("[::]:80", "::", 80),
        ("[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80),
    ],
)
def test_an_address_is_a_host_and_a_port(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


# Where keys come from


def test_without_a_file_the_environment_gives_the_account_default(write: Write, tmp_path: Path) -> None:
    path = write(f"{KEY}\n", "key")
    for environ in ({"VAST_API_KEY": KEY}, {"VAST_API_KEY_FILE": str(path)}):
        (account,) = loaded(None, environ | {"HOME": str(tmp_path)}).accounts
        assert (account.name, account.key.read()) == ("default", KEY)


@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "HOME"])
def test_the_vendors_own_key_file_is_the_last_place_to_look(
    variable: str, tmp_path: Path, write: Write
) -> None:
    folder = tmp_path / (".config/vastai" if variable == "HOME" else "vastai")
    folder.mkdir(parents=True)
    write(KEY, str(folder / "vast_api_key"))
    (account,) = loaded(None, {variable: str(tmp_path), "VAST_API_KEY": "", "VAST_API_KEY_FILE": ""}).accounts
    assert (account.name, account.key.read()) == ("default", KEY)
    (account,) = loaded(None, {variable: str(tmp_path), "VAST_API_KEY": "another"}).accounts
    assert account.key.read() == "another"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"HOME": "/no"},
            f"{NO_ACCOUNT}/no/.config/vastai/vast_api_key",
        ),
        (
            {"HOME": ""},
            f"{NO_ACCOUNT}/.config/vastai/vast_api_key",
        ),
        (
            {"XDG_CONFIG_HOME": f"/{'x' * 300}"},
            f"{NO_ACCOUNT}/{'x' * 300}/vastai/vast_api_key",
        ),
        (
            {"VAST_API_KEY": KEY, "VAST_API_KEY_FILE": "/no"},
            "VAST_API_KEY and VAST_API_KEY_FILE: both are set; only one is allowed",
        ),
        ({"VAST_API_KEY": "two words"}, f"VAST_API_KEY: {NO_KEY}"),
        (
            {"VAST_API_KEY_FILE": "/no"},
            "VAST_API_KEY_FILE: the key file /no can't be read: No such file or directory",
        ),
        (
            {"VAST_API_KEY_FILE": "/"},
            "VAST_API_KEY_FILE: the key file / can't be read: Is a directory",
        ),
        (
            {"VAST_API_KEY": KEY, "VAST_URL": "vast"},
            f"VAST_URL: 'vast': {URL}",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(environ: dict[str, str], line: str) -> None:
    assert mistakes(None, environ) == [line]


def test_a_file_without_accounts_and_an_environment_without_a_key_is_a_mistake(write: Write) -> None:
    path = write("log: {level: debug}")
    assert mistakes(path, {"HOME": "/no"}) == [f"{NO_ACCOUNT}/no/.config/vastai/vast_api_key"]


def test_a_key_files_path_is_relative_to_the_configuration(write: Write, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    write(KEY, "keys/research")
    path = write("accounts: [{name: a, api_key_file: keys/research}]")
    assert loaded(path).accounts[0].key.path == tmp_path / "keys/research"


def test_a_key_file_without_a_key_is_named_and_not_shown(write: Write) -> None:
    for text, complaint in (
        ("\n", "is empty"),
        ("not a key, but private", NO_KEY.partition(" ")[2].partition(" ")[2].partition(" ")[2]),
        ("x" * 5000, "does not contain a valid key: expected one line of letters, digits and -._~+/=:"),
    ):
        key = write(text, "key")
        path = write("accounts: [{name: a, api_key_file: key}]")
        assert mistakes(path) == [f"accounts[0].api_key_file: the key file {key} {complaint}"]


def test_a_key_in_the_environment_is_said_to_be_ignored_beside_accounts(write: Write) -> None:
    path = write(ACCOUNT)
    assert loaded(path, {"VAST_API_KEY": "x", "VAST_API_KEY_FILE": "y"}).notes == (
        f"VAST_API_KEY is ignored: the accounts of {path} are used",
        f"VAST_API_KEY_FILE is ignored: the accounts of {path} are used",
    )
    assert loaded(path, {"VAST_API_KEY": "", "VAST_API_KEY_FILE": ""}).notes == ()
    assert loaded(None, {"VAST_API_KEY": "x"}).notes == ()


# What wins


def test_flags_win_over_the_file_and_are_named_when_wrong(write: Write) -> None:
    path = write(ACCOUNT + "web: {listen_address: ':1', telemetry_path: /file}\nlog: {level: error}")
    config = loaded(path, web__listen_address=":2", log__level="debug", log__format="json").config
    assert (config.web.listen_address, config.web.telemetry_path) == (":2", "/file")
    assert (config.log.level, config.log.format) == ("debug", "json")
    assert mistakes(path, web__listen_address="nowhere") == [
        f"--web.listen-address: 'nowhere': {ADDRESS}",
    ]
    assert mistakes(path, web__telemetry_path="", web__config_file="web.yml") == [
        f"--web.telemetry-path: '': {PATH}",
    ]
    assert mistakes(path, web__config_file="no.yml") == ["no.yml: can't be read: No such file or directory"]
    assert mistakes(path, log__level="loud") == [
        "--log.level: 'loud': expected 'debug', 'info', 'warn' or 'error'",
    ]


def test_the_environments_url_wins_over_the_files_and_an_empty_one_is_none(write: Write) -> None:
    path = write(ACCOUNT + "api: {url: 'https://file.example'}")
    assert loaded(path, {"VAST_URL": "http://env.example/"}).config.api.url == "http://env.example"
    assert loaded(path, {"VAST_URL": ""}).config.api.url == "https://file.example"


def test_a_flag_does_not_hide_a_mistake_in_its_section(write: Write) -> None:
    path = write("web: 5\n")
    assert mistakes(path, web__listen_address=":2") == [f"web: 5: expected keys and values: {WEB_KEYS}"]


# Secrets

REAL = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        f"accounts: [{{name: a, api_key:{REAL}}}]",
        f"accounts:\n- name: a\n  api_key:{REAL}\n",
        f"accounts:\n- name: a api_key:{REAL}\n",
        f"accounts: [{{name: a, api_key_env: x{REAL}}}]",
        f"accounts: [{{name: a, api_key_file: {REAL}}}]",
        f"accounts: [{{name: a, api_key: *{REAL}}}]",
        f"accounts: [{{name: a, api_key: !!int {REAL}}}]",
        f"accounts: [{{name: a, api_key: {{{REAL}: 1}}}}]",
        f"accounts: [{{name: a, api_key: [{REAL}]}}]",
        f"accounts: [{{name: a, api_key: {'1234567890' * 7}}}]",
        f"accounts: [{REAL}]",
        f"accounts: {REAL}",
        f"accounts: [{{name: a, {REAL}: x}}]",
        f"api_key: {REAL}",
        f"{REAL}: x",
        f"api: {{url: 'https://x:{REAL}@vast.example'}}",
        REAL,
    ],
)
def test_a_key_in_a_wrong_place_is_not_shown(text: str, write: Write) -> None:
    shown = "\n".join(mistakes(write(text)))
    assert REAL not in shown
    assert "1234567890" not in shown


def test_a_key_is_in_no_representation(write: Write) -> None:
    assert KEY not in repr(loaded(write(ACCOUNT)))
    assert KEY not in str(loaded(write(ACCOUNT)).config.model_dump())


# Whatever stands in the file

SECRET = "Zq7-not-for-anybody-Zq7"
SCALARS_OF_YAML = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.sampled_from(["5m", "0s", ":80", "/m", "debug", "json", "https://a", "key", "\ud800", b"\xff"])
    | st.dates()
)
ANYTHING = st.recursive(
    SCALARS_OF_YAML,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS_OF_YAML, inner, max_size=3),
    max_leaves=6,
)


def sections(tree: object) -> st.SearchStrategy[object]:
    """Return files that are nearly right: the keys of the models, with anything in their places."""
    if not isinstance(tree, dict):
        return ANYTHING
    usual: dict[object, st.SearchStrategy[object]] = {
        key: st.just(value) | sections(value) for key, value in tree.items()
    }
    return st.fixed_dictionaries({}, optional=usual) | ANYTHING


ACCOUNTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["a", "b"]) | ANYTHING,
            "api_key": st.just(SECRET)
            | st.sampled_from([f"{SECRET} {SECRET}", [SECRET], {SECRET: SECRET}, {"a": {"b": SECRET}}]),
            "api_key_file": st.sampled_from(["key", "/", "nothing"]) | ANYTHING,
            "api_key_env": st.sampled_from(["SET", "UNSET"]) | ANYTHING,
            "select_filters": st.just({"gpu_name": {"in": ["RTX 4090"]}}) | ANYTHING,
        },
    )
    | st.just(SECRET),
    max_size=3,
)
TREE = CONFIG.model_validate({}).model_dump() | {"accounts": ()}
FILES = st.tuples(sections(TREE), ACCOUNTS | ANYTHING).map(
    lambda pair: pair[0] | {"accounts": pair[1]} if isinstance(pair[0], dict) else pair[0]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key in it."""
    made = tmp_path_factory.mktemp("configuration")
    (made / "key").write_text(KEY)
    return made


@given(FILES)
@example({"accounts": [{"name": "a", "api_key": SECRET}]})
@example({"accounts": [{"name": SECRET[:3], SECRET: 1}]})
def test_any_value_anywhere_gives_a_configuration_or_lines_that_name_the_file(
    folder: Path, settings: object
) -> None:
    text = yaml.dump(settings, Dumper=yaml.SafeDumper, allow_unicode=True)
    outcome(folder, text)


@given(st.text(max_size=40) | st.lists(st.sampled_from("{}[]:,-&*!|>'\"%@`? \n\tax01.~<=")).map("".join))
def test_any_text_gives_a_configuration_or_lines_that_name_the_file(folder: Path, text: str) -> None:
    outcome(folder, text)


def outcome(folder: Path, text: str) -> None:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    lines: tuple[str, ...] = ()
    try:
        found = load(path, {"VAST_API_KEY": KEY, "SET": KEY}, {}).accounts
    except ConfigError as error:
        found, lines = (), error.lines
    assert bool(found) != bool(lines)
    assert all(line.startswith(f"{path}: ") and line.isprintable() for line in lines)
    assert SECRET not in "".join(lines)


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("500ms", 0.5),
        ("1100ms", 1.1),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1d", 86400.0),
        ("1w", 604800.0),
        ("1y2w3d4h5m6s7ms", 33019506.007),
    ],
)
def test_a_duration_is_what_prometheus_takes_it_for(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1.5s", "5 m", "m", "-1s", "30m1h", "1s1s", "1S", "٣s", "1s\n"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_a_duration_comes_back_from_its_text(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


def test_a_filter_that_is_spelt_as_the_vendors_client_does_is_told_of(write: Write) -> None:
    path = write(
        """
        accounts:
          - {name: a, api_key: k, select_filters: {gpu_name: {in: [RTX_4090, RTX 3090]}, label: {eq: my_job}}}
          - {name: b, api_key: k, select_filters: {gpu_name: {neq: A100_SXM4}, id: {gt: 5}}}
          - {name: c, api_key: k, select_filters: {gpu_name: {eq: null}, actual_status: {in: [a_b]}}}
        """
    )
    assert loaded(path).notes == (
        (
            f"{path}: accounts[0].select_filters: gpu_name: 'RTX_4090': matches nothing;"
            " the API writes 'RTX 4090'"
        ),
        (
            f"{path}: accounts[1].select_filters: gpu_name: 'A100_SXM4': matches nothing;"
            " the API writes 'A100 SXM4'"
        ),
    )
