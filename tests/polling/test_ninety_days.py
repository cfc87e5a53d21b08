"""Ninety days with everything that changes: what is kept of it does not grow."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

import pytest

from exporter.collectors import COLLECTORS
from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.logs import Redactor
from exporter.polling.poller import Poller
from exporter.simulator import INSTANCES, ManualClock, SimulatedVast
from exporter.vast.keys import Key
from tests.support.scripted_api import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from exporter.polling.loop import Loop
    from exporter.simulator import Reply

DAY = 86_400.0
#: Days for which a guest stays.
VISIT = 5
#: Days after which all that has a limit has reached it.
SETTLED = 30
DAYS = 90
#: What there may be more at the end: not all days have as many charges.
GROWTH = 1.02
LASTING = "one"
SIZE = 20
#: What belongs to nobody, or to everybody.
SHARED = (
    *(
        type,
        types.ModuleType,
        types.FunctionType,
        types.BuiltinFunctionType,
        types.MethodType,
        types.CodeType,
    ),
    ReferenceType,
)


class ChangingAccounts:
    """An account that stays, with a key that is rotated in its file, and others that come and go.

    What users write, and what the API may say in any words, is new each day.
    """

    def __init__(self, vast: SimulatedVast, clock: ManualClock, folder: Path) -> None:
        self._vast = vast
        self._clock = clock
        self._folder = folder
        self._day = 0
        self._guest = ""
        vast.add_account(LASTING, "the-first-key", size=SIZE)
        vast.faults.always(INSTANCES, self._changed)
        self.redact = Redactor(most=20)
        self.poller = Poller(
            self._loaded(), redact=self.redact, clock=clock, wall_clock=lambda: clock() + 1_760_000_000
        )

    def live_for_a_day(self) -> None:
        """Let time pass, change what can be changed, and let each loop run, and be scraped."""
        self._day += 1
        self._clock.advance(DAY)
        self._vast.rotate(f"the-key-of-day-{self._day}", LASTING)
        if self._day % VISIT == 1:
            self._guest = f"guest-{self._day}"
            self._vast.add_account(self._guest, f"key-of-{self._guest}", size=2)
        self.poller.apply(self._loaded())
        threads = threading.active_count()
        self.poller._scheduler.begin_due()  # noqa: SLF001 - by its own thread it would do so in real time
        wait_until(lambda: threading.active_count() <= threads)
        for openmetrics in (False, True):
            assert b"".join(self.poller.exposition.body(openmetrics=openmetrics, gzip=False).pieces)

    @property
    def loops(self) -> tuple[Loop, ...]:
        return tuple(self.poller.loops)

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _loaded(self) -> Loaded:
        names = [LASTING, *([self._guest] if self._guest else [])]
        for name in names:
            self._path(name).write_text(str(self._vast.accounts[name].key))
        times = {"interval": f"{60 + self._day % 7}s", "stale_after": "30d"}
        config = CONFIG.model_validate(
            {
                "api": {
                    "url": self._vast.url,
                    "run_url": self._vast.run_url,
                    "min_interval": "0s",
                    "timeout": f"{5 + self._day % 3}s",
                },
                "collectors": {each.name: {"enabled": True, **times} for each in COLLECTORS},
                "limits": {"labels": 20 + self._day % 2},
            }
        )
        return Loaded(config, tuple(AccountKey(name, Key(self._path(name)), {}) for name in names), ())

    def _changed(self, _params: Mapping[str, str], due: Reply) -> Reply:
        """Write something new in each place for text, and what can't be read into others."""
        content: dict[str, Any] = json.loads(due.body)
        for number, row in enumerate(content.get("instances", ())):
            new = f"{self._day}-{number}"
            row["id"] = 1 + number  # the same instances stay: of these is most to be told
            row |= {"label": f"run-{new}", "actual_status": f"state-{new}", "gpu_name": f"GPU {new}"}
            row |= {"dph_total": "much", "gpu_temp": [new], "disk_space": 1e300, "image_uuid": new}
        return replace(due, body=json.dumps(content).encode())


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)


def held_by(*roots: object) -> Iterator[object]:
    """Yield all objects that can be reached, but for code and what weak references lead to."""
    seen: set[int] = set()
    waiting = [*roots]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, SHARED):
            continue
        seen.add(id(each))
        yield each
        waiting += gc.get_referents(each)


def size_of(changing: ChangingAccounts) -> tuple[int, int]:
    """Return how many objects there are, and how many bytes they have."""
    gc.collect()
    found = [sys.getsizeof(each) for each in held_by(changing.poller, changing.redact)]
    return len(found), sum(found)


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[ChangingAccounts]:
    clock = ManualClock(1_760_000_000.0)
    with SimulatedVast(size=1, clock=clock, thresholds=False) as vast:
        yield ChangingAccounts(vast, clock, tmp_path)


@pytest.mark.timeout(600)  # some 40 s on an idle machine
def test_after_ninety_days_of_changes_no_more_is_kept_than_after_thirty(changing: ChangingAccounts) -> None:
    for _ in range(SETTLED):
        changing.live_for_a_day()
    objects, size = size_of(changing)

    for _ in range(DAYS - SETTLED):
        changing.live_for_a_day()

    assert changing.loops[0].runs.ended_runs == DAYS
    assert all(loop.runs.success for loop in changing.loops)
    after = size_of(changing)
    assert after[0] <= objects * GROWTH
    assert after[1] <= size * GROWTH
