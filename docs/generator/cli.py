"""docs/cli.md, from click's own help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from exporter.cli import cli
from generator.markdown import code, codes, notice, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = "vastai-exporter"
_CONTEXT = click.Context(cli)
_WIDTH = 100

_BEFORE = """\
# Commands

The command `run` is the default and can be omitted. [Configuration](configuration.md) describes the file and
the environment.

| exit code | meaning |
| --- | --- |
| 0 | success, or SIGTERM or SIGINT stopped a command that serves |
| 1 | the exporter cannot serve (the address is in use), or `once` or `probe` could not finish its requests |
| 2 | a flag, the environment or the file is invalid; standard error has one line for each mistake |
| 3 | `probe` only: an assumption does not hold, even if some requests failed |

Exit code 1 has three more causes: `health` finds the exporter unhealthy, `once` or `probe` cannot write its
result, or a signal stops a command that does not serve.

Logs go to standard error. `once` writes only metrics to standard output, and `probe` only its report. On a
terminal, `once` shows its progress.

Standard output and standard error may be closed, full, gone, or a pipe that nobody reads. The exporter then
drops its output and counts lost log lines in `vastai_log_lines_dropped_total`. The exit code does not change.
Only `once` waits until standard output has taken its metrics, or until a signal arrives.

| signal | `run`, `demo` | other commands |
| --- | --- | --- |
| SIGTERM, SIGINT | stop with exit code 0 | stop with exit code 1 |
| SIGHUP | reload the configuration | stop with exit code 1; ignored under `nohup` |

If a SIGHUP arrives while `run` starts, the reload follows after the start.
"""


_BEFORE_FLAGS = """\
## Flags and variables

You can set some flags with an environment variable instead. A flag overrides its variable. Giving a flag
twice is an error, because the exporter serves only one address.
"""


def page() -> str:
    """Return docs/cli.md."""
    parts = [notice(), "", _BEFORE, _flags(), _help(_PROGRAM, cli)]
    parts += [_help(f"{_PROGRAM} {name}", command) for name, command in _commands()]
    return "\n".join(parts)


def variables() -> dict[str, str]:
    """Return the flags that have an environment variable, by the variable."""
    return {
        str(parameter.envvar): parameter.opts[0]
        for _, parameter in _parameters()
        if parameter.envvar and isinstance(parameter, click.Option)
    }


def _commands() -> list[tuple[str, click.Command]]:
    return list(cli.commands.items())


def _flags() -> str:
    """Return the table of all flags and arguments, with their environment variables."""
    commands: dict[tuple[str, str], list[str]] = {}
    for command, parameter in _parameters():
        name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(_CONTEXT)
        variable = parameter.envvar if isinstance(parameter.envvar, str) else ""
        commands.setdefault((name, variable), []).append(command)
    rows = [(code(name), code(variable), codes(used)) for (name, variable), used in commands.items()]
    return f"{_BEFORE_FLAGS}\n{table(('flag', 'variable', 'commands'), rows)}"


def _parameters() -> Iterator[tuple[str, click.Parameter]]:
    return ((name, parameter) for name, command in _commands() for parameter in command.params)


def _help(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH)
    return f"## {code(name)}\n\n```text\n{command.get_help(context)}\n```\n"
