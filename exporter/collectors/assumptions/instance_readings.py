"""Assumptions about an instance's sensor readings: their units and their values for "unknown"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors.assumptions.checks import ENOUGH, ONE, percent
from exporter.collectors.assumptions.declaration import Assumption, Finding, fails, holds, untold
from exporter.collectors.assumptions.evidence import (
    age_of,
    counted,
    number_in,
    numbers_in,
    span,
    with_status,
)
from exporter.collectors.assumptions.instance_pages import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.collectors.assumptions.evidence import Evidence, Row

MIB_IN_GIB = 1024
#: Factor by which usage may exceed the allocation.
SPARE = 1.1
HOUR = 3600.0
#: One unit of the mem_* fields in MiB.
MEM_UNIT_MIB = 1_024_000_000 / 2**20
LARGER_UNIT = 1000.0


def _running(evidence: Evidence) -> list[Row]:
    return with_status(evidence.rows(ROWS), "running")


def _gpu_util(evidence: Evidence) -> Finding:
    return percent([value for value in numbers_in(_running(evidence), "gpu_util") if value >= 0])


def _gpu_util_mean(evidence: Evidence) -> Finding:
    several = [row for row in _running(evidence) if (number_in(row, "num_gpus") or 0) > 1]
    values = numbers_in(several, "gpu_util")
    if not values:
        return untold("none of several GPUs is running")
    came = f"{span(values)} of several GPUs"
    if max(values) > 100:  # noqa: PLR2004 - percent
        return fails(came)
    # The sum over half-busy GPUs is 100 or more.
    return (holds if max(values) > 50 else untold)(came)  # noqa: PLR2004


def _gpu_temp(evidence: Evidence) -> Finding:
    values = [value for value in numbers_in(_running(evidence), "gpu_temp") if value > 0]
    if not values:
        return untold("no number above 0")
    return (holds if min(values) >= 10 and max(values) <= 120 else fails)(span(values))  # noqa: PLR2004


def _telemetry_missing(evidence: Evidence) -> Finding:
    running = _running(evidence)
    cold = [row for row in running if number_in(row, "gpu_temp") == 0]
    if not cold:
        return untold(f"gpu_temp is 0 in none of {counted(len(running))}")
    busy = sum((number_in(row, "gpu_util") or 0) > 0 for row in cold)
    came = f"gpu_temp is 0 in {len(cold)} of {counted(len(running))}, {busy} of them with gpu_util above 0"
    return (fails if busy else holds)(came)


def _cpu_util(evidence: Evidence) -> Finding:
    return percent([value for value in numbers_in(_running(evidence), "cpu_util") if value >= 0], most=105.0)


def _vmem_unit(evidence: Evidence) -> Finding:
    return _share(_running(evidence), "vmem_usage", "gpu_totalram", MIB_IN_GIB)


def _vmem_sum(evidence: Evidence) -> Finding:
    several = [row for row in _running(evidence) if (number_in(row, "num_gpus") or 0) > 1]
    pairs = [(number_in(row, "vmem_usage"), number_in(row, "gpu_ram")) for row in several]
    shares = [used * MIB_IN_GIB / one for used, one in pairs if used is not None and one]
    if not shares:
        return untold("none of several GPUs is running")
    more = sum(share > SPARE for share in shares)
    came = f"more than one GPU holds in {more} of {counted(len(shares))} of several GPUs"
    return (holds if more else untold)(came)


def _mem_unit(evidence: Evidence) -> Finding:
    return _share(evidence.rows(ROWS), "mem_limit", "cpu_ram", MEM_UNIT_MIB)


def _share(rows: list[Row], part: str, whole: str, factor: float) -> Finding:
    """Check that a part has a plausible size relative to its whole, in the assumed units."""
    pairs = [(number_in(row, part), number_in(row, whole)) for row in rows]
    shares = [used * factor / most for used, most in pairs if used is not None and used >= 0 and most]
    if not shares:
        return untold("no number")
    came = f"{part} is {span(shares)} of {whole}"
    if max(shares) > SPARE:
        return fails(came)
    # A unit that is a thousand times larger would put all values below this.
    too_small = len(shares) >= ENOUGH and 0 < max(shares) < ONE / LARGER_UNIT
    return (fails if too_small else holds)(came)


def _disk_util(evidence: Evidence) -> Finding:
    values = [value for value in numbers_in(evidence.rows(ROWS), "disk_util") if value >= 0]
    if not values:
        return untold("no number from 0 up")
    return (holds if max(values) <= SPARE else fails)(span(values))


def _disk_usage(evidence: Evidence) -> Finding:
    return _share(evidence.rows(ROWS), "disk_usage", "disk_space", 1.0)


def _unknown(name: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        values = numbers_in(evidence.rows(ROWS), name)
        negative = [value for value in values if value < 0]
        if not negative:
            return untold(f"negative in none of {counted(len(values))}")
        return holds(f"negative in {len(negative)} of {counted(len(values))}: {span(negative)}")

    return check


def _uptime(evidence: Evidence) -> Finding:
    pairs = [(number_in(row, "uptime_mins"), age_of(row, evidence.now)) for row in evidence.rows(ROWS)]
    known = [(mins * 60, age) for mins, age in pairs if mins is not None and mins >= 0 and age is not None]
    if not known:
        return untold("no number from 0 up")
    longer = sum(seconds > age + HOUR for seconds, age in known)
    came = f"longer than the contract in {longer} of {counted(len(known))}"
    return (fails if longer else holds)(came)


ASSUMPTIONS = (
    Assumption(
        name="gpu_util_percent",
        sentence="`gpu_util` is a percentage",
        consequence=(
            "divided by 100 in `vastai_instance_gpu_util_ratio`; values above 100 are dropped and counted"
        ),
        confidence="sure",
        origin="measured",
        check=_gpu_util,
    ),
    Assumption(
        name="gpu_util_mean",
        sentence="with several GPUs, `gpu_util` is their mean",
        consequence="exported as it is: if one of two GPUs is idle, it is 0.5",
        confidence="sure",
        origin="measured",
        check=_gpu_util_mean,
    ),
    Assumption(
        name="gpu_temp_celsius",
        sentence=(
            "`gpu_temp` is in degrees Celsius; one value covers all GPUs of an instance, perhaps as their"
            " mean"
        ),
        consequence="exported as sent in `vastai_instance_gpu_temp_celsius`",
        confidence="likely",
        origin="measured",
        check=_gpu_temp,
    ),
    Assumption(
        name="telemetry_missing",
        sentence="a `gpu_temp` of 0 together with a `gpu_util` of 0 means that telemetry is missing",
        consequence="no samples for GPU and CPU; `vastai_instance_telemetry_missing` is 1",
        confidence="sure",
        origin="measured",
        check=_telemetry_missing,
    ),
    Assumption(
        name="cpu_util_percent",
        sentence=(
            "`cpu_util` is a percentage of the rented share, 0 to 100 (measured on machines of one size)"
        ),
        consequence="divided by 100 in `vastai_instance_cpu_util_ratio`",
        confidence="likely",
        origin="measured",
        check=_cpu_util,
    ),
    Assumption(
        name="vmem_usage_gib",
        sentence="`vmem_usage` is GPU memory in GiB, although the documents say virtual memory in MB",
        consequence="multiplied by 2^30 in `vastai_instance_vmem_usage_bytes`",
        confidence="likely",
        origin="inferred",
        check=_vmem_unit,
    ),
    Assumption(
        name="vmem_usage_sum",
        sentence="with several GPUs, `vmem_usage` is their sum",
        consequence="exported as the sum; dashboards compare it with `gpu_totalram`",
        confidence="open",
        origin="inferred",
        check=_vmem_sum,
    ),
    Assumption(
        name="mem_unit",
        sentence="`mem_usage` and `mem_limit` are KiB / 1,000,000, although the documents say MB",
        consequence=(
            "multiplied by 1.024e9 in `vastai_instance_mem_usage_bytes`, `vastai_instance_mem_limit_bytes`"
        ),
        confidence="likely",
        origin="inferred",
        check=_mem_unit,
    ),
    Assumption(
        name="disk_util_share",
        sentence="`disk_util` is a share, 0 to 1",
        consequence=(
            "exported as sent in `vastai_instance_disk_util_ratio`; values above 1.1 are dropped and counted"
        ),
        confidence="likely",
        origin="client",
        check=_disk_util,
    ),
    Assumption(
        name="disk_usage_gb",
        sentence="`disk_usage` is in GB, like `disk_space`",
        consequence="multiplied by 1e9 in `vastai_instance_disk_usage_bytes`",
        confidence="sure",
        origin="measured",
        check=_disk_usage,
    ),
    Assumption(
        name="disk_unknown",
        sentence="`disk_usage` and `disk_util` are -1 if unknown",
        consequence="no sample",
        confidence="sure",
        origin="measured",
        check=_unknown("disk_util"),
    ),
    Assumption(
        name="uptime_minutes",
        sentence="`uptime_mins` is in minutes",
        consequence="multiplied by 60 in `vastai_instance_uptime_seconds`",
        confidence="likely",
        origin="documents",
        check=_uptime,
    ),
    Assumption(
        name="uptime_negative",
        sentence="`uptime_mins` may be negative, which has no meaning",
        consequence="no sample",
        confidence="likely",
        origin="measured",
        check=_unknown("uptime_mins"),
    ),
)
