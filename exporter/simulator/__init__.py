"""A simulated Vast.ai with changing data, for the demo, the tests and the benchmarks.

with SimulatedVast(size=60) as vast:
    requests.get(vast.url + INSTANCES, headers={"Authorization": f"Bearer {vast.key}"})
"""

from exporter.simulator.account import Account
from exporter.simulator.api.faults import Fault, Faults
from exporter.simulator.api.replies import Reply, json_reply
from exporter.simulator.api.request_log import DROPPED, LoggedRequest, starts
from exporter.simulator.clock import DEFAULT_START, ManualClock, SimulatedClock
from exporter.simulator.endpoints.instances import FILTERS, INSTANCE, INSTANCES, OLD_INSTANCES
from exporter.simulator.endpoints.users_current import USER
from exporter.simulator.fleet.fleet import Fleet
from exporter.simulator.fleet.incident_types import Incident, IncidentType
from exporter.simulator.server import DEMO_KEY, SimulatedVast

__all__ = [
    "DEFAULT_START",
    "DEMO_KEY",
    "DROPPED",
    "FILTERS",
    "INSTANCE",
    "INSTANCES",
    "OLD_INSTANCES",
    "USER",
    "Account",
    "Fault",
    "Faults",
    "Fleet",
    "Incident",
    "IncidentType",
    "LoggedRequest",
    "ManualClock",
    "Reply",
    "SimulatedClock",
    "SimulatedVast",
    "json_reply",
    "starts",
]
