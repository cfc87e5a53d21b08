"""Interpret one instance's record: its fields, their combinations, and its cost by state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.metrics.fields import (
    NEGATIVE,
    NOT_POSITIVE,
    NumberField,
    Record,
    TextField,
    flag_field,
    inner_field,
    number_field,
    text_field,
)
from exporter.metrics.rows import Condition
from exporter.metrics.values import status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.metrics.values import Number

#: Rental type of an instance with its own prepaid credit.
RESERVED = "reserved"
#: Statuses in which the GPU is billed.
GPU_BILLED = frozenset({"running", "frozen", "rebooting", "unknown"})
#: Value for a machine that Vast.ai has verified.
VERIFIED = "verified"
#: Dollars per hour, above the price of any instance.
DEAREST = 100_000.0
#: Plausible range of contract times in epoch seconds: 2001 to 5138, which excludes milliseconds.
EARLIEST, LATEST = 1e9, 1e11

ACTUAL_STATUS = TextField(name="actual_status", read=status)
INTENDED_STATUS = TextField(name="intended_status", read=status)
CUR_STATE = TextField(name="cur_state", read=status)
NEXT_STATE = TextField(name="next_state", read=status)
LABEL = text_field("label")
GPU_NAME = text_field("gpu_name")
IS_BID = flag_field("is_bid")
NUM_GPUS = number_field("num_gpus", least=0, most=1024)
GPU_UTIL = number_field("gpu_util", unknown=NEGATIVE, least=0, most=100)
#: Values of 0 or below are kept here: they mean that there is no telemetry.
GPU_TEMP = number_field("gpu_temp", most=150)
CPU_UTIL = number_field("cpu_util", unknown=NEGATIVE, least=0, most=10_000)
CREDIT_BALANCE = number_field("credit_balance", least=-1e9, most=1e9)
DPH_TOTAL = number_field("dph_total", least=0, most=DEAREST)
STORAGE_TOTAL_COST = number_field("storage_total_cost", least=0, most=DEAREST)
DISCOUNTED = inner_field("instance", "discountedTotalPerHour")
#: Descriptive texts: label of the info metric, and field.
DESCRIPTION = {
    "label": LABEL,
    "gpu_name": GPU_NAME,
    "image": text_field("image_uuid"),
    "template": text_field("template_name"),
    "machine_id": text_field("machine_id"),
    "host_id": text_field("host_id"),
    "geolocation": text_field("geolocation"),
    "verification": text_field("verification"),
}


def price(name: str) -> NumberField:
    """Return a field in dollars per hour."""
    return number_field(name, least=0, most=DEAREST)


def share(name: str) -> NumberField:
    """Return a field with a ratio from 0 to 1."""
    return number_field(name, least=0, most=1)


def moment(name: str) -> NumberField:
    """Return a field in epoch seconds."""
    return number_field(name, unknown=NOT_POSITIVE, least=EARLIEST, most=LATEST)


END_DATE = moment("end_date")


@dataclass(frozen=True, slots=True)
class Instance(Record):
    """The API's record of one instance, with derived values.

    Attributes:
        status: status as in its labels, or None if unreadable.
        since: when this status was first seen (epoch), or None.

    """

    status: str | None
    since: float | None

    @property
    def is_running(self) -> bool:
        """Whether its telemetry can be current: in other states, the API repeats the last values."""
        return self.status == "running"

    @property
    def has_telemetry(self) -> bool:
        """Whether the API currently has GPU telemetry (measured: it may send zeros instead)."""
        celsius = self.numbers.get(GPU_TEMP.name, 1)
        return GPU_UTIL.name in self.numbers and celsius > 0

    def burn(self) -> Number | None:
        """Return its current cost in dollars per hour, by its state."""
        if self.status is None:
            return None
        if self.status == "offline":
            return 0
        if self.status not in GPU_BILLED:
            return self.number(STORAGE_TOTAL_COST)
        discounted = self.number(DISCOUNTED)
        return discounted if discounted is not None and discounted > 0 else self.number(DPH_TOTAL)

    @property
    def queued(self) -> bool:
        """Whether others have its GPU, so that it starts as soon as that is free."""
        return (self.text(CUR_STATE), self.text(NEXT_STATE)) == ("stopped", "running")

    def gpu_price(self) -> Number | None:
        """Return the current price of one of its GPUs in dollars per hour; None while no GPU is billed."""
        burn, disk, gpus = self.burn(), self.number(STORAGE_TOTAL_COST), self.number(NUM_GPUS)
        if self.status not in GPU_BILLED or burn is None or disk is None or not gpus:
            return None
        return (burn - disk) / gpus

    def rental(self) -> str:
        """Return the rental type."""
        if self.number(IS_BID):
            return "interruptible"
        return RESERVED if (self.number(CREDIT_BALANCE) or 0) > 0 else "on_demand"


def current_status(record: Record, row: Mapping[str, Any]) -> str | None:
    """Return the status: null is `provisioning`; None means unreadable."""
    said = record.texts.get(ACTUAL_STATUS.name)
    if said is None and isinstance(row.get(ACTUAL_STATUS.name), str | None):
        return "provisioning"  # a blank text is equivalent to null
    return said


RUNNING: Condition[Instance] = Condition(
    words="only while running", holds=lambda instance: instance.is_running, fields=(ACTUAL_STATUS,)
)
TELEMETRY: Condition[Instance] = Condition(
    words="only while running, and not while GPU telemetry is missing: gpu_util null, or gpu_temp 0 or below",
    holds=lambda instance: instance.is_running and instance.has_telemetry,
    fields=(ACTUAL_STATUS, GPU_UTIL, GPU_TEMP),
)
CPU_TELEMETRY: Condition[Instance] = Condition(
    words="only while running; 0 while GPU telemetry is missing is no reading",
    holds=lambda instance: (
        instance.is_running and (instance.has_telemetry or bool(instance.number(CPU_UTIL)))
    ),
    fields=(ACTUAL_STATUS, GPU_UTIL, GPU_TEMP),
)
