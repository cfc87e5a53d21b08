"""Whatever the API sends to whichever collector: an error of the API or values that are counted, and a page
that Prometheus reads.

Each collector that is declared is in it, with no more than its declaration.
"""

from __future__ import annotations

import json
from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collectors import COLLECTORS
from exporter.vast.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.collectors import Collector
    from tests.support.pipeline import Exporter

#: Numbers that have broken a parser somewhere.
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, -0.0, 1e308, -1e308, 5e-324, 2**63, 2**64, 10**400, 1.79e9, 1.79e12]),
)
#: Texts likewise: quotes, ends of lines, half characters, what looks like numbers, templates and markup.
ODD_TEXTS = (
    *(
        "",
        " ",
        "null",
        "NaN",
        "Infinity",
        "1e999",
        "0x10",
        "1_000",
        "running",
        'a"b',
        "a\nb",
        "a\\",
        "\ud800",
    ),
    *("${label:raw}", "{{ x }}", "%s", "<b>", "&amp;", "a#b?c=d", "\U0001f600", "\x00", "x" * 3000),
)
TEXTS = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(ODD_TEXTS)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
#: What lists of the API are called. Every reply has them all, so that it is one whatever was asked for.
LISTS = (
    "backups",
    "instances",
    "notifications",
    "offers",
    "pending_price_increases",
    "results",
    "volumes",
    "workers",
)
#: What else stands beside them.
BESIDE = (
    *("success", "count", "total", "total_instances", "truncated", "next_token"),
    *("error", "msg", "error_msg"),
)
#: What objects of the API are known by, mostly as they should be.
KEYS = {
    "id": st.integers(1, 5) | SCALARS,
    "contract_id": st.integers(1, 5) | SCALARS,
    "event_id": TEXTS | SCALARS,
    "created_at": st.floats(1.79e9, 1.8e9) | SCALARS,
}
STATUSES = st.sampled_from([200] * 12 + [201, 204, 301, 400, 401, 403, 404, 409, 410, 418, 429, 500, 503])


def objects(names: tuple[str, ...], inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), inner, max_size=8)


def replies(collector: Collector) -> st.SearchStrategy[bytes]:
    """Return replies that look more or less as the collector expects them."""
    fields = (*collector.fields, *collector.not_exported)
    row = st.builds(
        lambda keys, others: {**keys, **others}, st.fixed_dictionaries(KEYS), objects(fields, VALUES)
    )
    rows = st.lists(row, max_size=4)
    whole = st.builds(
        lambda lists, others: {**lists, **others},
        st.fixed_dictionaries(dict.fromkeys(LISTS, rows)),
        objects((*BESIDE, *fields), VALUES),
    )
    odd = objects((*LISTS, *BESIDE, *fields), rows | VALUES) | VALUES
    text = st.one_of(whole, whole, odd).map(lambda value: json.dumps(value).encode())
    return st.one_of(text, text, text, st.binary(max_size=40), text.map(lambda body: body[: len(body) // 2]))


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
@settings(max_examples=25)
@given(data=st.data())
def test_any_reply_is_an_error_of_the_api_or_is_published_as_prometheus_reads_it(
    collector: Collector, data: st.DataObject, new_exporter: Callable[..., Exporter]
) -> None:
    exporter = new_exporter(collectors=[collector])
    account = exporter.account()
    for _ in range(2):  # what was known is replaced, and followed
        answers = data.draw(st.lists(st.tuples(STATUSES, replies(collector)), min_size=1, max_size=3))
        run = account.start(collector)
        exporter.api.replies.extend(answers)
        exporter.api.otherwise = answers[-1]
        with suppress(ApiError):
            list(run)
        exporter.clock.advance(1.0)
        exporter.samples(openmetrics=True)
        assert all(map(isfinite, exporter.samples().values()))
    assert set(account.problems.unreadable) <= {*collector.fields, ""}
