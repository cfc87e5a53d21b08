"""What is taken for true of the API: one list, in words; no check trips, or tells a text of a reply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import COLLECTORS
from exporter.collectors.assumptions import everywhere
from exporter.collectors.assumptions.checks import error_word
from exporter.collectors.assumptions.evidence import Answer, Evidence, rounded
from exporter.collectors.assumptions.standing import assumptions_of
from exporter.exposition.table import METRICS
from exporter.metrics.fields import Problems
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import AuthError, ClientError, NetworkError

if TYPE_CHECKING:
    from exporter.collectors.assumptions.declaration import Assumption

ALL = [each for collector in COLLECTORS for each in assumptions_of(collector)] + [*everywhere.ASSUMPTIONS]
CHECKED = [each for each in ALL if each.check is not None]
ENDPOINT = Endpoint("/api/v0/things/", 1.0)
#: What no sentence of ours has in it.
MARK = "\N{SNOWMAN}"

#: Names of fields that the checks look at.
NAMES = sorted({"instances", "volumes", *(name for collector in COLLECTORS for name in collector.fields)})
NAMES += ["label_counts", "next_token", "instances_found", "totalHour", "gpuCostPerHour", "no_such_column"]
WORDS = st.sampled_from(["running", "stopped", "exited", "unknown", "machine", ""])
MARKED = st.text(max_size=5).map(lambda text: f"{MARK}{text}")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | MARKED
ROWS = st.dictionaries(
    st.sampled_from(NAMES) | MARKED, SCALARS | st.dictionaries(MARKED, SCALARS), max_size=60
)
REPLIES = st.dictionaries(
    st.sampled_from(NAMES) | MARKED, SCALARS | ROWS | st.lists(ROWS | SCALARS), max_size=8
)
LISTS = st.fixed_dictionaries(
    {}, optional={"instances": st.lists(ROWS), "volumes": st.lists(ROWS), "label_counts": ROWS}
)
HEADERS = st.dictionaries(st.sampled_from([*everywhere.RATE_HEADERS, "x-other"]), MARKED | st.just("0"))


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """A reply of any shape, an error with any words, or nothing at all."""
    errors = (AuthError, ClientError, NetworkError)
    error = draw(st.none() | st.sampled_from(errors))
    if error is not None:
        status, word = draw(st.none() | st.integers(400, 599)), draw(MARKED | st.just("auth_error"))
        return Answer(endpoint=ENDPOINT, error=error(draw(MARKED), status=status, error=word))
    reply = draw(st.none() | REPLIES | st.builds(lambda one, two: {**one, **two}, REPLIES, LISTS))
    return Answer(endpoint=ENDPOINT, codes=("200",), reply=reply)


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    return Evidence(
        answers=tuple(draw(st.lists(answers(), max_size=3))),
        answer=draw(st.none() | answers()),
        failure=draw(st.sampled_from([None, "auth", "bad_reply"])),
        now=1.8e9,
        headers=tuple(draw(st.lists(HEADERS, max_size=3))),
        problems=Problems(),
    )


@given(evidence())
def test_no_check_trips_over_what_is_odd_or_shows_a_text_of_it(came: Evidence) -> None:
    for each in CHECKED:
        assert each.check is not None
        finding = each.check(came)
        assert finding.verdict in {"holds", "does not hold", "can't be told"}
        assert MARK not in finding.came, each.name
        assert "|" not in finding.came
        assert finding.came == finding.came.strip() != ""


def test_where_nothing_came_nothing_can_be_told() -> None:
    for each in CHECKED:
        assert each.check is not None
        assert each.check(Evidence()).verdict == "can't be told", each.name


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("auth_error", "HTTP 403, auth_error"),
        ("", "HTTP 403, without an error word"),
        ("9f86d081884c7d659a2feaa0c55ad015", "HTTP 403, another error word"),
        ("ada@example.com", "HTTP 403, another error word"),
        ("203.0.113.7", "HTTP 403, another error word"),
        ("No permission for Ada", "HTTP 403, another error word"),
        ("secret", "HTTP 403, another error word"),
    ],
)
def test_of_an_error_only_what_looks_like_a_word_of_the_api_is_shown(word: str, shown: str) -> None:
    assert error_word(Answer(endpoint=ENDPOINT, error=AuthError("words", status=403, error=word))) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1234.5, "1200"), (0.0213, "0.021"), (7, "7"), (-1, "-1"), (0, "0")]
)
def test_numbers_are_shown_with_two_digits(value: float, shown: str) -> None:
    assert rounded(value) == shown


def test_each_has_a_name_of_its_own() -> None:
    names = [each.name for each in ALL]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_each_is_told_in_words_that_fit_into_a_table(one: Assumption) -> None:
    for words in (one.sentence, one.consequence):
        assert words
        assert not words.endswith((".", ";", " "))
        assert words.count("`") % 2 == 0
        assert "|" not in words
        assert "\n" not in words


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_the_metrics_that_each_names_are_there(one: Assumption) -> None:
    known = {metric.name for metric in METRICS}
    assert set(re.findall(r"vastai_[a-z_]+", one.consequence)) <= known


def test_only_what_is_checked_asks_a_question() -> None:
    assert all(each.check is not None for each in ALL if each.question is not None)


def test_what_is_open_or_likely_and_in_a_reply_can_be_checked() -> None:
    """What is not checked is about time, money, others or addresses: a minute of reading can't tell it."""
    unchecked = {each.name for each in ALL if each.check is None and each.confidence != "sure"}
    assert unchecked == {
        "account_threshold",
        "backups_permission",
        "backups_threshold",
        "billed_factor",
        "charges_permission",
        "charges_settled",
        "instances_ports",
        "market_permission",
        "notifications_threshold",
        "offers_pace",
        "offers_quota",
        "own_bid_lowered",
        "price_increases_threshold",
        "resumes_by_itself",
        "serverless_permission",
        "serverless_threshold",
        "serverless_worker_is_instance",
        "spend_in_steps",
        "threshold_scope",
    }


def test_a_field_is_gone_where_no_object_has_it() -> None:
    (instances,) = [each for each in COLLECTORS if each.name == "instances"]
    (check,) = [each.check for each in assumptions_of(instances) if each.name == "instances_fields"]
    row: dict[str, Any] = dict.fromkeys(instances.fields, 1)
    assert check

    def found(**reply: object) -> tuple[str, str]:
        return check(Evidence(answers=(Answer(endpoint=ENDPOINT, reply=reply),)))

    assert found(instances=[row], total_instances=1)[1] == "holds"
    assert found(instances=[], total_instances=0)[1] == "can't be told"
    assert found(instances=[row | {"gpu_util": None}]) == (
        "all there; null wherever they are: gpu_util",
        "can't be told",
    )
    del row["gpu_util"], row["label"]
    assert found(instances=[row]) == ("nowhere: label, gpu_util", "does not hold")
