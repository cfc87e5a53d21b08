"""Loops in virtual time, and collectors whose runs are told beforehand."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from exporter import logs
from exporter.collectors import COLLECTORS, Collector
from exporter.collectors.base import Collect, Progress, Run
from exporter.config.models import CollectorSettings
from exporter.exposition.self_metrics import SelfMetrics
from exporter.logs import Redactor
from exporter.polling.job import Job
from exporter.polling.loop import Context, Loop
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import NetworkError
from exporter.vast.keys import Key

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.scripted_api import ClientSetup, VirtualTime

    NewLoop = Callable[..., Loop]
    Logged = Callable[[], list[tuple[str, str, dict[str, Any]]]]

ENDPOINT = Endpoint("/api/v1/things/", 1.0)
INSTANCES = COLLECTORS[0]
INTERVAL = 60.0
#: The fields of every line that is about a scripted run.
THINGS = {"account": "research", "collector": "things"}
DOWN = NetworkError("the connection failed: Connection refused")


class Script:
    """A collector's runs, told beforehand: how many seconds each takes, and the error that it ends with.

    After the last one, the loop is stopped.
    """

    def __init__(self, time: VirtualTime, *runs: tuple[float, BaseException | None]) -> None:
        self.starts: list[float] = []
        self.stop: Callable[[], None] = lambda: None
        self._time = time
        self._runs = iter(runs)
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, _run: Run, /) -> Iterator[Progress]:
        self.starts.append(self._time.now)
        step = next(self._runs, None)
        if step is None:
            self.stop()
            return
        self.meanwhile()
        self._time.now += step[0]
        yield Progress(pages=2, objects=30, total=30)
        if step[1] is not None:
            raise step[1]

    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.starts)]


def things(collect: Collect) -> Collector:
    """A collector of things that are not there."""
    return Collector(
        name="things",
        title="Things",
        about="things",
        permission="none",
        endpoints=(ENDPOINT,),
        objects="things",
        interval=INTERVAL,
        stale_after=300.0,
        collect=collect,
    )


def drive(loop: Loop, time: VirtualTime, steps: int = 10**6) -> None:
    """Step a loop whenever it is due, which lets time pass, until it is stopped or has had its steps."""
    for _ in range(steps):
        if loop.stopped:
            return
        time.now = max(time.now, loop.due)
        loop.step()


@pytest.fixture
def new_loop(setup: ClientSetup) -> NewLoop:
    """Makes loops in virtual time; what they share is made anew for each."""
    setup.min_interval = 0.0

    def make(
        collect: Collect | None = None,  # in place of the instances' own
        *,
        key: Key | None = None,
        interval: float = INTERVAL,
        progress: Callable[[Job, Progress], None] = lambda _job, _progress: None,
        self_metrics: SelfMetrics | None = None,
        event: Callable[[], threading.Event] = setup.time.event,
        account: str = "research",
        exposed: set[Path] | None = None,
    ) -> Loop:
        job = Job(
            account=account,
            key=key or Key(value=setup.key),
            filters={},
            urls={"api": setup.url},
            collector=INSTANCES if collect is None else things(collect),
            settings=CollectorSettings.model_construct(
                enabled=True, interval=interval, stale_after=max(300.0, interval)
            ),
        )
        context = Context(
            options=setup.options(),
            self_metrics=self_metrics or SelfMetrics(),
            redact=Redactor(),
            progress=progress,
            event=event,
            exposed=exposed if exposed is not None else set(),
        )
        loop = Loop(job, context)
        if isinstance(collect, Script):
            collect.stop = loop.stop
        return loop

    return make


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """Returns what has been logged: level, message and fields."""
    caplog.set_level(logging.DEBUG, "exporter")
    return lambda: [
        (record.levelname, record.getMessage(), getattr(record, "fields", {})) for record in caplog.records
    ]


@pytest.fixture
def text(caplog: pytest.LogCaptureFixture, setup: ClientSetup) -> Callable[[], str]:
    """Returns what has been logged, as the daemon writes it; it knows the key."""
    caplog.set_level(logging.DEBUG, "exporter")
    redact = logs.Redactor()
    redact.learn(setup.key)
    formatter = logs.Formatter("logfmt", redact)
    return lambda: "\n".join(map(formatter.format, caplog.records))


def runs(*outcomes: BaseException | None, seconds: float = 0.0) -> list[tuple[float, BaseException | None]]:
    return [(seconds, outcome) for outcome in outcomes]


def page(*ids: int, token: str | None = None) -> dict[str, Any]:
    """Return a page of running instances."""
    rows = [{"id": number, "actual_status": "running"} for number in ids]
    return {"instances": rows, "total_instances": len(rows), "next_token": token}
