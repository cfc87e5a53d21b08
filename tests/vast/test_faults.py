"""An API in trouble for a while: what is shown and counted, and how all gets well again without help."""

from __future__ import annotations

import socket
from dataclasses import replace
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from exporter.collectors import instances
from exporter.exposition.body import Exposition, Source
from exporter.exposition.self_metrics import SelfMetrics
from exporter.logs import Redactor
from exporter.polling.job import Job
from exporter.polling.loop import LONGEST_PAUSE, Context, Loop
from exporter.polling.wall_clock import WallClock
from exporter.vast.client import ATTEMPTS
from exporter.vast.keys import Key
from exporter.vast.pace import LONGEST_WAIT
from exporter.vast.pages import USUAL_PAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.vast.endpoints import Host
    from tests.support.scripted_api import Api, Asked, ClientSetup, Play

    #: What a broken API does with a request.
    Fault = Callable[[Api, Asked], Play]

pytestmark = pytest.mark.private_parts

INTERVAL, STALE_AFTER = 60.0, 1000.0
HOUR, DAY = 3600.0, 86400.0
#: When the API is in trouble: from before the second run on, for three runs at most.
BEGINS, ENDS = 30.0, 130.0
EPOCH = 1_700_000_000.0
A_WEEK_AHEAD = "Tue, 21 Nov 2023 22:13:20 GMT"
HEALTHY = {None: (1, 2, "a"), "a": (3, 4, None)}


def page(*ids: int, token: str | None = None, total: int | None = None) -> dict[str, Any]:
    rows = [{"id": number, "actual_status": "running"} for number in ids]
    return {"success": True, "instances": rows, "total_instances": total, "next_token": token}


def healthy(api: Api, asked: Asked, **headers: str) -> bytes:
    first, last, token = HEALTHY[asked.params.get("after_token")]
    return api.reply(page(first, last, token=token, total=4), 200, **headers)


class Accounts:
    """An account whose API breaks, and another one beside it, which are served together.

    Attributes:
        begins: when the trouble begins.
        ends: when it ends.
        asked: when requests came from the one account.
        patience: seconds that a request may take in trouble; real ones, as sockets know no others.

    """

    def __init__(self, setup: ClientSetup, *, broken: Api, sound: Api) -> None:
        self.begins, self.ends = BEGINS, ENDS
        self.asked: list[float] = []
        self.patience = setup.timeout
        self.self_metrics = SelfMetrics()
        self.self_metrics.wall = WallClock(setup.time, lambda: setup.wall_clock).at
        self._setup = setup
        self._time = setup.time
        self._start = setup.time.now
        setup.min_interval = 0.0
        self.broken = self._loop(setup, "broken", broken)
        self.sound = self._loop(replace(setup, timeout=30.0), "sound", sound)
        sources = [
            Source(loop.job.account, instances.COLLECTOR, loop.store, STALE_AFTER)
            for loop in (self.broken, self.sound)
        ]
        self._exposition = Exposition(
            lambda: sources,
            self.self_metrics,
            clock=setup.time,
            most_labels=200,
            metrics=instances.COLLECTOR.metrics,
        )
        sound.answer = lambda asked: healthy(sound, asked)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._time.now - self._start

    def in_trouble(self) -> bool:
        """Return whether the one account's API is broken, and note that it was asked."""
        self.asked.append(self.now)
        return self.begins <= self.now < self.ends

    def run(self, meanwhile: Callable[[], None]) -> None:
        """Run the one account until a success after the trouble; call `meanwhile` after each failed run."""
        assert self.sound.run_once()
        runs, seen = self.broken.runs, 0
        while not (self.now > self.ends and runs.success):
            self._time.now = max(self._time.now, self.broken.due)
            self._be_patient(self.patience if self.begins <= self.now < self.ends else self._setup.timeout)
            self.broken.step()
            if runs.failing > seen:
                meanwhile()
            seen = runs.failing

    def _be_patient(self, seconds: float) -> None:
        client = self.broken._client  # noqa: SLF001 - a reload would make the loop run at once
        client.options = replace(client.options, timeout=seconds)

    def scrape(self) -> str:
        """Return all that is served."""
        return b"".join(self._exposition.body(openmetrics=False, gzip=False).pieces).decode()

    def shown(self) -> tuple[int, int]:
        """Return how many instances of either account are served."""
        text = self.scrape()
        broken, sound = (
            text.count(f'vastai_instance_info{{account="{name}",') for name in ("broken", "sound")
        )
        return broken, sound

    def _loop(self, setup: ClientSetup, account: str, api: Api) -> Loop:
        urls: dict[Host, str] = {"api": api.url}
        times = {"interval": INTERVAL, "stale_after": STALE_AFTER}
        job = Job(
            account=account,
            key=Key(value=f"key-of-{account}"),
            filters={},
            urls=urls,
            collector=instances.COLLECTOR,
            settings=instances.COLLECTOR.settings().model_copy(update=times),
        )
        context = Context(
            options=replace(setup.options(), urls=urls),
            self_metrics=self.self_metrics,
            redact=Redactor(),
            progress=lambda _job, _progress: None,
            event=setup.time.event,
        )
        return Loop(job, context)


class Case(NamedTuple):
    """What goes wrong, and the reason that is counted."""

    name: str
    fault: Fault
    reason: str


def reply(content: object, status: int = 200, **headers: str) -> Fault:
    return lambda api, _asked: api.reply(content, status, **headers)


def second(content: object, status: int = 200) -> Fault:
    """A first page as it should be, and then this."""
    return lambda api, asked: (
        api.reply(content, status) if "after_token" in asked.params else healthy(api, asked)
    )


CHUNKED = {"Transfer_Encoding": "chunked"}
CASES = [
    *(Case(str(status), reply(b"", status), "server_error") for status in (500, 502, 503, 504)),
    Case("429", reply(b"API requests too frequent", 429), "rate_limited"),
    Case("429 in JSON", reply({"error": "rate_limit_exceeded"}, 429), "rate_limited"),
    Case("429 with a threshold", reply(b"endpoint threshold=2.0", 429), "rate_limited"),
    Case("429 with seconds", reply(b"", 429, Retry_After="5"), "rate_limited"),
    Case("429 with a date", reply(b"", 429, Retry_After="Tue, 14 Nov 2023 22:13:27 GMT"), "rate_limited"),
    Case("reset", lambda api, _: api.reset(), "network"),
    Case("closed", lambda api, _: api.break_off(), "network"),
    Case("truncated", lambda api, _: api.break_off(api.head(Content_Length="99") + b"{"), "network"),
    Case("silence", lambda api, _: api.hang(), "timeout"),
    Case("byte by byte", lambda api, _: api.drip(api.head(Content_Length="9999")), "timeout"),
    Case(
        "gigabytes",
        lambda api, _: api.flood(api.head(**CHUNKED), b"10000\r\n" + 0x10000 * b" " + b"\r\n"),
        "bad_reply",
    ),
    Case("broken JSON", reply(b'{"instances": ['), "bad_reply"),
    Case("HTML", reply(b"<html>"), "bad_reply"),
    Case("a list", reply([]), "bad_reply"),
    Case("no success", reply({"success": False}), "bad_reply"),
    Case("null", reply({"instances": None, "total_instances": 4}), "bad_reply"),
    Case("redirect to another host", reply(b"", 302, Location="http://vast.invalid/"), "bad_reply"),
    Case("unknown key", reply({"error": "auth_error", "msg": "Invalid user key"}, 404), "auth"),
    Case("revoked key", reply({"success": False, "msg": "Invalid user key"}, 401), "auth"),
    Case("no permission", reply({"detail": "Forbidden"}, 403), "auth"),
    Case("a firewall's page", reply(b"<html>", 403), "bad_reply"),
    Case("401 without a word", reply(b"", 401), "client_error"),
    Case("gone", reply({"error": "deprecated_endpoint"}, 410), "client_error"),
    Case("502 on the second page", second(b"", 502), "server_error"),
    Case("invalid token", second({"error": "invalid_token"}, 400), "client_error"),
    Case("repeated token", second(page(3, 4, token="a")), "incomplete"),
    Case("empty page with a token", second(page(token="b")), "incomplete"),
    Case("the first page again", second(page(1, 2, token="b")), "incomplete"),
    Case("a page too long", second(page(*range(3, 29))), "incomplete"),
]


def check(accounts: Accounts, reason: str) -> None:
    """Run through the trouble, and hold what happens against all that is promised."""
    labels = 'account="broken",collector="instances"'
    runs = accounts.broken.runs

    def meanwhile() -> None:
        text = accounts.scrape()
        assert f"vastai_collector_success{{{labels}}} 0\n" in text
        assert f'vastai_collector_failures_total{{{labels},reason="{reason}"}} {runs.failing}\n' in text
        assert accounts.shown() == (4, 4)
        assert accounts.sound.run_once()

    accounts.run(meanwhile)
    assert set(runs.failures) == {reason}
    assert (runs.success, runs.failing, runs.error) == (True, 0, "")
    assert accounts.shown() == (4, 4)
    assert not accounts.sound.runs.failures
    during = [at for at in accounts.asked if accounts.begins <= at < accounts.ends]
    assert len(during) <= 3 * (1 + ATTEMPTS)  # three runs: it does not hammer
    assert max(later - earlier for earlier, later in pairwise(accounts.asked)) <= LONGEST_PAUSE * INTERVAL


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_in_trouble_the_last_good_data_stand_and_it_is_over_without_help(
    case: Case, api: Api, second_api: Api, setup: ClientSetup
) -> None:
    accounts = Accounts(setup, broken=api, sound=second_api)
    if case.reason == "timeout":
        accounts.patience = 0.3
        accounts.ends = 65.0  # one run is enough: its time is real

    api.answer = lambda asked: case.fault(api, asked) if accounts.in_trouble() else healthy(api, asked)
    check(accounts, case.reason)


@pytest.mark.parametrize("trouble", ["refused", "no such name", "no TLS"])
def test_no_connection_is_trouble_like_any_other(
    trouble: str,
    trusted_tls: Api,
    api: Api,
    second_api: Api,
    setup: ClientSetup,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts = Accounts(setup, broken=trusted_tls, sound=second_api)
    trusted_tls.answer = lambda asked: healthy(trusted_tls, asked, Connection="close")
    api.greeting = api.break_off(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    look_up = socket.getaddrinfo

    def resolve(host: str, port: int, **options: Any) -> Any:  # noqa: ANN401 - as the function has it
        if port != trusted_tls.port or not accounts.in_trouble():
            return look_up(host, port, **options)
        if trouble == "no such name":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        elsewhere = {"refused": closed_port, "no TLS": api.port}
        return look_up("127.0.0.1", elsewhere[trouble], **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    check(accounts, "network")


def test_an_account_that_fails_for_hours_is_asked_now_and_then_and_leaves_another_alone(
    api: Api, second_api: Api, setup: ClientSetup
) -> None:
    accounts = Accounts(setup, broken=api, sound=second_api)
    accounts.ends = 5 * HOUR
    api.answer = lambda asked: api.reply(b"", 502) if accounts.in_trouble() else healthy(api, asked)

    def meanwhile() -> None:
        assert accounts.sound.run_once()
        assert accounts.shown() == (4 if accounts.now <= STALE_AFTER else 0, 4)

    accounts.run(meanwhile)
    assert accounts.shown() == (4, 4)
    assert accounts.now - accounts.ends <= (LONGEST_PAUSE + 1) * INTERVAL
    runs = accounts.broken.runs.failures["server_error"]
    assert 5 * HOUR / (LONGEST_PAUSE * INTERVAL) <= runs <= 5 * HOUR / (LONGEST_PAUSE / 2 * INTERVAL)
    assert len(accounts.asked) <= runs * ATTEMPTS + 4


@pytest.mark.parametrize("leap", [DAY, -DAY])
def test_a_leap_of_the_wall_clock_changes_neither_the_schedule_nor_what_is_stale(
    leap: float, api: Api, second_api: Api, setup: ClientSetup
) -> None:
    accounts = Accounts(setup, broken=api, sound=second_api)
    accounts.begins, accounts.ends = 330.0, 330.0 + 2 * STALE_AFTER

    def answer(asked: Asked) -> Play:
        in_trouble = accounts.in_trouble()
        setup.wall_clock = EPOCH + accounts.now + (leap if accounts.now >= 90 else 0)
        return api.reply(b"", 429, Retry_After=A_WEEK_AHEAD) if in_trouble else healthy(api, asked)

    def meanwhile() -> None:
        confirmed = 300.0  # by the last run before the trouble
        assert accounts.shown()[0] == (4 if accounts.now <= confirmed + STALE_AFTER else 0)

    api.answer = answer
    accounts.run(meanwhile)
    before = [at for at in accounts.asked if at < accounts.begins]
    assert before == pytest.approx([n * INTERVAL for n in range(6) for _ in HEALTHY])
    assert accounts.now - accounts.ends <= (LONGEST_PAUSE + 1) * INTERVAL + 3 * LONGEST_WAIT
    assert accounts.shown()[0] == 4
    assert accounts.broken.runs.last_success == pytest.approx(setup.wall_clock)


def test_pages_without_end_are_trouble_that_ends(api: Api, second_api: Api, setup: ClientSetup) -> None:
    accounts = Accounts(setup, broken=api, sound=second_api)
    accounts.ends = 65.0
    numbers = count(1)

    def answer(asked: Asked) -> Play:
        if not accounts.in_trouble():
            return healthy(api, asked)
        number = next(numbers)
        return api.reply(page(number, token=f"token {number}"))

    api.answer = answer
    accounts.run(lambda: None)
    assert accounts.broken.runs.failures == {"incomplete": 1}
    assert len(accounts.asked) == 2 + USUAL_PAGES + 2
