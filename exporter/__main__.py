"""Where `vastai-exporter` and `python -m exporter` begin."""

from __future__ import annotations

from exporter.commands.signals import from_the_start


def main() -> None:
    """Run the command line; signals are obeyed while the program still starts up too."""
    signals = from_the_start()
    from exporter.commands import streams  # noqa: PLC0415 - signals come first

    streams.guard()
    from exporter.cli import cli  # noqa: PLC0415 - takes half a second, in which a signal may come

    try:
        cli(prog_name="vastai-exporter", obj=signals)
    finally:
        signals.ignore()  # the interpreter's end would let one kill, whatever the exit code is


if __name__ == "__main__":
    main()
