"""Hours of a simulated fleet in a Prometheus database, for screenshots and tests of the dashboards.

    python -m grafana.history FOLDER [--instances N] [--hours H] [--calm] [--port P]

Simulator, collectors and exposition run on manual clocks, so the same arguments give the same history. It
ends at 2026-01-15 18:00 UTC. promtool writes it into FOLDER and evaluates the recording rules over it. Then a
Prometheus serves it until Ctrl-C.
"""

from __future__ import annotations

import re
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import click

from exporter.collectors import COLLECTORS
from exporter.commands.configuration import CONFIG
from exporter.config.loading import AccountKey, Loaded
from exporter.exposition import budgets
from exporter.exposition.body import Exposition, Source
from exporter.exposition.self_metrics import SelfMetrics
from exporter.logs import Redactor
from exporter.polling.fleet import whole_fleet
from exporter.polling.job import jobs
from exporter.polling.loop import Context, Loop
from exporter.simulator import INSTANCES, IncidentType, ManualClock, Reply, SimulatedVast
from exporter.simulator.fleet.catalog import Workload
from exporter.simulator.fleet.sensors import load
from exporter.vast.client import Options
from exporter.vast.keys import Key
from exporter.vast.network import Network
from exporter.vast.pace import Paces
from grafana import tsdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RULES = Path(__file__).resolve().parent.parent / "deploy/prometheus/recording.rules.yml"
#: Every history ends here, so that its length does not change the instances' ids and ages.
END = 1_768_500_000.0  # 2026-01-15 18:00 UTC
HOUR = 3600.0
MONTH = 30 * 24 * HOUR
#: Every collector runs between two scrapes.
INTERVALS = {collector.name: 60.0 for collector in COLLECTORS}
#: Except this one, which has a daily quota of searches and keeps its usual interval.
MARKET, MARKET_INTERVAL = "market", 900.0
INTERVALS[MARKET] = MARKET_INTERVAL
TARGET = 'job="vastai-exporter",instance="localhost:10622"'
#: The fullest disk of a calm fleet.
MOST_OF_DISK = 0.8
#: Workloads that may pause for so long that a GPU counts as idle, and the utilisation of a calm fleet's GPUs
#: in a pause, in per cent.
RESTING = {Workload.NOTEBOOK, Workload.SERVING}
LEAST_BUSY = 30.0
#: The share of the fleet in the first account, which is the simulator's own. The others share the rest.
FIRST_SHARE = 0.7
PLANNED = (
    budgets.Budget("research", 40_000.0, {"prod-inference": 12_000.0}),
    budgets.Budget("production", 16_000.0, {}),
)
NAMES = ("research", "production", "R&D", "vision", "speech", "batch")
_SAMPLE = re.compile(rb"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The requested history.

    Attributes:
        instances: number of instances over all accounts.
        accounts: number of accounts.
        hours: time from the first scrape to the last.
        step: seconds between two scrapes, and between two evaluations of rules.
        calm: without incidents, and without instances that need attention.
        seed: seed of all random values.

    """

    instances: int = 60
    accounts: int = 2
    hours: float = 6.0
    step: float = 60.0
    calm: bool = False
    seed: int = 1


class Exporter:
    """The exporter on a manual clock: its loops run one after another, and waiting advances the clock."""

    def __init__(self, vast: SimulatedVast, keys: Mapping[str, str], wall_clock: ManualClock) -> None:
        self._clock = _Busy(Random("requests"))
        self._searched = -MARKET_INTERVAL
        self._self_metrics = SelfMetrics(version="1.0.0", revision="4f2c1d9")
        self._self_metrics.wall = lambda moment: wall_clock() + moment - self._clock.time
        self._self_metrics.reloaded(at=self._clock.time)
        options = Options(
            urls={"api": vast.url, "run": vast.run_url},
            timeout=30.0,
            user_agent="history",
            network=Network(),
            paces=Paces(clock=self._clock),
            clock=self._clock,
            wall_clock=wall_clock,
            jitter=Random("jitter").random,
        )
        context = Context(
            options=options,
            self_metrics=self._self_metrics,
            redact=Redactor(),
            progress=lambda _job, _progress: None,
            event=lambda: _Moves(self._clock),
            fleet=lambda wait: whole_fleet(lambda: self.loops, self._clock, wait),
        )
        self.loops = [Loop(job, context) for job in jobs(_loaded(keys), COLLECTORS, INTERVALS)]
        sources = [
            Source(loop.job.account, loop.job.collector, loop.store, loop.job.settings.stale_after)
            for loop in self.loops
        ]
        self._exposition = Exposition(
            lambda: sources,
            self._self_metrics,
            clock=self._clock,
            most_labels=200,
            metrics=[
                *(metric for collector in COLLECTORS for metric in collector.metrics),
                *budgets.BUDGETS,
            ],
            constant=budgets.chunks(each for each in PLANNED if each.account in keys),
        )

    def step(self, seconds: float) -> None:
        """Run every loop once, then let the rest of `seconds` pass."""
        begin = self._clock.time
        end = begin + seconds
        searches = begin - self._searched >= MARKET_INTERVAL
        if searches:
            self._searched = begin
        for loop in self.loops:
            if loop.job.collector.name == MARKET and not searches:
                continue
            self._clock.time = begin  # in reality they run in parallel
            loop.run_once()
            end = max(end, self._clock.time)
        self._clock.time = end

    def scrape(self) -> bytes:
        """Return the body of a scrape."""
        return b"".join(self._exposition.body(openmetrics=False, gzip=False).pieces)


def _loaded(keys: Mapping[str, str]) -> Loaded:
    """Return the configuration of some accounts, by name, with every collector enabled."""
    collectors = {collector.name: {"enabled": True} for collector in COLLECTORS}
    accounts = tuple(AccountKey(name, Key(value=key), {}) for name, key in keys.items())
    return Loaded(CONFIG.model_validate({"collectors": collectors}), accounts, ())


class _Busy(ManualClock):
    """A clock that advances with every reading, as if a request were in progress."""

    def __init__(self, rng: Random) -> None:
        super().__init__(1000.0)
        self._rng = rng

    def __call__(self) -> float:
        self.time += 0.3 * self._rng.random() ** 3
        return self.time


class _Moves(threading.Event):
    """Advances a clock instead of waiting."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timeout or 0.0)
        return self.is_set()


def exposition(plan: Plan) -> Iterator[bytes]:
    """Yield the samples of every scrape with timestamps, in promtool's text format."""
    begin = END - plan.hours * HOUR
    clock = ManualClock(begin)
    sizes = _sizes(plan)
    first, *others = sizes
    keys = {name: f"key-of-{number}" for number, name in enumerate(sizes)}
    vast = SimulatedVast(
        size=sizes[first],
        seed=plan.seed,
        key=keys[first],
        clock=clock,
        thresholds=False,
        incidents=not plan.calm,
    )
    for number, name in enumerate(others, start=1):
        vast.add_account(name, keys[name], size=sizes[name], seed=plan.seed + number)
    with vast:
        exporter = Exporter(vast, keys, clock)
        steps = round(plan.hours * HOUR / plan.step)
        troubles = {} if plan.calm else _troubles(vast)
        due = {round(share * steps): act for share, act in troubles.items()}
        for number in range(steps + 1):
            clock.time = begin + number * plan.step
            due.get(number, lambda: None)()
            if plan.calm:
                _soothe(vast)
            exporter.step(plan.step)
            yield _dated(exporter.scrape(), clock.time)
    yield b"# EOF\n"


def _sizes(plan: Plan) -> dict[str, int]:
    """Return the number of instances of each account."""
    names = [*NAMES, *(f"team-{number:02}" for number in range(len(NAMES) + 1, plan.accounts + 1))][
        : plan.accounts
    ]
    first = round(plan.instances * (FIRST_SHARE if plan.accounts > 1 else 1))
    rest = plan.instances - first
    shares = [(rest + number) // len(names[1:]) for number in range(len(names) - 1)]
    return dict(zip(names, (first, *sorted(shares, reverse=True)), strict=True))


def _troubles(vast: SimulatedVast) -> Mapping[float, Callable[[], None]]:
    """Return the incidents that every screenshot shows, each with its point in the history as a share."""

    def begin(*kinds: IncidentType) -> None:
        for kind in kinds:
            with suppress(LookupError):  # a small fleet may have no suitable instance
                vast.inject(kind, duration=5 * HOUR)

    def fail(*replies: Reply) -> None:
        vast.faults.add(INSTANCES, *replies)

    def show(**fields: object) -> None:
        vast.fleet.override(vast.fleet.ids()[0], **fields)

    return {
        0.30: lambda: fail(*[Reply(500)] * 9),
        0.45: lambda: fail(Reply(429, b"endpoint threshold=1.0")),
        0.50: lambda: show(reliability2="good"),
        0.55: lambda: vast.fleet.restore(vast.fleet.ids()[0]),
        0.60: lambda: fail(*[Reply(drop=True)] * 6),
        0.65: lambda: begin(IncidentType.IDLE, IncidentType.HOST_OFFLINE, IncidentType.STUCK_LOADING),
        0.85: lambda: begin(
            IncidentType.DISK_FILLING,
            IncidentType.OVERHEATING,
            IncidentType.OUTBID,
            IncidentType.QUEUED,
            IncidentType.BOOT_FAILURE,
            IncidentType.CONTRACT_ENDING,
        ),
        0.93: lambda: vast.fleet.clear(IncidentType.HOST_OFFLINE),
        0.98: lambda: show(label="renamed"),
    }


def _soothe(vast: SimulatedVast) -> None:
    """Undo what the simulator does not count as an incident, but needs attention or looks as if it did.

    These are short contracts, full disks and freezing; interruptible instances that their user has stopped,
    because they look outbid; and GPUs without work for a quarter of an hour.
    """
    for account in vast.accounts:
        fleet = vast.fleet_of(account)
        for number in fleet.ids():
            instance = fleet.instance(number)
            profile = instance.contract.profile
            if instance.end_date < END + MONTH:
                fleet.override(number, end_date=END + MONTH)
            if profile.disk_share + profile.disk_growth > MOST_OF_DISK:
                usage = MOST_OF_DISK * instance.contract.disk_space
                fleet.override(number, disk_util=MOST_OF_DISK, disk_usage=usage)
            if instance.status == "frozen" or (instance.contract.is_bid and instance.intended == "stopped"):
                fleet.set_status(number, "running")
            if profile.workload in RESTING:
                fleet.override(number, gpu_util=max(LEAST_BUSY, round(100 * load(profile, fleet.now), 1)))


def _dated(scrape: bytes, now: float) -> bytes:
    """Return a scrape's samples as Prometheus would store them, with the target's labels and the time."""
    stamp = f" {now:.3f}".encode()
    dated = [
        b"up{%s} 1%s" % (TARGET.encode(), stamp),
        b"scrape_duration_seconds{%s} 0.004%s" % (TARGET.encode(), stamp),
        b"scrape_samples_scraped{%s} %d%s" % (TARGET.encode(), scrape.count(b"\n"), stamp),
    ]
    for line in scrape.split(b"\n"):
        if found := _SAMPLE.match(line):
            name, labels, value = found.groups()
            own = b"," + labels if labels else b""
            dated.append(b"%s{%s%s} %s%s" % (name, TARGET.encode(), own, value, stamp))
    return b"\n".join(dated) + b"\n"


def write(folder: Path, plan: Plan) -> None:
    """Write the history and the results of the recording rules into `folder`."""
    tsdb.write(folder, exposition(plan))
    tsdb.evaluate(folder, RULES, END - plan.hours * HOUR, END, plan.step)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--instances", default=60, show_default=True, help="How many, over all accounts.")
@click.option("--accounts", default=2, show_default=True, help="How many.")
@click.option("--hours", default=6.0, show_default=True, help="How long.")
@click.option("--step", default=60.0, show_default=True, help="Seconds between two scrapes.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same history.")
@click.option("--calm", is_flag=True, help="Nothing goes wrong.")
@click.option("--port", default=9090, show_default=True, help="Where Prometheus serves it.")
def main(folder: Path, port: int, **wanted: Any) -> None:  # noqa: ANN401 - the fields of Plan
    """Create a history, unless FOLDER has one, and serve it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops Prometheus too
    plan = Plan(**wanted)
    if not (folder / "data").exists():
        write(folder, plan)
    with tsdb.served(folder, plan.step, port) as url:
        click.echo(f"{url} has the hours before {END:.0f}")
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
