"""Stage the repository's pages for the documentation site that `make site` builds.

    python docs/stage.py FOLDER

Each page keeps its path, so links between pages work as in the repository. Linked files that are not pages,
such as pictures, rules and examples, are copied too.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
#: Pages of the documentation: all pages of some folders, only the README of others.
PAGES = ("*.md", "docs/**/*.md", "grafana/README.md", "bench/README.md", "deploy/**/README.md")
#: Text, target and anchor of a link or a picture.
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def stage(folder: Path) -> list[Path]:
    """Copy pages and the files that they link to into `folder`, and return the pages, relative to it.

    Raises:
        FileNotFoundError: a page links to a file that does not exist.

    """
    if folder.exists():
        shutil.rmtree(folder)
    pages = sorted({page.relative_to(ROOT) for pattern in PAGES for page in ROOT.glob(pattern)})
    for page in pages:
        put(folder, page, (ROOT / page).read_text(encoding="utf-8"))
        for target in linked(page):
            if target not in pages and target.suffix != ".md":
                (folder / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / target, folder / target)
    return pages


def put(folder: Path, page: Path, text: str) -> None:
    """Write a page.

    A link to a folder becomes one to its README. Links to hidden files and to other folders become text.
    """

    def shown(match: re.Match[str]) -> str:
        target = (ROOT / page.parent / unquote(match[2])).resolve()
        if "://" in match[2] or not (target.is_dir() or target.name.startswith(".")):
            return match[0]
        if (target / "README.md").is_file():
            return f"[{match[1]}]({match[2].rstrip('/')}/README.md{match[3] or ''})"
        return match[1]

    path = folder / page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LINK.sub(shown, text), encoding="utf-8")


def linked(page: Path) -> list[Path]:
    """Return the files of the repository that a page links to."""
    text = FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    found = []
    for match in LINK.finditer(text):
        if "://" in match[2] or match[2].startswith("mailto:"):
            continue
        target = (ROOT / page.parent / unquote(match[2])).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page} links to {match[2]}, which does not exist")
        if target.is_file():
            found.append(target.relative_to(ROOT))
    return found


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
