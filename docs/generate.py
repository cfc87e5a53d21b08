"""Writes the documentation that is generated from the code; with --check says what is stale instead.

Run as `python docs/generate.py [--check]`. `--check` writes nothing, names each stale file and exits with 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generator import cli, configuration, markdown, metrics, web

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[Path, str]:
    """Return what each generated file should hold."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = markdown.replace_block(readme, "commands", cli.commands_table())
    readme = markdown.replace_block(readme, "main metrics", metrics.main_table())
    return {
        ROOT / "docs/metrics.md": metrics.page(ROOT / "docs/api_fields.yaml"),
        ROOT / "docs/configuration.md": configuration.page(),
        ROOT / "docs/web-configuration.md": web.page(),
        ROOT / "docs/cli.md": cli.page(),
        ROOT / "config.example.yaml": configuration.example(),
        ROOT / "README.md": readme,
    }


def main(arguments: list[str]) -> int:
    """Write or check, and return the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = {path: text for path, text in generated().items() if _content(path) != text}
    for path, text in stale.items():
        name = path.relative_to(ROOT)
        if arguments:
            print(f"{name} is stale: `{markdown.COMMAND}` makes it anew", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if stale and arguments else 0


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
