"""A configuration whose file changes is read again by itself, once it is whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from exporter.commands.config_watch import ConfigWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def replaced(path: Path, text: str) -> None:
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def as_kubernetes_does(path: Path, text: str) -> None:
    """Swap the folder to which `..data` points; the file itself is a link into it."""
    folder = path.parent / f"..{len(text)}"
    folder.mkdir()
    (folder / path.name).write_text(text)
    link = path.parent / "..tmp"
    link.symlink_to(folder.name)
    link.replace(path.parent / "..data")
    if not path.is_symlink():
        path.unlink(missing_ok=True)
        path.symlink_to(f"..data/{path.name}")


@pytest.mark.parametrize("write", [in_place, replaced, as_kubernetes_does])
def test_a_change_counts_when_two_looks_have_seen_it(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "config.yaml"
    write(path, "a: 1")
    watch = ConfigWatch(path)
    assert not watch.changed()
    write(path, "a: 12")
    assert [watch.changed(), watch.changed()] == [False, True]
    watch.note()
    assert not watch.changed()
    assert not watch.changed()


def test_a_file_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1")
    watch = ConfigWatch(path)
    for text in ("b", "b:", "b: 2"):
        path.write_text(text)
        assert not watch.changed()
    assert watch.changed()


def test_the_same_content_written_again_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1")
    watch = ConfigWatch(path)
    replaced(path, "a: 1")
    assert [watch.changed(), watch.changed()] == [False, False]


def test_a_file_that_is_gone_is_no_change_until_it_is_back_and_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1")
    watch = ConfigWatch(path)
    path.unlink()
    assert [watch.changed(), watch.changed()] == [False, False]
    path.write_text("a: 1")
    assert [watch.changed(), watch.changed()] == [False, False]
    path.write_text("a: 2")
    assert [watch.changed(), watch.changed()] == [False, True]


def test_a_refused_change_is_not_tried_again_until_the_next(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1")
    watch = ConfigWatch(path)
    path.write_text("a: wrong")
    assert [watch.changed(), watch.changed()] == [False, True]
    watch.note()  # whoever reads it notes it first, whatever comes of it
    assert [watch.changed(), watch.changed()] == [False, False]
    path.write_text("a: 2")
    assert [watch.changed(), watch.changed()] == [False, True]


def test_what_is_no_file_never_changes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (None, pipe, tmp_path):
        watch = ConfigWatch(path)
        assert [watch.changed(), watch.changed()] == [False, False]
