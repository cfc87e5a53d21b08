"""Simulate the account's inbox: events of instances and of the credit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.simulator.fleet.agenda import Agenda
    from exporter.simulator.fleet.instance import Instance

#: The inbox shows only the newest.
MOST = 50

SUBJECTS = {
    "instance_created": "Instance created",
    "instance_started": "Instance started",
    "instance_stopped": "Instance stopped",
    "instance_resumed": "Instance resumed",
    "instance_deleted": "Instance deleted",
    "instance_offline": "Instance offline",
    "instance_online": "Instance back online",
    "outbid": "You have been outbid",
    "error_msgs": "Error detected on your instance",
    "idle_gpu": "GPU idle",
    "storage_full": "Disk is full",
    "near_end_date": "Contract expiring soon",
    "low_credit": "Low credit",
    "payment_receipt": "Payment received",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One row of the inbox; `associated` identifies its subject."""

    event_id: str
    type: str
    created_at: float
    subject: str
    message: str
    associated: Mapping[str, object] = field(default_factory=dict)


class Notices:
    """The newest notifications, in the order of arrival."""

    def __init__(self, seed: int, agenda: Agenda) -> None:
        self.newest: deque[Notice] = deque(maxlen=MOST)
        self._seed = seed
        self._agenda = agenda
        self._count = 0

    def about(self, instance: Instance, notice_type: str, **more: object) -> None:
        """Add a notification about an instance."""
        contract = instance.contract
        ids = {"instance_id": instance.id, "machine_id": contract.machine.machine_id}
        message = f"Instance {instance.id} ({contract.template.image}) on machine {ids['machine_id']}"
        self._add(notice_type, message, {**ids, **more})

    def about_credit(self, notice_type: str, dollars: float) -> None:
        """Add a notification about money."""
        self._add(notice_type, f"${dollars:.2f}", {})

    def _add(self, notice_type: str, message: str, associated: Mapping[str, object]) -> None:
        self._count += 1
        event_id = sha256(f"notice {self._seed} {self._count}".encode()).hexdigest()[:32]
        subject = SUBJECTS[notice_type]
        self.newest.append(
            Notice(event_id, notice_type, self._agenda.now, subject, f"{subject}: {message}", associated)
        )
