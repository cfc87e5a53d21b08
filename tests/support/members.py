"""An instance as the fleet keeps it, for tests of what looks at fleets: each says only what matters to it."""

from __future__ import annotations

from typing import Any

from exporter.collectors.fleet import Member, Rented


def member(**what: Any) -> Member:  # noqa: ANN401 - of any field
    """Return a running instance with two GPUs, on demand, on a verified machine; `what` is otherwise."""
    return Member(
        status="running",
        intended_status="running",
        since=0.0,
        label="",
        gpu_name="RTX 4090",
        gpus=2,
        burn=1.0,
        rental="on_demand",
        verified=True,
        machine_id="7",
        gpu_price=0.5,
        end_date=None,
        queued=False,
    )._replace(**what)


def rented(number: int = 1, account: str = "research", **what: Any) -> Rented:  # noqa: ANN401
    """Return such an instance, and whose it is."""
    return Rented(account, number, member(**what))
