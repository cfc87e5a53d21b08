"""A key is read anew each time, is checked, and is shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.vast.errors import AuthError
from exporter.vast.keys import Key, KeyWatch, reader

GOOD = "0123456789abcdef.-_~+/=:XYZ"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key"


def refused(key: Key) -> str:
    with pytest.raises(AuthError) as raised:
        key.read()
    assert raised.value.reason == "auth"
    return str(raised.value)


def test_a_key_may_stand_in_the_configuration() -> None:
    assert Key(value=GOOD).read() == GOOD


@pytest.mark.parametrize("around", ["{}", "{}\n", "{}\r\n", "  {}\t\n\n", "\n{}"])
def test_blanks_and_newlines_around_a_key_are_no_part_of_it(around: str, path: Path) -> None:
    path.write_text(around.format(GOOD))
    assert Key(path=path).read() == GOOD
    assert Key(value=around.format(GOOD)).read() == GOOD


def test_a_file_is_read_anew_each_time(path: Path) -> None:
    key = Key(path=path)
    for content in ("first", "second"):
        path.write_text(content)
        assert key.read() == content


def test_a_file_wins_over_a_value(path: Path) -> None:
    path.write_text("of-the-file")
    assert Key(path=path, value="of-the-value").read() == "of-the-file"


def test_a_missing_file_is_an_error_that_names_it(path: Path) -> None:
    assert refused(Key(path=path)) == f"the key file {path} can't be read: No such file or directory"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refused(Key(path=tmp_path)) == f"the key file {tmp_path} can't be read: Is a directory"


def test_a_path_that_can_not_be_one_is_an_error(path: Path) -> None:
    assert "not valid" in refused(Key(path=path.with_name("a\0b")))


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\r\n "])
def test_an_empty_file_is_an_error(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert refused(Key(path=path)) == f"the key file {path} is empty"


@pytest.mark.parametrize(
    "content",
    [
        b"two words",
        b"two\nlines",
        b"two\r\nlines",
        b"header: injected\r\nX: y",
        b'quoted"',
        b"<key>",
        b"null\0byte",
        b"\xff\xfe\x00\x01",
        "schl\u00fcssel".encode(),
        b"\xef\xbb\xbfafter-a-byte-order-mark",
        4097 * b"a",
    ],
)
def test_what_can_not_be_a_key_is_an_error_that_does_not_show_it(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    words = "does not contain a valid key: expected one line of letters, digits and -._~+/=:"
    assert refused(Key(path=path)) == f"the key file {path} {words}"
    assert refused(Key(value=content.decode("latin-1"))) == f"the API key {words}"


def test_the_longest_key_is_accepted(path: Path) -> None:
    path.write_bytes(4096 * b"a")
    assert len(Key(path=path).read()) == 4096


def test_an_endless_file_is_not_read_to_its_end(path: Path) -> None:
    path.symlink_to("/dev/zero")
    assert "does not contain a valid key" in refused(Key(path=path))


def test_no_value_is_an_error() -> None:
    assert refused(Key()) == "the API key is not set or empty"


def test_a_key_does_not_show_itself(path: Path) -> None:
    assert GOOD not in repr(Key(path=path, value=GOOD))


def test_a_reader_tells_of_a_key_before_it_gives_it_away(path: Path) -> None:
    known: list[str] = []
    path.write_text("first\n")
    read = reader(Key(path=path), known.append)
    assert not known
    assert read() == "first"
    path.write_text("second\n")
    assert read() == "second"
    assert known == ["first", "second"]


def test_a_watch_sees_each_change_of_a_key_once(path: Path) -> None:
    path.write_text("first")
    watch = KeyWatch(Key(path=path))
    seen = [watch.changed()]
    for content in ("second", "second\n", "third"):
        path.write_text(content)
        seen += [watch.changed(), watch.changed()]
    assert seen == [False, True, False, False, False, True, False]


def test_to_vanish_and_to_come_back_are_changes(path: Path) -> None:
    path.write_text("key")
    watch = KeyWatch(Key(path=path))
    path.unlink()
    assert [watch.changed(), watch.changed()] == [True, False]
    path.write_text("key")
    assert watch.changed()


def test_a_file_that_is_replaced_by_a_link_is_seen(path: Path, tmp_path: Path) -> None:
    # How Kubernetes updates a mounted secret.
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    path.symlink_to(tmp_path / "old")
    watch = KeyWatch(Key(path=path))
    (tmp_path / "link").symlink_to(tmp_path / "new")
    (tmp_path / "link").replace(path)
    assert watch.changed()
    assert Key(path=path).read() == "new"


def test_a_value_never_changes() -> None:
    assert not KeyWatch(Key(value=GOOD)).changed()


@pytest.mark.parametrize(
    ("mode", "exposed"),
    [(0o400, False), (0o600, False), (0o640, False), (0o660, False), (0o604, True), (0o644, True)],
)
def test_a_key_is_exposed_where_every_user_can_read_its_file(mode: int, exposed: bool, path: Path) -> None:  # noqa: FBT001
    path.write_text("key")
    path.chmod(mode)
    assert Key(path=path).exposed() == exposed


def test_what_a_link_leads_to_counts_but_not_in_a_volume_of_kubernetes(path: Path, tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "key").write_text("key")
    (tmp_path / "..2026" / "key").chmod(0o644)
    path.symlink_to("..2026/key")
    assert Key(path=path).exposed()
    path.unlink()
    (tmp_path / "..data").symlink_to("..2026")
    path.symlink_to("..data/key")
    assert Key(path=path).read() == "key"
    assert not Key(path=path).exposed()


@pytest.mark.parametrize("key", [Key(value=GOOD), Key(path=Path("/nowhere/key")), Key(path=Path("a\0b"))])
def test_a_key_without_a_file_is_not_exposed(key: Key) -> None:
    assert not key.exposed()
