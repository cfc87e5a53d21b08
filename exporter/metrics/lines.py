"""Format samples, identically for the text format 0.0.4 and OpenMetrics 1.0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.metrics.snapshot import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.metrics.rows import Metric, R, Row
    from exporter.metrics.values import Number


def escape(value: str) -> str:
    r"""Return `value` as it stands between a label's quotes.

    >>> escape('a "b" \\ c')
    'a \\"b\\" \\\\ c'
    """
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value


def labels(names: Iterable[str], values: Iterable[str]) -> str:
    """Return label names and values as written between the braces."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True)])


def sample(name: str, label_text: str, value: Number) -> str:
    """Return the line of one sample."""
    return f"{name}{{{label_text}}} {value!r}\n" if label_text else f"{name} {value!r}\n"


def header(metric: Metric, *, openmetrics: bool = False) -> bytes:
    """Return the HELP and TYPE lines; OpenMetrics names a counter's family without `_total`."""
    name = metric.name.removesuffix("_total") if openmetrics and metric.type == "counter" else metric.name
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.type}\n".encode()


def of_objects(rows: Sequence[Row[R]], objects: Sequence[tuple[str, R]]) -> Lines:
    """Return the lines of the objects.

    Args:
        rows: rows of the metric table.
        objects: pairs of an object's identifying labels, as text, and its record.

    """
    text: dict[str, bytes] = {}
    counts: dict[str, bytes] = {}
    patterns: dict[bytes, bytes] = {}  # shared, since most metrics are absent for the same objects
    records = [record for _, record in objects]
    plain = [f"{ids}}} " for ids, _ in objects]
    for row in rows:
        values = list(map(row.value, records))
        closed = plain if row.label_values is None else _extended(row, row.label_values, objects)
        head = f"{row.name}{{"
        lines = [f"{head}{ids}{v!r}\n" for ids, v in zip(closed, values, strict=True) if v is not None]
        if not lines:
            continue
        text[row.name] = encode("".join(lines))
        if len(lines) < len(objects):
            pattern = bytes([value is not None for value in values])
            counts[row.name] = patterns.setdefault(pattern, pattern)
    return Lines(text=text, counts=counts)


def _extended(
    row: Row[R], label_values: Callable[[R], tuple[str, ...]], objects: Sequence[tuple[str, R]]
) -> list[str]:
    """Return each object's labels up to the value, with the labels of `row` after its own."""
    further = [label_values(record) for _, record in objects]
    names = row.labels[-len(further[0]) :] if further else ()
    template = "".join([f',{name}="%s"' for name in names])
    return [
        f"{ids}{template % _escaped(values)}}} " for (ids, _), values in zip(objects, further, strict=True)
    ]


def _escaped(values: tuple[str, ...]) -> tuple[str, ...]:
    together = "".join(values)
    if "\\" in together or '"' in together or "\n" in together:
        return tuple(map(escape, values))
    return values


def of_samples(metric: Metric, account: str, samples: Iterable[tuple[tuple[str, ...], Number]]) -> bytes:
    """Return the lines of an account's metric; each sample has its further label values and its value."""
    return of_labelled(metric, (((account, *values), value) for values, value in samples))


def of_labelled(metric: Metric, samples: Iterable[tuple[tuple[str, ...], Number]]) -> bytes:
    """Return the lines of a metric; each sample has all its label values and its value."""
    return encode(
        "".join(
            sample(metric.name, labels(metric.labels, values), value) for values, value in sorted(samples)
        )
    )


def encode(text: str) -> bytes:
    """Return `text` as UTF-8; a lone surrogate, which JSON allows and UTF-8 does not, becomes "?"."""
    return text.encode("utf-8", "replace")
