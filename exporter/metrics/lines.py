"""The text of samples: the same in the text format 0.0.4 and in OpenMetrics 1.0."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.metrics.rows import Gauge, Metric, Number, Record


def escape(value: str) -> str:
    r"""Return `value` as it stands between a label's quotes.

    >>> escape('a "b" \\ c')
    'a \\"b\\" \\\\ c'
    """
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value


def labels(names: Iterable[str], values: Iterable[str]) -> str:
    """Return label names and values as they stand between the braces."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True)])


def sample(name: str, label_text: str, value: Number) -> str:
    """Return one line."""
    return f"{name}{{{label_text}}} {value!r}\n" if label_text else f"{name} {value!r}\n"


def header(metric: Metric, *, openmetrics: bool = False) -> bytes:
    """Return the HELP and TYPE lines; OpenMetrics names a counter's family without `_total`."""
    name = metric.name.removesuffix("_total") if openmetrics and metric.kind == "counter" else metric.name
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n".encode()


def of_objects(metrics: Sequence[Gauge], objects: Sequence[tuple[str, Record]]) -> Mapping[str, bytes]:
    """Return the lines of each metric that has any, by its name.

    Args:
        metrics: rows of the table.
        objects: the text of the labels that identify an object, and what the API said of it.

    """
    found: dict[str, bytes] = {}
    for metric in metrics:
        name, value_of, texts_of = metric.name, metric.value, metric.texts
        samples = [(known, record, v) for known, record in objects if (v := value_of(record)) is not None]
        if texts_of is not None:
            samples = [
                (_extended(metric, known, texts_of(record)), record, v) for known, record, v in samples
            ]
        if samples:
            found[name] = encode("".join([f"{name}{{{known}}} {v!r}\n" for known, _, v in samples]))
    return found


def _extended(metric: Gauge, known: str, texts: tuple[str, ...]) -> str:
    return f"{known},{labels(metric.labels[-len(texts) :], texts)}"


def encode(text: str) -> bytes:
    """Return `text` as UTF-8; half a surrogate pair, which JSON may hold and UTF-8 may not, becomes "?"."""
    return text.encode("utf-8", "replace")
