"""docs/cli.md and the README's list of commands, from click's own help."""

from __future__ import annotations

import click

from exporter.cli import cli
from generator.markdown import code, notice, table

_PROGRAM = "vastai-exporter"
_WIDTH = 100

_BEFORE = """\
# Commands

The command `run` may be left out. [Configuration](configuration.md) tells of the file and the environment.

| exit code | meaning |
| --- | --- |
| 0 | it did what it was asked for, or was stopped by SIGTERM or SIGINT while serving |
| 1 | it can't serve (the address is taken), or a run of `once` failed or was interrupted |
| 2 | a flag, the environment or the file can't be used; each mistake is a line on standard error |

Logs go to standard error. `once` writes nothing but metrics to standard output; on a terminal it shows how
far it is.
"""


def page() -> str:
    """Return docs/cli.md."""
    parts = [notice(), "", _BEFORE, _help(_PROGRAM, cli)]
    parts += [_help(f"{_PROGRAM} {name}", command) for name, command in _commands()]
    return "\n".join(parts)


def commands_table() -> str:
    """Return the list of commands for README.md."""
    return table(
        ("command", "what it does"),
        [
            (code(f"{_PROGRAM} {name}"), command.get_short_help_str(limit=1000))
            for name, command in _commands()
        ],
    )


def _commands() -> list[tuple[str, click.Command]]:
    return list(cli.commands.items())


def _help(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH)
    return f"## {code(name)}\n\n```text\n{command.get_help(context)}\n```\n"
