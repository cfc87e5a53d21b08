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

The command `run` may be left out. [Configuration](configuration.md) tells of the file and the environment.

| exit code | meaning |
| --- | --- |
| 0 | it did what it was asked for, or was stopped by SIGTERM or SIGINT while serving |
| 1 | it can't serve (the address is taken), `once` or `probe` could not ask for all, or was interrupted |
| 2 | a flag, the environment or the file can't be used; each mistake is a line on standard error |
| 3 | `probe` only: something is not as it is taken for, whatever else could not be asked |

1 also says that what `health` asks is not healthy, that `once` or `probe` can't write what it found, and that
a signal ended a command that does not serve.

Logs go to standard error. `once` writes nothing but metrics to standard output, and `probe` nothing but its
report; on a terminal `once` shows how far it is.

Standard output and standard error may be closed, full, gone, or a pipe that nobody reads. What can't be said
is dropped, lines of the log are counted in `vastai_log_lines_dropped_total`, and the exit code stays what it
is. Only the metrics that `once` writes to standard output are waited for, until they are taken or a signal
comes.

| signal | `run`, `demo` | other commands |
| --- | --- | --- |
| SIGTERM, SIGINT | an end, with exit code 0 | an end, with exit code 1 |
| SIGHUP | the configuration is read again | an end, with exit code 1; ignored under `nohup` |

A SIGHUP that comes while `run` starts counts when it has started.
"""


_BEFORE_FLAGS = """\
## Flags and variables

Some flags can be set by a variable of the environment instead. A flag wins over its variable.
A flag that is given twice is an error: one address is served, not several.
"""


def page() -> str:
    """Return docs/cli.md."""
    parts = [notice(), "", _BEFORE, _flags(), _help(_PROGRAM, cli)]
    parts += [_help(f"{_PROGRAM} {name}", command) for name, command in _commands()]
    return "\n".join(parts)


def variables() -> dict[str, str]:
    """Return the flags that a variable of the environment sets, by the variable."""
    return {
        str(parameter.envvar): parameter.opts[0]
        for _, parameter in _parameters()
        if parameter.envvar and isinstance(parameter, click.Option)
    }


def _commands() -> list[tuple[str, click.Command]]:
    return list(cli.commands.items())


def _flags() -> str:
    """Return the table of all flags and arguments, with the variables of the environment that set them."""
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
