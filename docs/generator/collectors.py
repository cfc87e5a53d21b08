"""Tables and sentences for several pages, from the declarations of the collectors."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporter.collectors import COLLECTORS
from exporter.collectors.assumptions import everywhere
from exporter.collectors.assumptions.standing import assumptions_of
from exporter.config.durations import format_duration
from exporter.config.models import Api
from exporter.vast.pace import MARGIN
from generator.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.collectors import Collector
    from exporter.collectors.assumptions.declaration import Assumption, Origin
    from exporter.vast.endpoints import Endpoint, Host

#: The sources of assumptions, in words.
_ORIGINS: Mapping[Origin, str] = {
    "measured": "live replies",
    "client": "the vendor's client",
    "documents": "the vendor's documents",
    "inferred": "a conclusion",
}
#: Seconds of a day.
DAY = 86_400
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def facts(collector: Collector) -> str:
    """Return the sentences that introduce the metrics of a collector."""
    state = "on by default" if collector.enabled else "off by default"
    often = f"every {format_duration(collector.interval)}"
    whom = "" if collector.scope == "account" else ", once for all accounts with the first one's key"
    told = f"Collector {code(collector.name)}: {state}, {often}{whom}; {need(collector)}."
    return f"{sentence(collector.about)} {told}"


def need(collector: Collector) -> str:
    """Return the permission that it needs, in words."""
    return f"the key needs {code(collector.permission) or 'a permission that is not documented'}"


def permissions() -> str:
    """Return docs/permissions.md's table of the permissions that a key needs, and what they open up."""
    return table(
        ("collector", "by default", "permission", "data", "the permission also gives access to"),
        [
            (
                code(each.name),
                _state(each),
                code(each.permission) or "not documented",
                each.about,
                each.opens,
            )
            for each in COLLECTORS
        ],
    )


def endpoints() -> str:
    """Return the table of endpoints for docs/api.md."""
    return table(
        ("endpoint", "collector", "data", "documented threshold", "pace"),
        [
            (
                code(request(endpoint)),
                f"{code(collector.name)}{'' if collector.enabled else ' (off by default)'}",
                collector.about,
                _seconds(endpoint.threshold)
                if endpoint.documented
                else f"none; {_seconds(endpoint.threshold)} is assumed",
                _seconds(endpoint.threshold * MARGIN),
            )
            for collector, endpoint in _asked()
        ],
    )


def costs() -> str:
    """Return docs/api.md's table of the requests per day of each collector for an account."""
    return table(
        ("collector", "by default", "interval", "requests per day"),
        [
            (code(each.name), _state(each), format_duration(each.interval), _a_day(each))
            for each in COLLECTORS
        ],
    )


def _a_day(collector: Collector) -> str:
    count = f"{round(DAY / collector.interval) * collector.requests:,}"
    return f"{count} for each {collector.requests_for}" if collector.requests_for else count


def requests() -> str:
    """Return SECURITY.md's list of requests, and how many of them are sent by default."""
    asked = list(_asked())
    usual = [endpoint for collector, endpoint in asked if collector.enabled]
    methods = " and ".join(sorted({endpoint.method for endpoint in usual}))
    paths = len({(endpoint.host, endpoint.path) for endpoint in usual})
    hosts = len({endpoint.host for endpoint in usual})
    words = (
        f"By default the exporter sends {methods} requests to {_counted(paths, 'path')} of"
        f" {_counted(hosts, 'host')}. This table lists every request that it can send:"
    )
    rows = [
        (
            code(f"{endpoint.method} {endpoint.path}"),
            _host(endpoint.host),
            code(collector.name),
            _state(collector),
        )
        for collector, endpoint in asked
    ]
    posts = [endpoint for _, endpoint in asked if endpoint.method != "GET"]
    after = "\nThe POST requests are queries too and change nothing.\n" if posts else ""
    return f"{words}\n\n{table(('request', 'host', 'collector', 'by default'), rows)}{after}{_probed()}"


def _probed() -> str:
    """Return the requests that only the command `probe` sends."""
    paths = [
        code(f"{collector.endpoints[0].method} {each.question.path}")
        for collector in COLLECTORS
        for each in collector.assumptions
        if each.question is not None and each.question.path
    ]
    return f"\nThe command `probe` also sends {' and '.join(paths)}.\n" if paths else ""


def assumptions() -> str:
    """Return docs/api.md's tables of the assumptions about the API, and their confidence."""
    tables = [f"\n### {each.title}\n\n{_assumptions(assumptions_of(each))}" for each in COLLECTORS]
    return "".join([*tables, f"\n### The API as a whole\n\n{_assumptions(everywhere.ASSUMPTIONS)}\n"])


def _assumptions(listed: Iterable[Assumption]) -> str:
    return table(
        ("assumption", "confidence", "source", "consequence", "name in `probe`"),
        [
            (
                sentence(each.sentence),
                each.confidence,
                _ORIGINS[each.origin],
                sentence(each.consequence),
                code(each.name) if each.check is not None else "",
            )
            for each in listed
        ],
    )


def request(endpoint: Endpoint) -> str:
    """Return an endpoint as it is requested, with its host if that is not the usual one."""
    host = "" if endpoint.host == "api" else _name_of(endpoint.host)
    return f"{endpoint.method} {host}{endpoint.path}"


def sentence(words: str) -> str:
    """Return words with a capital and a full stop."""
    return f"{words[:1].upper()}{words[1:]}".rstrip(".") + "." if words else ""


def _asked() -> Iterable[tuple[Collector, Endpoint]]:
    return ((collector, endpoint) for collector in COLLECTORS for endpoint in collector.endpoints)


def _state(collector: Collector) -> str:
    return "on" if collector.enabled else "off"


def _host(host: Host) -> str:
    return f"{code(_name_of(host))} ({code(f'api.{_key(host)}')})"


def _key(host: Host) -> str:
    """Return the configuration's key for the URL of a host, in the section `api`."""
    return "url" if host == "api" else f"{host}_url"


def _name_of(host: Host) -> str:
    return str(urlsplit(Api.model_fields[_key(host)].default).hostname)


def _seconds(seconds: float) -> str:
    return f"{seconds:.4g} s"


def _counted(number: int, noun: str) -> str:
    words = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{words} {noun}{'' if number == 1 else 's'}"
