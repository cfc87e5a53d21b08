"""Applies every kind of fault, one after another, and checks for growth, losses and wrong values."""

from __future__ import annotations

import time
from collections import Counter
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from bench.client import Connection
from bench.faults import FAULTS
from bench.figures import Figure
from bench.processes import PATIENCE
from bench.stage import GUEST, INTERVALS, LASTING, LOOK, TROUBLED, configure, set_up
from exporter.collectors import COLLECTORS
from exporter.polling.loop import LONGEST_PAUSE
from exporter.simulator import INSTANCES
from exporter.simulator.fleet.instance_row import row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.stage import Look, Stage
    from exporter.simulator import Fault

    Event = Callable[[str], object]
    #: Status and price by account and id.
    Fleet = dict[tuple[str, str], tuple[str, float]]

#: Seconds for which faults last, longer than all attempts of one request, and seconds between faults.
FAULT = 7.0
CALM = 2.0
#: The other endpoints of all collectors, and the reasons of their failures.
OTHERS = sorted({each.path for one in COLLECTORS for each in one.endpoints} - {INSTANCES})
REASONS = ("server_error", "network", "timeout", "auth", "rate_limited")
#: Seconds for which nothing listens.
OUTAGE = 1.5
#: Simulated seconds per real second; instances appear and disappear meanwhile.
SPEED = 120.0
#: Allowed growth of memory, threads and descriptors from the first third to the last.
GROWTH = 1.1


def measure(minutes: float) -> Iterator[Figure]:
    """Run for some minutes, then end all faults and compare."""
    with set_up() as made:
        first = _truth(made)
        _trouble(made, until=time.monotonic() + minutes * 60)
        _calm(made)
        shown, truth = _shown(made), _truth(made)
        failures = _counted(made)
    yield from _growth(made.looks)
    log = made.log
    runs = sum(log.ends.values())
    missing = set(FAULTS) - {"", *(reason for _, reason in failures)}
    yield _none(f"pauses longer than they may be, of {runs:,} runs", log.late)
    yield _none(
        f"failed runs logged and not counted, of {sum(log.failures.values()):,}",
        (log.failures - failures).total() + (failures - log.failures).total(),
    )
    yield _none("runs that failed for an unexpected reason", log.unexpected)
    yield _none(f"reasons that never came: {', '.join(missing) or 'none'}", len(missing))
    yield _none(f"scrapes without an answer, of {made.scrapes:,}", made.unanswered)
    yield _none("times that it was not healthy", made.sick)
    born, gone = len(truth.keys() - first.keys()), len(first.keys() - truth.keys())
    yield _none(
        f"instances shown otherwise than they are, of {len(truth)}; {born} were born, {gone} died",
        sum(shown.get(key) != truth.get(key) for key in {*shown, *truth}),
    )


def _none(what: str, found: int) -> Figure:
    return Figure(part="soak", what=what, ours=str(found), beside="none", ratio=float(found), target=0.0)


# The faults


def _trouble(stage: Stage, *, until: float) -> None:
    """Apply all faults, each to another account, and repeat."""
    events = cycle(_events(stage))
    while time.monotonic() < until:
        for account in TROUBLED:
            next(events)(account)
        _pass(stage, FAULT)
        stage.vast.faults.clear()
        for account in TROUBLED:
            if stage.vast.accounts[account].key is None:
                _renew(stage, account)
        _pass(stage, CALM)


def _events(stage: Stage) -> list[Event]:
    def answer(endpoint: str, fault: Fault) -> Event:
        return lambda account: stage.vast.faults.always(endpoint, fault, account)

    events = [answer(INSTANCES, fault) for group in FAULTS.values() for fault in group]
    events += [answer(other, FAULTS[reason][0]) for other in OTHERS for reason in REASONS]
    return [*events, stage.vast.revoke, lambda _: _outage(stage), lambda _: _visit(stage)]


def _pass(stage: Stage, seconds: float) -> None:
    """Let real and simulated time pass."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.1)
        stage.clock.advance(0.1 * SPEED)


def _outage(stage: Stage) -> None:
    """Stop listening for a while."""
    stage.vast.__exit__(None, None, None)
    _pass(stage, OUTAGE)
    stage.vast.__enter__()


def _renew(stage: Stage, account: str) -> None:
    """Give an account a new key, and pass it to the exporter."""
    key = f"key-{time.monotonic_ns()}"
    stage.vast.rotate(key, account)
    (stage.folder / account).write_text(key, encoding="ascii")


def _visit(stage: Stage) -> None:
    """Add one more account, and remove it again."""
    for accounts in ((*LASTING, GUEST), LASTING):
        configure(stage.folder, stage.vast, *accounts)
        requests.post(stage.url("/-/reload"), timeout=PATIENCE).raise_for_status()
        _pass(stage, OUTAGE)


# The result


def _calm(stage: Stage) -> None:
    """Wait until every loop has run twice after the clock has stopped."""
    before = Counter(stage.log.ends)
    until = time.monotonic() + 10 * LONGEST_PAUSE * max(INTERVALS.values())
    loops = [(account, name) for account in LASTING for name in INTERVALS]
    while any(stage.log.ends[loop] < before[loop] + 2 for loop in loops):
        if time.monotonic() > until:
            raise RuntimeError("runs have stopped")
        time.sleep(LOOK)


def _samples(stage: Stage) -> Iterator[Any]:
    with Connection(stage.ours.port, gzip=False) as connection:
        text = connection.body().decode()
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _shown(stage: Stage) -> Fleet:
    """Return status and price of every instance, as the exporter shows them."""
    found: Fleet = {}
    for sample in _samples(stage):
        key = sample.labels.get("account", ""), sample.labels.get("instance_id", "")
        status, price = found.get(key, ("", 0.0))
        if sample.name == "vastai_instance_status":
            found[key] = sample.labels["status"], price
        elif sample.name == "vastai_instance_dph_total_dollars_per_hour":
            found[key] = status, sample.value
    return found


def _truth(stage: Stage) -> Fleet:
    """Return status and price of every instance, as the simulator has them."""
    found: Fleet = {}
    for account in LASTING:
        fleet = stage.vast.fleet_of(account)
        with fleet.lock:
            for instance in fleet.roster:
                one = row(instance, fleet.now)
                status = str(one["actual_status"] or "provisioning")
                found[account, str(instance.id)] = status, float(str(one["dph_total"]))
    return found


def _counted(stage: Stage) -> Counter[tuple[str, str]]:
    """Return the number of failed runs that the exporter counted, by account and reason."""
    found: Counter[tuple[str, str]] = Counter()
    for sample in _samples(stage):
        if sample.name == "vastai_collector_failures_total" and sample.value:
            found[sample.labels["account"], sample.labels["reason"]] += int(sample.value)
    return found


def _growth(looks: list[Look]) -> Iterator[Figure]:
    """Compare the last third with the first."""
    third = len(looks) // 3
    first, last = looks[:third], looks[-third:]
    for name, unit in (("memory", 1e6), ("threads", 1), ("descriptors", 1)):
        # Only the maximum shows things that exist at times, such as connections.
        typical = median if name == "memory" else max
        before, after = (typical([getattr(look, name) / unit for look in looks]) for looks in (first, last))
        yield Figure(
            part="soak",
            what=f"{name}: last third beside the first",
            ours=f"{after:.4g}{' MB' if unit > 1 else ''}",
            beside=f"{before:.4g}",
            ratio=after / before,
            target=GROWTH,
        )
