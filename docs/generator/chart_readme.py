"""The chart's README.md: a table of its values.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from generator.markdown import code, notice, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BEFORE = """\
# vastai-exporter

A Prometheus exporter for people who rent GPUs on Vast.ai. In a clone of the repository:

```sh
helm install demo deploy/helm/vastai-exporter --set image.repository=IMAGE,demo=true # without a key
```

`docs/install.md` in the repository describes keys, TLS, users, the Prometheus operator and Grafana. The
folder `ci` next to this file contains complete values files. As a dependency, use
`condition: vastai-exporter.enabled`.

## Values

"""


def page(values: str) -> str:
    """Return README.md for a values.yaml.

    The comment on the line of a key, or on the lines right above it, is its meaning. Sections in flow style
    count as one value.
    """
    root = yaml.compose(values, yaml.SafeLoader)
    if root is None:
        raise ValueError("values.yaml is empty")
    rows = [
        (code(path), code(default), meaning) for path, default, meaning in _rows(root, values.splitlines())
    ]
    return f"{notice()}\n\n{_BEFORE}{table(('value', 'default', 'meaning'), rows)}"


def _rows(section: yaml.Node, lines: Sequence[str], above: str = "") -> Iterator[tuple[str, str, str]]:
    for key, value in section.value:
        path, line = f"{above}{key.value}", key.start_mark.line
        if value.start_mark.line < line:  # an alias of a section further up
            yield path, "", _meaning(lines, line)
        elif isinstance(value, yaml.MappingNode) and not value.flow_style:
            meaning = _meaning(lines, line)
            if meaning:
                yield path, "", meaning
            yield from _rows(value, lines, f"{path}.")
        else:
            yield path, _default(value), _meaning(lines, line)


def _default(value: yaml.Node) -> str:
    text = value.start_mark.buffer or ""
    return text[value.start_mark.index : value.end_mark.index].strip()


def _meaning(lines: Sequence[str], line: int) -> str:
    """Return the comments on a line and right above it."""
    beside = lines[line].partition(" # ")[2].strip()
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    above = [_said(each.lstrip().removeprefix("#")) for each in lines[first:line]]
    return " ".join(filter(None, (*above, beside)))


def _said(comment: str) -> str:
    """Return a line of a comment; an indented line is an example and stays a line."""
    return f"<br>{code(comment.strip())}<br>" if comment.startswith("   ") else comment.strip()
