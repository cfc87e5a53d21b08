"""Serve a simulated Vast.ai until a signal stops it: `python -m exporter.simulator`."""

from __future__ import annotations

import signal
import threading
import time

import click

from exporter.simulator.clock import SimulatedClock
from exporter.simulator.server import SimulatedVast


@click.command()
@click.option("--port", default=0, show_default=True, help="Port on the loopback address; 0 for a free one.")
@click.option("--instances", default=60, show_default=True, help="About how many instances there are.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same fleet.")
@click.option("--speed", default=1.0, show_default=True, help="Simulated seconds in a real one.")
@click.option("--frozen", is_flag=True, help="Let nothing change.")
@click.option("--no-thresholds", is_flag=True, help="Don't refuse requests that come too soon.")
def main(port: int, instances: int, seed: int, speed: float, *, frozen: bool, no_thresholds: bool) -> None:
    """Serve a simulated Vast.ai."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    clock = SimulatedClock(time.time(), 0.0 if frozen else speed)
    vast = SimulatedVast(size=instances, seed=seed, clock=clock, thresholds=not no_thresholds, port=port)
    with vast:
        click.echo(f"listening on {vast.url}")
        click.echo(f"key {vast.key}")
        ended.wait()


if __name__ == "__main__":
    main()
