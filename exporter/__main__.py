"""Entry point of `vastai-exporter` and `python -m exporter`."""

from __future__ import annotations

from exporter.commands.signals import from_the_start


def main() -> None:
    """Run the command line; signals are handled even while the program starts."""
    signals = from_the_start()
    from exporter.commands import streams  # noqa: PLC0415 - signals come first

    streams.guard()
    from exporter.cli import cli  # noqa: PLC0415 - takes half a second, in which a signal may arrive

    try:
        cli(prog_name="vastai-exporter", obj=signals)
    finally:
        signals.ignore()  # otherwise one during the interpreter's exit would kill it, whatever the exit code


if __name__ == "__main__":
    main()
