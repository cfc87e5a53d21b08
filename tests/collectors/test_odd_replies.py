"""Whatever an API answers, a run of any collector ends well or with an error of the API, and is shown well.

Every collector is tried by its declaration: what the simulated Vast.ai answers it, with something changed.
"""

from __future__ import annotations

import json
import re
from itertools import chain, repeat
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import COLLECTORS
from exporter.collectors.base import Collector, Run, Store
from exporter.config.models import Limits
from exporter.metrics.values import LONGEST_TEXT
from exporter.simulator import ManualClock, SimulatedVast
from exporter.vast.errors import ApiError
from exporter.vast.replies import Reply
from tests.support.members import rented
from tests.support.odd_json import json_values, paths_of, spoilt, with_each_kind
from tests.support.scripted_api import ClientSetup, VirtualTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporter.metrics.fields import Problems
    from exporter.vast.client import Client
    from exporter.vast.endpoints import Endpoint
    from tests.support.pipeline import Account, Exporter

    Json = Mapping[str, Any]

#: Days that the simulated Vast.ai has been there: some charges, some that has ended.
DAYS = 3
DAY = 86_400
#: Rows of each list that are kept of a recorded reply: enough for order and range to matter.
ROWS = 4
#: Requests of a run that get an odd answer.
ODD = 3
#: What is rented, by those who look at the fleets of all accounts.
FLEET = [rented(gpus=1, verified=False)]


class Answers:
    """A client of which each request is answered by the next of some bodies, and then by the last again."""

    def __init__(self, bodies: Iterable[bytes]) -> None:
        self._bodies = iter(bodies)

    def ask(self, endpoint: Endpoint, *_: object, **__: object) -> Json:
        reply = Reply(200, {}, next(self._bodies))
        return reply.content(key="a-key", now=0.0, bare_list=endpoint.bare_list)


class Recorder:
    """A client that keeps what it was answered."""

    def __init__(self, client: Client) -> None:
        self.replies: list[Json] = []
        self._client = client

    def ask(self, *args: Any, **parts: Any) -> Json:  # noqa: ANN401 - as the client has them
        self.replies.append(self._client.ask(*args, **parts))
        return self.replies[-1]


def run_of(
    collector: Collector, client: object, account: Account | None, report: Callable[[Problems], None]
) -> Run:
    return Run(
        account="research" if account is None else account.name,
        client=cast("Client", client),
        filters={},
        settings=collector.settings(),
        limits=Limits(),
        store=Store() if account is None else account.stores[collector.name],
        clock=ManualClock(1000.0),
        wall_clock=ManualClock(),
        report=report,
        fleet=lambda: FLEET,
    )


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[Json]]:
    """What a collector is answered when all is well, by its name; all that is long is cut."""
    clock = ManualClock()
    found: dict[str, list[Json]] = {}
    with SimulatedVast(size=400, clock=clock, thresholds=False) as vast:
        clock.advance(DAYS * DAY)
        setup = ClientSetup(
            url=vast.url, run_url=vast.run_url, time=VirtualTime(), key=vast.key, min_interval=0.0
        )
        for collector in COLLECTORS:
            recorder = Recorder(setup.client())
            *_, last = collector.collect(run_of(collector, recorder, None, lambda _: None))
            assert last.objects, f"the simulated Vast.ai has nothing for {collector.name}"
            found[collector.name] = [cut(reply) for reply in (*recorder.replies[:2], recorder.replies[-1])]
    return found


def cut(value: Any, rows: int = ROWS) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {name: cut(inner, rows) for name, inner in value.items()}
    return [cut(inner, rows) for inner in value[:rows]] if isinstance(value, list) else value


EVERY = pytest.mark.parametrize("collector", COLLECTORS, ids=lambda each: each.name)


def attempt(collector: Collector, account: Account, *replies: Json) -> None:
    """Run a collector, which gets these replies and then the last again, and see that it ends well."""
    bodies = [json.dumps(reply).encode() for reply in replies]
    counted: list[Problems] = []
    run = run_of(collector, Answers(chain(bodies, repeat(bodies[-1]))), account, counted.append)
    try:
        list(collector.collect(run))
    except ApiError as error:
        words = str(error)
        assert re.fullmatch(r"[\x20-\x7e]{1,500}", words)
    for problems in counted:
        assert problems.unreadable.keys() <= set(collector.fields)
        assert problems.out_of_range.keys() <= set(collector.ranged_fields)


def check(exporter: Exporter, *, openmetrics: bool = False) -> None:
    """See that the page can be read, no number is none, and no text is longer than it may be."""
    for (name, labels), value in exporter.samples(openmetrics=openmetrics).items():
        assert isfinite(value), name
        assert all(len(text.encode()) <= LONGEST_TEXT for _, text in labels), name


@EVERY
def test_no_kind_of_value_in_any_field_is_more_than_an_error_of_the_api_or_counted(
    collector: Collector, recorded: dict[str, list[Json]], new_exporter: Callable[..., Exporter]
) -> None:
    first, last = (
        cut(reply, rows=1) for reply in (recorded[collector.name][0], recorded[collector.name][-1])
    )
    for path in paths_of(first):
        exporter = new_exporter(collectors=(collector,))
        for number, odd in enumerate(with_each_kind(first, path)):
            if collector.scope == "market":  # one for all accounts
                exporter = new_exporter(collectors=(collector,))
            attempt(collector, exporter.account(f"{number}"), odd, last)
            if collector.scope == "market":
                check(exporter)
        check(exporter)


@EVERY
@given(data=st.data())
def test_no_odd_reply_is_more_than_an_error_of_the_api_or_counted(
    collector: Collector,
    recorded: dict[str, list[Json]],
    new_exporter: Callable[..., Exporter],
    data: st.DataObject,
) -> None:
    good = recorded[collector.name]
    values = json_values(*collector.fields, *collector.not_exported)
    odd = st.sampled_from(good).flatmap(lambda reply: spoilt(reply, values))
    exporter = new_exporter(collectors=(collector,), most_labels=5)
    account = exporter.account()

    if data.draw(st.booleans(), label="something is known already"):
        attempt(collector, account, *good)
    attempt(collector, account, *data.draw(st.lists(odd, min_size=1, max_size=ODD)), *good)

    check(exporter, openmetrics=data.draw(st.booleans(), label="openmetrics"))
