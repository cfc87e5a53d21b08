"""Where `vastai-exporter` and `python -m exporter` begin."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line; a stop signal that comes while the program still starts up is obeyed too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    from exporter.cli import cli  # noqa: PLC0415 - takes half a second, in which a signal may come

    cli(prog_name="vastai-exporter")


if __name__ == "__main__":
    main()
