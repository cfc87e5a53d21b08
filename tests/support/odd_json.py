"""JSON as no API should send it: any value, and replies of which something is not as it should be."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Path = tuple[str | None, ...]

#: Text that fields of the API hold, and what is near to it.
_WORDS = (
    "",
    " ",
    "running",
    "instance-7",
    "null",
    "true",
    "nan",
    "-1",
    "1e400",
    "0x1f",
    "_other",
    'a\n"b\\c',
)
#: Numbers at which something ends.
_EDGES = (0, -1, 1, 2**31, 2**53, 2**63, 10**500, -(10**500), 1e-320, 1e100, 1.7e308, -0.0)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(10**500), 10**500)
    | st.sampled_from(_EDGES)
    | st.text(st.characters())
    | st.sampled_from(_WORDS)
    | st.sampled_from("ab\ud800\udfff\u2028\0\N{SNOWMAN}").map(lambda character: character * 600)
    | st.from_regex(r"[ +-]?[0-9_.]{1,5}([eE][+-]?[0-9]{1,4})?", fullmatch=True)
)


def json_values(*names: str) -> st.SearchStrategy[Any]:
    """All that JSON may hold as Python reads it: NaN, infinities, halves of surrogate pairs, huge integers.

    Args:
        names: of members of objects.

    """
    return st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*names, "x"]), inner),
        max_leaves=4,
    )


#: One value of each kind that a field may hold in place of its own.
KINDS: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 0.5, 10**500, float("nan"), float("inf"), 1e300),
    *("", "words of any kind", "-1", "1e999", "half \ud800", "long " * 200),
    *([], [[1], None, "a"], {}, {"x": {"x": None}}),
)


def with_each_kind(reply: Any, path: Path) -> Iterator[Any]:  # noqa: ANN401 - any JSON
    """Yield replies in which the first value at the end of a path is one of each kind."""
    for value in KINDS:
        whole = [deepcopy(reply)]
        parent, key = _end(whole, path, choose=lambda _: 0)
        parent[key] = value
        yield whole[0]


@st.composite
def spoilt(draw: st.DrawFn, reply: Any, values: st.SearchStrategy[Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return a reply with a few things in it replaced, missing, or there twice; or quite another value."""
    if draw(st.integers(0, 19)) == 0:
        return draw(values)
    whole = [deepcopy(reply)]
    for path in draw(st.lists(st.sampled_from(paths_of(reply)), min_size=1, max_size=4)):
        _spoil(draw, whole, path, values)
    return whole[0]


def paths_of(reply: Any) -> list[Path]:  # noqa: ANN401 - any JSON
    """Return the way to each member: names of objects, None for any member of a list."""
    return list(dict.fromkeys(_paths(reply, ())))


def _paths(value: Any, path: Path) -> Iterator[Path]:  # noqa: ANN401 - any JSON
    for key, inner in value.items() if isinstance(value, dict) else [(None, each) for each in value]:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _paths(inner, (*path, key))


def _end(whole: list[Any], path: Path, choose: Callable[[int], int]) -> tuple[Any, Any]:
    """Return what holds the end of a path and where; on the way to it, where that is shorter by now."""
    parent: Any = whole
    key: Any = 0
    for step in path:
        inner = parent[key]
        if isinstance(inner, dict) and step in inner:
            parent, key = inner, step
        elif isinstance(inner, list) and inner and step is None:
            parent, key = inner, choose(len(inner))
    return parent, key


def _spoil(draw: st.DrawFn, whole: list[Any], path: Path, values: st.SearchStrategy[Any]) -> None:
    parent, key = _end(whole, path, choose=lambda length: draw(st.integers(0, length - 1)))
    change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat"]))
    if change == "replace" or parent is whole:
        parent[key] = draw(values)
    elif change == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(draw(st.integers(0, len(parent))), deepcopy(parent[key]))
    else:
        parent[f"{key} too"] = parent[key]
