"""Whatever stands in a web configuration file, it is what clients are asked for, or lines that name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.durations import format_duration, parse_duration
from exporter.config.mistakes import ConfigError
from exporter.config.web import HEADERS
from exporter.web.access import read_access

if TYPE_CHECKING:
    from pathlib import Path

#: In no line, whatever it stands for.
SECRET = "hunter2"
HASH = "$2y$10$" + 53 * "a"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.dates()
    | st.binary(max_size=3)
    | st.sampled_from([HASH, SECRET, "TLS12", "RequireAndVerifyClientCert", "cert.pem", "key.pem", "", "0"])
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(SCALARS, inner, max_size=2),
    max_leaves=4,
)
SECRETS = st.sampled_from(
    [SECRET, [SECRET], {"a": SECRET}, {SECRET: SECRET}, SECRET.encode(), f"$2y$10${SECRET}"]
)
TLS_KEYS = ("cert_file", "key_file", "client_auth_type", "client_ca_file", "min_version", "max_version")
#: The files that there are; of some keys what they want, so that it goes on behind it.
PAIR = {"cert_file": "cert.pem", "key_file": "key.pem"}


def mapping(*names: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), ANYTHING, max_size=4) | ANYTHING


FILES = st.fixed_dictionaries(
    {},
    optional={
        "tls_server_config": mapping(*TLS_KEYS)
        | st.dictionaries(st.sampled_from(TLS_KEYS), ANYTHING).map(lambda it: PAIR | it),
        "http_server_config": mapping("http2", "headers")
        | st.dictionaries(st.sampled_from([*HEADERS]), ANYTHING).map(lambda it: {"headers": it}),
        "basic_auth_users": st.dictionaries(st.text(max_size=5), st.just(HASH) | ANYTHING) | ANYTHING,
        "other": ANYTHING,
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and its key in it."""
    made = tmp_path_factory.mktemp("web")
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(made / "cert.pem")
    issued.private_key_pem.write_to_path(made / "key.pem")
    return made


@given(FILES)
def test_any_value_anywhere_is_a_web_configuration_or_lines_that_name_the_file(
    folder: Path, settings: object
) -> None:
    outcome(folder, yaml.dump(settings, Dumper=yaml.SafeDumper, allow_unicode=True).encode())


@given(st.dictionaries(st.text("abc:", max_size=3), SECRETS, min_size=1, max_size=3))
def test_no_line_shows_what_stands_in_the_place_of_a_hash(folder: Path, users: dict[str, object]) -> None:
    lines = outcome(folder, yaml.dump({"basic_auth_users": users}, Dumper=yaml.SafeDumper).encode())
    assert lines
    assert SECRET not in "".join(lines)


PIECES = st.sampled_from(
    [*"{}[]:,-&*!|>'\"%@`? \n\tax01.~<=#", "basic_auth_users:", "tls_server_config: ", "<<: *a", "!!binary "]
)


@given(st.binary(max_size=40) | st.lists(PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode()))
def test_any_bytes_are_a_web_configuration_or_lines_that_name_the_file(folder: Path, content: bytes) -> None:
    outcome(folder, content)


def outcome(folder: Path, content: bytes) -> tuple[str, ...]:
    """Return what is wrong with a file, if anything."""
    path = folder / "web.yml"
    path.write_bytes(content)
    try:
        read_access(path)
    except ConfigError as error:
        lines = tuple(error.lines)
        assert lines != ()
        assert all(line.startswith(f"{path}: ") and line.isprintable() for line in lines)
        return lines
    return ()


# Durations


@given(
    st.text(max_size=10)
    | st.lists(st.sampled_from([*"0159 .-+e٣", "ms", "s", "m", "h", "d", "w", "y"])).map("".join)
)
def test_any_text_is_a_duration_that_comes_back_or_an_error_that_says_what_one_is(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        words = str(error)
        assert words.startswith("a duration such as")
    else:
        assert seconds >= 0
        assert parse_duration(format_duration(seconds)) == seconds
