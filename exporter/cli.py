"""The commands, and the only place that reads the environment and argv."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from exporter import __version__, logs
from exporter.config import PORT, split_address
from exporter.daemon import Daemon
from exporter.durations import format_duration
from exporter.events import Events
from exporter.loading import ConfigError, Loaded, load
from exporter.once import Once, ProgressLine, write_atomically
from exporter.simulator import SimulatedClock, SimulatedVast
from exporter.web.app import create_app
from exporter.web.server import BackgroundServer, listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Command = Callable[..., Any]

#: What a supervisor or Ctrl-C sends; each ends the program, with exit code 0 where it serves.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CANNOT_SERVE = 1
FAILED = 1
BAD_CONFIGURATION = 2
#: Of the demo: for this machine only, and so that something happens while one looks.
DEMO_ADDRESS = f"127.0.0.1:{PORT}"
DEMO_INTERVALS = {"instances": 15.0, "account": 15.0}

_log = logging.getLogger(__name__)


class _RunByDefault(click.Group):
    """A group whose command `run` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {name for param in self.get_params(ctx) for name in param.opts}
        if not args or (args[0].startswith("-") and args[0].partition("=")[0] not in own):
            args = ["run", *args]
        with _one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    """Let a wrong use be said in one line."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = None  # whose usage would be shown as well
        raise


def _config_flag(command: Command) -> Command:
    return click.option(
        "--config.file",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="F",
        help="Configuration file.",
    )(command)


def _listen_flag(command: Command) -> Command:
    return click.option(
        "--web.listen-address", "listen_address", metavar="A", help="Host and port to serve on."
    )(command)


def _web_flags(command: Command) -> Command:
    for name, target, text in (
        ("--web.config.file", "web_config_file", "TLS and users, in the exporter-toolkit's format."),
        ("--web.telemetry-path", "telemetry_path", "Where the metrics are."),
    ):
        command = click.option(name, target, metavar="P", help=text)(command)
    return _listen_flag(command)


def _log_flags(command: Command) -> Command:
    for name, target, values in (
        ("--log.format", "log_format", "logfmt or json"),
        ("--log.level", "log_level", "debug, info, warn or error"),
    ):
        command = click.option(name, target, metavar="L", help=f"{values}.")(command)
    return command


@click.group(cls=_RunByDefault, help=f"Prometheus exporter for renters of Vast.ai GPUs; serves on :{PORT}.")
@click.version_option(__version__, prog_name="vastai-exporter")
def cli() -> None:
    """Hold the commands together."""


@cli.command()
@_config_flag
@_web_flags
@_log_flags
def run(config_file: Path | None, **flags: str | None) -> NoReturn:
    """Serve metrics until a signal ends it (may be left out)."""
    sys.exit(_serve(_load(config_file, flags)))


@cli.command(epilog=f"It serves on {DEMO_ADDRESS} if nothing else is said.")
@click.option(
    "--instances", default=60, show_default=True, type=click.IntRange(0, 100_000), help="About how many."
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same fleet.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 10_000),
    help="Simulated seconds in a real one.",
)
@_listen_flag
@_log_flags
def demo(instances: int, seed: int, speed: float, **flags: str | None) -> NoReturn:
    """Serve a simulated Vast.ai's metrics, without a key."""
    flags["listen_address"] = flags["listen_address"] or DEMO_ADDRESS
    clock = SimulatedClock(time.time(), speed)
    with SimulatedVast(size=instances, seed=seed, clock=clock) as vast:
        loaded = _load(None, flags, {"VAST_API_KEY": vast.key, "VAST_URL": vast.url})
        click.echo(f"A simulated Vast.ai with about {instances} instances is on {vast.url}", err=True)
        code = _serve(loaded, DEMO_INTERVALS)
    sys.exit(code)


@cli.command()
@_config_flag
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="F", help="File to replace."
)
@_log_flags
def once(config_file: Path | None, output: Path | None, **flags: str | None) -> NoReturn:
    """Collect once and write the metrics to standard output.

    With --output they replace a file in one step, as node_exporter's textfile collector needs it. The exit
    code is 1 when something could not be collected; the metrics that are written say what.
    """
    loaded = _load(config_file, flags)
    progress = ProgressLine(sys.stderr, clock=time.monotonic, min_interval=loaded.config.api.min_interval)
    redact = _set_up_logs(loaded, progress)
    events = Events(STOP_SIGNALS)
    run_once = Once(loaded, redact=redact, ended=events.end, progress=progress, revision=_revision())
    run_once.start()
    event = events.wait()
    progress.clear()
    if event is not None:
        run_once.stop()
        click.echo("interrupted", err=True)
        sys.exit(FAILED)
    try:
        if output is not None:
            write_atomically(output, run_once.text())
        else:
            sys.stdout.buffer.write(run_once.text())
            sys.stdout.buffer.flush()
    except OSError as error:
        click.echo(f"{output or 'standard output'}: can't be written: {error.strerror}", err=True)
        sys.exit(FAILED)
    sys.exit(0 if run_once.succeeded() else FAILED)


@cli.command("check-config")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check_config(file: Path | None) -> None:
    """Say whether a configuration can be used, and what it means.

    FILE is the configuration; without it the environment's is looked at.
    """
    loaded = _load(file, {})
    for note in loaded.notes:
        click.echo(note, err=True)
    config = loaded.config
    click.echo(f"{file or 'environment'}: good")
    click.echo(f"api: {config.api.url}")
    click.echo(f"accounts: {', '.join(account.name for account in loaded.accounts)}")
    for name, settings in config.collectors:
        every = (
            f"every {format_duration(settings.interval)}, stale after {format_duration(settings.stale_after)}"
        )
        click.echo(f"collector {name}: {every if settings.enabled else 'off'}")
    click.echo(f"metrics: {config.web.listen_address}{config.web.telemetry_path}")


def _load(file: Path | None, flags: dict[str, str | None], environ: dict[str, str] | None = None) -> Loaded:
    keys = {
        "listen_address": "web.listen_address",
        "telemetry_path": "web.telemetry_path",
        "web_config_file": "web.config_file",
        "log_level": "log.level",
        "log_format": "log.format",
    }
    given = {keys[name]: value for name, value in flags.items()}
    try:
        return load(file, dict(os.environ) if environ is None else environ, given)
    except ConfigError as error:
        for line in error.lines:
            click.echo(line, err=True)
        sys.exit(BAD_CONFIGURATION)


def _set_up_logs(loaded: Loaded, stream: logs.Sink) -> logs.Redactor:
    redact = logs.Redactor()
    logs.set_up(loaded.config.log.level, loaded.config.log.format, redact, stream)
    logs.log_uncaught()
    for note in loaded.notes:
        _log.warning(note)
    return redact


def _revision() -> str:
    """Return the source's revision, which the image's build puts into the environment."""
    return os.environ.get("VASTAI_EXPORTER_REVISION", "")


def _serve(loaded: Loaded, intervals: dict[str, float] | None = None) -> int:
    """Serve until a signal comes, and return the exit code."""
    redact = _set_up_logs(loaded, sys.stderr)
    address = loaded.config.web.listen_address
    try:
        sock = listen(*split_address(address))
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # Python adds the address, which we have
        click.echo(f"can't listen on {address}: {reason}", err=True)
        return CANNOT_SERVE
    events = Events(STOP_SIGNALS)
    daemon = Daemon(loaded, redact=redact, revision=_revision(), intervals=intervals)
    app = create_app(daemon, telemetry_path=loaded.config.web.telemetry_path, wall_clock=time.time)
    server = BackgroundServer(app, sock, stopped=events.end)
    server.start()
    daemon.start()
    _log.info(
        "serving",
        extra={
            "fields": {
                "url": f"{server.url}{loaded.config.web.telemetry_path}",
                "version": __version__,
                "accounts": len(loaded.accounts),
                "api": loaded.config.api.url,
            }
        },
    )
    event = events.wait()
    events.ignore()
    daemon.stop()
    server.stop()
    if event is None:
        _log.error("the web server has ended")
        return CANNOT_SERVE
    _log.info("stopped", extra={"fields": {"signal": event.name}})
    return 0
