"""Define the commands; this is the only module that reads the environment and argv."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from exporter import __version__
from exporter.commands.signals import Signals, from_the_start
from exporter.config.loading import Shard
from exporter.config.mistakes import ConfigError
from exporter.config.models import PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Command = Callable[..., Any]

# Commands import the server and the collectors only if they need them. `health` runs every 30 s and needs
# neither.

Value = TypeVar("Value")

FAILED = 1
BAD_CONFIGURATION = 2
#: Timeout of a health check in seconds.
HEALTH_TIMEOUT = 3.0
#: Timeout of a reload in seconds; the files may be on a slow disk.
RELOAD_TIMEOUT = 30.0
#: Default address of the demo, for this machine only.
DEMO_ADDRESS = f"127.0.0.1:{PORT}"
#: Path of the configuration key by parameter name of the flag.
_KEYS = {
    "listen_address": "web.listen_address",
    "telemetry_path": "web.telemetry_path",
    "web_config_file": "web.config_file",
    "log_level": "log.level",
    "log_format": "log.format",
}


class _EachFlagOnce(click.Command):
    """A command that rejects a repeated flag; click would silently take the last one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for param in given:
            if isinstance(param, click.Option) and not param.multiple and given.count(param) > 1:
                raise click.UsageError(f"{param.opts[0]}: given {given.count(param)} times; expected once")
        return super().parse_args(ctx, args)


class _RunByDefault(click.Group):
    """A group whose command `run` is the default, and whose commands reject repeated flags."""

    command_class = _EachFlagOnce

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
    """Report a usage error in one line."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = None  # otherwise click prints the usage as well
        raise


def _config_flag(command: Command) -> Command:
    return click.option(
        "--config.file",
        "config_file",
        envvar="VASTAI_EXPORTER_CONFIG_FILE",
        type=click.Path(path_type=Path),
        metavar="F",
        help="Configuration file.",
    )(command)


def _shard_flags(command: Command) -> Command:
    for name, target, least, text in (
        ("--total-shards", "total_shards", 1, "Number of exporters that share the accounts."),
        ("--shard", "shard", 0, "Index of this exporter among the shards, starting at 0."),
    ):
        command = click.option(
            name,
            target,
            envvar=f"VASTAI_EXPORTER_{target.upper()}",
            type=click.IntRange(min=least),
            metavar="N",
            help=text,
        )(command)
    return command


def _listen_flag(what: str = "Address to listen on", default: str = f":{PORT}") -> Callable[..., Command]:
    return click.option(
        "--web.listen-address",
        "listen_address",
        envvar="VASTAI_EXPORTER_LISTEN_ADDRESS",
        metavar="A",
        help=f"{what} (default {default}).",
    )


def _web_config_flag(command: Command) -> Command:
    return click.option(
        "--web.config.file",
        "web_config_file",
        envvar="VASTAI_EXPORTER_WEB_CONFIG_FILE",
        metavar="F",
        help="Web configuration file: TLS and users (exporter-toolkit format).",
    )(command)


def _telemetry_flag(command: Command) -> Command:
    return click.option(
        "--web.telemetry-path",
        "telemetry_path",
        metavar="P",
        help="Path under which to expose metrics (default /metrics).",
    )(command)


def _log_flags(command: Command) -> Command:
    for name, target, values in (
        ("--log.format", "log_format", "Output format of log messages: logfmt (default) or json"),
        ("--log.level", "log_level", "Lowest severity to log: debug, info (default), warn or error"),
    ):
        command = click.option(name, target, metavar="L", help=f"{values}.")(command)
    return command


@click.group(
    cls=_RunByDefault, help=f"Prometheus exporter for people who rent GPUs on Vast.ai. Listens on :{PORT}."
)
@click.version_option(__version__, prog_name="vastai-exporter")
def cli() -> None:
    """Group the commands."""


@cli.command()
@_config_flag
@_listen_flag()
@_telemetry_flag
@_web_config_flag
@_shard_flags
@_log_flags
@click.pass_obj
def run(
    signals: Signals | None,
    /,
    config_file: Path | None,
    shard: int | None,
    total_shards: int | None,
    **flags: str | None,
) -> NoReturn:
    """Serve metrics until a signal stops it (the default command)."""
    from exporter.commands.configuration import load  # noqa: PLC0415
    from exporter.commands.serve import serve  # noqa: PLC0415

    read = partial(load, config_file, dict(os.environ), _by_key(flags), _shard(shard, total_shards))
    loaded = _or_exit(read)
    serving = partial(serve, loaded, read, config_file=config_file, intervals={})
    sys.exit(_or_exit(partial(serving, signals=signals or from_the_start(), environ=os.environ)))


@cli.command()
@click.option(
    "--instances",
    default=60,
    show_default=True,
    type=click.IntRange(0, 100_000),
    help="Approximate number of simulated instances.",
)
@click.option("--seed", default=1, show_default=True, help="Random seed; the same seed gives the same fleet.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 10_000),
    help="Simulated seconds per real second.",
)
@_listen_flag(default=DEMO_ADDRESS)
@_web_config_flag
@_log_flags
@click.pass_obj
def demo(
    signals: Signals | None, /, instances: int, seed: int, speed: float, **flags: str | None
) -> NoReturn:
    """Serve the metrics of a simulated Vast.ai; needs no API key."""
    from exporter.commands.demo import serve_demo  # noqa: PLC0415

    flags["listen_address"] = flags["listen_address"] or DEMO_ADDRESS
    run_demo = partial(
        serve_demo, signals=signals or from_the_start(), size=instances, seed=seed, speed=speed
    )
    sys.exit(_or_exit(partial(run_demo, flags=_by_key(flags), environ=os.environ)))


@cli.command()
@_config_flag
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="F",
    help="Write the metrics to this file instead.",
)
@click.option(
    "--sd-output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="F",
    help="Write the discovered targets to this file, for file_sd.",
)
@_shard_flags
@_log_flags
@click.pass_obj
def once(
    signals: Signals | None,
    /,
    config_file: Path | None,
    output: Path | None,
    sd_output: Path | None,
    shard: int | None,
    total_shards: int | None,
    **flags: str | None,
) -> NoReturn:
    """Collect once and write the metrics to standard output.

    --output replaces a file atomically, as the textfile collector of node_exporter requires. The new file
    keeps the mode and owner of the old one. Symbolic links are followed; devices and named pipes are written
    to. The exit code is 1 if a collector failed; the metrics are written anyway and show which one.

    --sd-output enables discovery and writes the response of /sd/instances to a file in the same way. The
    metrics are then written only if --output is given too. The file stays unchanged if the instances of any
    account could not be read.
    """
    from exporter.commands.configuration import load, with_discovery  # noqa: PLC0415
    from exporter.commands.once import Outputs, run_once  # noqa: PLC0415

    read = partial(load, config_file, dict(os.environ), _by_key(flags), _shard(shard, total_shards))
    loaded = _or_exit(read)
    if sd_output is not None:
        loaded = _or_exit(partial(with_discovery, loaded))
    outputs = Outputs(metrics=output, targets=sd_output)
    sys.exit(run_once(loaded, outputs, signals=signals or from_the_start(), environ=os.environ))


@cli.command(epilog="docs/api.md explains the results and where to report them.")
@_config_flag
@click.option("--account", metavar="NAME", help="Account whose key is used (default: the first account).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def probe(config_file: Path | None, account: str | None, *, as_json: bool) -> NoReturn:
    """Check the exporter's assumptions about the Vast.ai API against the live API.

    Sends requests for at most a minute, within the documented rate limits, and prints a table. The table
    contains no names, IDs, addresses or texts from the replies. The exit code is 3 if an assumption does not
    hold, 1 if not all could be checked, else 0.
    """
    from exporter.commands.configuration import load  # noqa: PLC0415
    from exporter.commands.probe import probe_account  # noqa: PLC0415

    loaded = _or_exit(partial(load, config_file, dict(os.environ), {}))
    sys.exit(_or_exit(partial(probe_account, loaded, account, as_json=as_json)))


@cli.command("check-config")
@click.argument("file", envvar="VASTAI_EXPORTER_CONFIG_FILE", type=click.Path(path_type=Path), required=False)
@_web_config_flag
@_shard_flags
def check_config(
    file: Path | None, shard: int | None, total_shards: int | None, web_config_file: str | None
) -> None:
    """Validate the configuration and print its effective settings.

    FILE is the configuration file. Without it, only the environment is checked. The exit code is 2 if the
    configuration is invalid; each error is a line on standard error.
    """
    from exporter.commands.check_config import described  # noqa: PLC0415
    from exporter.commands.configuration import load  # noqa: PLC0415

    flags = _by_key({"web_config_file": web_config_file})
    loaded = _or_exit(partial(load, file, dict(os.environ), flags, _shard(shard, total_shards)))
    for note in (*loaded.notes, *loaded.without_key):
        click.echo(note, err=True)
    if loaded.without_key:
        sys.exit(BAD_CONFIGURATION)
    for line in described(loaded, file):
        click.echo(line)


@cli.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    required=True,
    help="Directory to write to; created if missing.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files that differ.")
def files(output: Path, *, force: bool) -> NoReturn:
    """Write the files that ship with the exporter: rules, dashboards, units, examples.

    The files match this version and keep their paths from the repository. If a file exists and differs,
    the command names it, writes nothing and exits with code 1.
    """
    from exporter.commands.files import DifferentError, shipped, write_files  # noqa: PLC0415

    try:
        found = shipped()
        write_files(found, output, force=force)
    except DifferentError as error:
        for path in error.paths:
            click.echo(f"{path}: exists and differs; --force overwrites it", err=True)
        sys.exit(FAILED)
    except OSError as error:
        click.echo(f"{error.filename or output}: can't be written: {error.strerror}", err=True)
        sys.exit(FAILED)
    click.echo(f"{output}: wrote {len(found)} files")
    sys.exit()


@cli.command()
@_config_flag
@_listen_flag("Address to probe")
@_web_config_flag
def health(config_file: Path | None, **flags: str | None) -> NoReturn:
    """Check whether the exporter on this machine is healthy.

    Probes the configured address. The exit code is 0 if the exporter is healthy, else 1.
    """
    from exporter.commands.configuration import CONFIG  # noqa: PLC0415
    from exporter.commands.health import ask  # noqa: PLC0415
    from exporter.config.loading import load_config  # noqa: PLC0415

    config = _or_exit(partial(load_config, CONFIG, config_file, dict(os.environ), _by_key(flags)))
    healthy, text = ask(config.web, timeout=HEALTH_TIMEOUT)
    click.echo(text)
    sys.exit(0 if healthy else FAILED)


@cli.command()
@click.argument("pid", type=click.IntRange(min=1))
def reload(pid: int) -> NoReturn:
    """Reload the configuration of a running exporter and wait for the result.

    PID is the process ID of the exporter. The command is for ExecReload= of a systemd unit that sets
    RuntimeDirectory=. The exit code is 1 if the exporter rejected the configuration; each error is a line on
    standard error.
    """
    from exporter.commands.reload import reload as reload_process  # noqa: PLC0415

    mistakes = reload_process(pid, os.environ, wait=time.sleep, patience=RELOAD_TIMEOUT)
    for line in mistakes:
        click.echo(line, err=True)
    sys.exit(FAILED if mistakes else 0)


def _by_key(flags: dict[str, str | None]) -> dict[str, str | None]:
    return {_KEYS[name]: value for name, value in flags.items()}


def _shard(index: int | None, total: int | None) -> Shard:
    if index is None and total is None:
        return Shard()
    if index is None or total is None:
        raise click.UsageError("--shard and --total-shards are only allowed together")
    if index >= total:
        raise click.UsageError(f"--shard {index}: expected 0 to {total - 1}, as --total-shards is {total}")
    return Shard(index, total)


def _or_exit(read: Callable[[], Value]) -> Value:
    """Return the result of `read`, or print the mistakes in the configuration and exit."""
    try:
        return read()
    except ConfigError as error:
        for line in error.lines:
            click.echo(line, err=True)
        sys.exit(BAD_CONFIGURATION)
