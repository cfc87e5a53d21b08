"""A living simulated Vast.ai, for the demo, the tests and the benchmarks.

with SimulatedVast(size=60) as vast:
    requests.get(vast.url + INSTANCES, headers={"Authorization": f"Bearer {vast.key}"})
"""

from exporter.simulator.account import Account
from exporter.simulator.api import FILTERS, INSTANCE, INSTANCES, OLD_INSTANCES, THRESHOLDS, USER
from exporter.simulator.clock import DEFAULT_START, ManualClock, SimulatedClock
from exporter.simulator.fleet import Fleet
from exporter.simulator.incidents import Incident, Kind
from exporter.simulator.server import DEMO_KEY, SimulatedVast
from exporter.simulator.traffic import DROPPED, Asked, Fault, Faults, Reply, json_reply, starts

__all__ = [
    "DEFAULT_START",
    "DEMO_KEY",
    "DROPPED",
    "FILTERS",
    "INSTANCE",
    "INSTANCES",
    "OLD_INSTANCES",
    "THRESHOLDS",
    "USER",
    "Account",
    "Asked",
    "Fault",
    "Faults",
    "Fleet",
    "Incident",
    "Kind",
    "ManualClock",
    "Reply",
    "SimulatedClock",
    "SimulatedVast",
    "json_reply",
    "starts",
]
