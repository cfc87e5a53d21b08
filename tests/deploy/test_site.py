"""The documentation's site has every page of the repository, and no link of it leads nowhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """docs/stage.py."""
    spec = importlib.util.spec_from_file_location("site_of_docs", ROOT / "docs/stage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_menu(entries: object) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, list):
        for entry in entries:
            yield from in_menu(entry)
    elif isinstance(entries, dict):
        for entry in entries.values():
            yield from in_menu(entry)


def test_every_page_is_there_and_every_link_leads_somewhere(site: ModuleType, tmp_path: Path) -> None:
    staged = tmp_path / "pages"
    pages = site.stage(staged)
    of_docs = {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")}
    assert of_docs <= set(pages)
    for page in pages:
        text = re.sub(r"(?ms)^ *```.*?^ *```", "", (staged / page).read_text())
        for _, target, _ in site.LINK.findall(text):
            assert "://" in target or (staged / page.parent / target).is_file(), (page, target)


def test_the_menu_names_pages_and_leaves_out_only_those_that_an_index_lists(
    site: ModuleType, tmp_path: Path
) -> None:
    pages = {str(page) for page in site.stage(tmp_path / "pages")}
    menu = set(in_menu(NAV))
    assert menu <= pages
    left_out = {Path(page).parent.name for page in pages - menu}
    assert left_out == {"runbooks", "decisions"}


def test_what_was_staged_before_is_gone(site: ModuleType, tmp_path: Path) -> None:
    old = tmp_path / "pages/docs/old.md"
    old.parent.mkdir(parents=True)
    old.write_text("gone")
    site.stage(tmp_path / "pages")
    assert not old.exists()


def test_a_link_to_nothing_is_refused(
    site: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "README.md").write_text("[this](that.md)")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^README\.md links to that\.md, which does not exist$"):
        site.stage(tmp_path / "pages")
