"""Simulate instances stopped against their user's will, as measured: outbid, underbid, queued, abandoned.

From the fields alone, most of these look the same as a user's action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.fleet.incident_types import IncidentType, Trouble
from exporter.simulator.fleet.lifecycle import exited_message, running_message

if TYPE_CHECKING:
    from random import Random

    from exporter.simulator.fleet.incident_types import Incident
    from exporter.simulator.fleet.instance import Instance
    from exporter.simulator.fleet.lifecycle import Lifecycle

#: Seconds for which an outbid container keeps running, and the delays after the competitor has left.
LAST_SECONDS = (10.0, 30.0)
PENDING_SECONDS = (18.0, 22.0)
RETURN_SECONDS = (25.0, 30.0)
#: Seconds after which an instance with too low a bid is given up.
PARK_SECONDS = (5.0, 47.0)
#: Share of instances that never ran and that the user destroys instead of restarting.
DESTROYED_SHARE = 0.5
#: Competing bid as a multiple of the user's own. It is not always higher, since on-demand rentals displace
#: any bid.
OTHERS_BID = (0.95, 1.6)
BOOT_ERROR = "Error response from daemon: failed to create task for container: OCI runtime create failed"
BID_ERROR = "Error: bid is below the minimum bid of the machine"


class Interruptions:
    """Starts and ends interruptions."""

    def __init__(self, lifecycle: Lifecycle, rng: Random) -> None:
        self._life = lifecycle
        self._books = lifecycle.books
        self._rng = rng

    def troubles(self) -> dict[IncidentType, Trouble]:
        """Return the effects of each type."""
        return {
            IncidentType.OUTBID: Trouble(self._outbid, self._let_back),
            IncidentType.UNDERBID: Trouble(self._underbid, self._decide),
            IncidentType.QUEUED: Trouble(self._queue, self._dequeue),
            IncidentType.BOOT_FAILURE: Trouble(self._give_up, self._decide),
        }

    def _outbid(self, instance: Instance, _: Incident) -> None:
        bid = instance.contract.dph_base
        others = round(bid * self._rng.uniform(*OTHERS_BID), 3)
        self._books.notices.about(instance, "outbid", your_bid=round(bid, 3), new_min_bid=others)
        self._interrupt(instance, "running")
        self._books.later(
            instance, self._rng.uniform(*LAST_SECONDS), lambda one: self._interrupt(one, "exited")
        )

    def _interrupt(self, instance: Instance, status: str) -> None:
        message = running_message(instance)  # the message stays as it was
        self._books.change(instance, status, "stopped", message, holds_gpus=False)
        instance.outbid = True

    def _let_back(self, incident: Incident) -> None:
        instance = self._books.roster.get(incident.instance_id)
        if instance is None or not instance.outbid:
            return
        if instance.status == "running":
            self._life.run(instance)
        else:
            self._books.later(instance, self._rng.uniform(*PENDING_SECONDS), self._want_again)

    def _want_again(self, instance: Instance) -> None:
        self._books.change(instance, "exited", "running", running_message(instance))
        self._books.later(instance, self._rng.uniform(*RETURN_SECONDS), self._life.resume)

    def _underbid(self, instance: Instance, _: Incident) -> None:
        self._books.later(instance, self._rng.uniform(*PARK_SECONDS), self._park)

    def _park(self, instance: Instance) -> None:
        self._books.change(instance, self._rng.choice((None, "created")), "stopped", BID_ERROR)

    def _queue(self, instance: Instance, _: Incident) -> None:
        self._books.change(instance, "exited", "running", exited_message(instance, 0))

    def _dequeue(self, incident: Incident) -> None:
        instance = self._books.roster.get(incident.instance_id)
        if instance and (instance.cur_state, instance.next_state) == ("stopped", "running"):
            self._life.resume(instance)

    def _give_up(self, instance: Instance, _: Incident) -> None:
        self._books.notices.about(instance, "error_msgs")
        self._books.change(instance, "loading", "stopped", BOOT_ERROR)

    def _decide(self, incident: Incident) -> None:
        """Let the user notice that it never ran."""
        instance = self._books.roster.get(incident.instance_id)
        if instance is None or instance.status_msg not in (BOOT_ERROR, BID_ERROR):
            return
        if self._rng.random() < DESTROYED_SHARE:
            self._life.destroy(instance)
        else:
            self._life.create(instance)
