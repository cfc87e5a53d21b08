"""Where `vastai-exporter` and `python -m exporter` begin."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the command line; a stop signal that comes while the program still starts up is obeyed too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not sys.exit: raised in the middle of an import, it may be taken for the module's own failure.
        signal.signal(number, lambda *_: os._exit(0))
    from exporter.cli import cli  # noqa: PLC0415 - takes half a second, in which a signal may come

    cli(prog_name="vastai-exporter")


if __name__ == "__main__":
    main()
