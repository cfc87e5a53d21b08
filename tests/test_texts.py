"""Texts for readers: sentences that are short enough to read once, and words that are spelt right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: More words than this take a second reading.
MOST_WORDS = 40
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/runbooks").glob("*.md"))]
#: Where spelling is checked; `[tool.codespell]` in pyproject.toml takes some files and words out.
SPELT = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Dockerfile", "Makefile"),
    *("config.example.yaml", "pyproject.toml"),
    *("bench", "deploy", "docs", "exporter", "grafana", "tests"),
)
#: A full stop behind one of these ends no sentence.
ABBREVIATIONS = ("e.g", "i.e", "etc", "cf", "vs", "approx")
END = re.compile(
    r"(?<=[.!?])"
    + "".join(rf"(?<!\b{re.escape(word)}\.)" for word in ABBREVIATIONS)
    + r"[\"')\]*_]*\s+(?=\S)",
    re.IGNORECASE,
)


def sentences(markdown: str) -> list[str]:
    """Return the sentences of a page, without its code, tables, comments and the targets of links."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1[^\n]*$", "\n\n", markdown, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^ *(\|.*|\[[^\]]+\]: .*)$", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]+`", "code", text)
    text = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)", r"\1", text)
    # Items of lists and headings begin anew, whether or not there is a line between them.
    text = re.sub(r"^(#+ .*)$", r"\n\1\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ *(?:[-*+]|\d+[.)]) +", "\n\n", text, flags=re.MULTILINE)
    blocks = (" ".join(block.split()) for block in re.split(r"\n\s*\n", text))
    return [sentence for block in blocks if block for sentence in END.split(block)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_has_more_than_forty_words(page: Path) -> None:
    found = sentences(page.read_text(encoding="utf-8"))
    assert found
    assert [each for each in found if len(each.split()) > MOST_WORDS] == []


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("One. Two!\nThree?", ["One.", "Two!", "Three?"]),
        ("Take a proxy, e.g. Envoy, as of 0.9. End.", ["Take a proxy, e.g. Envoy, as of 0.9.", "End."]),
        ('"Quoted." (In brackets.) `vastai` ends.', ['"Quoted.', "(In brackets.", "code ends."]),
        ("See [the page](https://a.example/a-b). Then `rm -r /a b c`.", ["See the page.", "Then code."]),
        ("Before\n```sh\nrun. this. now\n```\nafter.", ["Before", "after."]),
        (
            "# Title\nText\n- one\n- two\n  goes on\n1. three",
            ["# Title", "Text", "one", "two goes on", "three"],
        ),
        ("A table:\n\n| a | b. c |\n|---|---|\n\n<!-- a. b -->\nEnd.", ["A table:", "End."]),
    ],
    ids=["marks", "abbreviations", "quotes", "links", "code", "items", "tables"],
)
def test_sentences_are_told_apart(markdown: str, found: list[str]) -> None:
    assert sentences(markdown) == found


def test_words_are_spelt_right() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *(name for name in SPELT if (ROOT / name).exists())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
