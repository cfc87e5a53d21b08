"""The fleet in numbers: by status, by label and status, GPUs by model and status."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.fleet import OTHER, STATUSES, folded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pipeline import Account, Exporter


def counts(exporter: Exporter, metric: str, *names: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of some labels."""
    return {
        tuple(dict(labels)[name] for name in names): value
        for (found, labels), value in exporter.samples().items()
        if found == metric
    }


def fleet(*instances: tuple[object, ...]) -> list[dict[str, Any]]:
    """Return rows of (actual_status, label, gpu_name, num_gpus), as many of them as are given."""
    names = ("actual_status", "label", "gpu_name", "num_gpus")
    return [
        {"id": number, **dict(zip(names, values, strict=False))}
        for number, values in enumerate(instances, start=1)
    ]


def test_before_the_first_whole_walk_there_is_no_number(exporter: Exporter, account: Account) -> None:
    account.broken_walk([{"id": 1}])
    assert counts(exporter, "vastai_instances", "status") == {}


def test_of_an_empty_account_every_documented_status_is_0(exporter: Exporter, account: Account) -> None:
    account.walk([])
    assert counts(exporter, "vastai_instances", "status") == {(status,): 0 for status in STATUSES}
    assert counts(exporter, "vastai_label_instances", "label") == {}
    assert counts(exporter, "vastai_gpus", "gpu_name") == {}
    assert counts(exporter, "vastai_api_instances", "account") == {("research",): 0}


def test_every_status_that_the_vendor_documents_is_among_them() -> None:
    assert set(STATUSES) == {
        "provisioning",
        *("created", "loading", "running", "frozen", "stopped", "exited", "rebooting", "unknown", "offline"),
    }


def test_instances_are_counted_by_whatever_status_they_have(exporter: Exporter, account: Account) -> None:
    account.walk(
        fleet(("running",), ("running\n",), (None,), ("",), ("shelved",), ([],), (True,), ("3",), (3,))
    )
    found = counts(exporter, "vastai_instances", "status")
    assert {status: count for (status,), count in found.items() if count} == {
        "running": 2,
        "provisioning": 2,
        "shelved": 1,
        "unreadable": 2,
        "3": 2,
    }
    assert sum(found.values()) == 9


def test_fewer_rows_than_the_api_promised_are_seen_in_the_difference(
    exporter: Exporter, account: Account
) -> None:
    account.walk(fleet(("running",)), total=3)
    assert sum(counts(exporter, "vastai_instances", "status").values()) == 1
    assert counts(exporter, "vastai_api_instances", "account") == {("research",): 3}


def test_labels_and_gpus_are_counted_by_status_where_they_occur(exporter: Exporter, account: Account) -> None:
    account.walk(
        fleet(
            ("running", "llama", "RTX 4090", 2),
            ("running", "llama", "RTX 4090", "8"),
            ("exited", "llama", "RTX 4090", 1),
            ("running", None, "H100 SXM", 0.5),
            ("running", "", None, 4),
        )
    )
    assert counts(exporter, "vastai_label_instances", "label", "status") == {
        ("llama", "running"): 2,
        ("llama", "exited"): 1,
        ("", "running"): 2,
    }
    assert counts(exporter, "vastai_gpus", "gpu_name", "status") == {
        ("RTX 4090", "running"): 10,
        ("RTX 4090", "exited"): 1,
        ("H100 SXM", "running"): 0.5,
        ("", "running"): 4,
    }


@pytest.mark.parametrize("sent", [None, "some", []])
def test_gpus_of_an_unknown_number_are_not_0_gpus(exporter: Exporter, account: Account, sent: object) -> None:
    account.walk(
        fleet(("running", "a", "RTX 4090", sent), ("running", "a", "H100", sent), ("running", "a", "H100", 2))
    )
    assert counts(exporter, "vastai_gpus", "gpu_name") == {("H100",): 2}


def test_0_gpus_are_0_gpus(exporter: Exporter, account: Account) -> None:
    account.walk(fleet(("running", "a", "none", 0)))
    assert counts(exporter, "vastai_gpus", "gpu_name") == {("none",): 0}


def test_texts_that_are_written_alike_are_counted_as_one(exporter: Exporter, account: Account) -> None:
    halves = ("\ud800", "\udfff", "\N{REPLACEMENT CHARACTER}")
    account.walk(fleet(*((half, half, half, 1) for half in halves)))
    one = "\N{REPLACEMENT CHARACTER}"
    assert counts(exporter, "vastai_label_instances", "label", "status") == {(one, one): 3}
    assert counts(exporter, "vastai_gpus", "gpu_name", "status") == {(one, one): 3}
    assert counts(exporter, "vastai_instances", "status")[one,] == 3


def test_accounts_are_counted_apart(exporter: Exporter) -> None:
    for name, size in (("research", 1), ("studio", 2)):
        exporter.account(name).walk(fleet(*size * [("running", "a")]))
    found = counts(exporter, "vastai_label_instances", "account", "label")
    assert found == {("research", "a"): 1, ("studio", "a"): 2}


def test_labels_beyond_the_limit_are_counted_as_one_more(new_exporter: Callable[..., Exporter]) -> None:
    exporter = new_exporter(most_labels=2)
    labels = ["big", "big", "big", "middle", "middle", "small", "tiny"]
    exporter.account().walk(fleet(*(("running", label) for label in labels)))
    found = counts(exporter, "vastai_label_instances", "label")
    assert found == {("big",): 3, ("middle",): 2, (OTHER,): 2}


def pairs(**labels: dict[str, int]) -> Counter[tuple[str, ...]]:
    return Counter({(label, status): n for label, found in labels.items() for status, n in found.items()})


def test_as_many_labels_as_the_limit_stay_as_they_are() -> None:
    found = pairs(a={"running": 1}, b={"exited": 1})
    assert folded(found, 2) == found


def test_the_size_of_a_label_is_that_of_all_its_statuses() -> None:
    found = pairs(a={"running": 2, "exited": 2}, b={"running": 3}, c={"running": 1, "exited": 1})
    expected = pairs(a={"running": 2, "exited": 2}, _other={"running": 4, "exited": 1})
    assert folded(found, 1) == expected


def test_of_labels_of_one_size_the_first_by_name_stay_whatever_order_they_come_in() -> None:
    found = pairs(c={"running": 1}, a={"running": 1}, b={"running": 1})
    expected = pairs(a={"running": 1}, b={"running": 1}, _other={"running": 1})
    assert folded(found, 2) == expected
    assert folded(Counter(dict(reversed(found.items()))), 2) == expected


def test_a_label_that_is_called_like_the_rest_is_counted_with_the_rest() -> None:
    found = pairs(_other={"running": 5}, a={"running": 2}, b={"running": 1})
    assert folded(found, 2) == pairs(_other={"running": 6}, a={"running": 2})


@given(
    found=st.dictionaries(
        st.tuples(st.sampled_from(["", "a", "b", "c", "d", OTHER]), st.sampled_from(STATUSES)),
        st.integers(1, 5),
    ),
    most=st.integers(1, 6),
)
def test_folding_loses_no_instance_and_leaves_at_most_one_more_than_the_limit(
    found: dict[tuple[str, ...], int], most: int
) -> None:
    result = folded(Counter(found), most)
    assert result.total() == sum(found.values())
    assert len({label for label, _ in result}) <= most + 1
    by_status: Counter[str] = Counter()
    for (_, status), count in result.items():
        by_status[status] += count
    for (_, status), count in found.items():
        by_status[status] -= count
    assert not +by_status
