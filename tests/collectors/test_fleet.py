"""The fleet in numbers: by status, by label and status, GPUs by model and status."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.fleet import MOST_CHANGES, OTHER, STATUSES, folded

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


# What happened


def one(exporter: Exporter, metric: str) -> float:
    """Return the only sample of a metric."""
    (value,) = counts(exporter, metric, "account").values()
    return value


def test_what_is_there_at_the_first_whole_walk_did_not_appear(exporter: Exporter, account: Account) -> None:
    account.broken_walk([{"id": 1}])
    account.walk([{"id": 1}, {"id": 2}], [{"id": 3}])
    assert one(exporter, "vastai_instances_appeared_total") == 0
    assert one(exporter, "vastai_instances_disappeared_total") == 0
    assert counts(exporter, "vastai_status_changes_total", "from", "to") == {}


def test_instances_that_come_and_go_are_counted_on_whatever_page_they_stand(
    exporter: Exporter, account: Account
) -> None:
    account.walk([{"id": 1}, {"id": 4}], [{"id": 6}])
    account.walk([{"id": 1}, {"id": 2}], [{"id": 4}, {"id": 5}], [{"id": 9}])
    assert one(exporter, "vastai_instances_appeared_total") == 3  # 2, 5 and 9
    assert one(exporter, "vastai_instances_disappeared_total") == 1  # 6
    account.walk([])
    assert one(exporter, "vastai_instances_disappeared_total") == 6


def test_an_instance_that_comes_to_stand_on_another_page_neither_came_nor_went(
    exporter: Exporter, account: Account
) -> None:
    rows = [{"id": number} for number in range(1, 7)]
    for pages in ([rows[:3], rows[3:]], [rows[:1], rows[1:5], rows[5:]], [rows]):
        account.walk(*pages)
    assert one(exporter, "vastai_instances_appeared_total") == 0
    assert one(exporter, "vastai_instances_disappeared_total") == 0


def test_a_walk_that_fails_counts_what_its_pages_said_and_once(exporter: Exporter, account: Account) -> None:
    account.walk(fleet(("running",), ("running",)))
    account.broken_walk(fleet(("exited",)))
    account.walk(fleet(("exited",), ("running",)))
    assert counts(exporter, "vastai_status_changes_total", "from", "to") == {("running", "exited"): 1}
    assert one(exporter, "vastai_instances_disappeared_total") == 0


def test_each_change_of_status_is_counted_and_is_one_line_of_the_log(
    exporter: Exporter, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter")
    for status in (None, "loading", "running", "running", ["odd"], "running"):
        account.walk([{"id": 7, "actual_status": status, "intended_status": "stopped"}])
    assert counts(exporter, "vastai_status_changes_total", "from", "to") == {
        ("provisioning", "loading"): 1,
        ("loading", "running"): 1,
        ("running", "unreadable"): 1,
        ("unreadable", "running"): 1,
    }
    lines = [vars(record)["fields"] for record in caplog.records if record.msg == "status changed"]
    known = {"account": "research", "instance_id": 7, "intended_status": "stopped"}
    assert lines[0] == known | {"from": "provisioning", "to": "loading"}
    assert len(lines) == 4


def test_what_appears_and_disappears_is_a_line_of_the_log_each(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter")
    for numbers in ((1, 2), (2, 3), (2, 3)):
        account.walk([{"id": number, "intended_status": "running"} for number in numbers])
    status = {"status": "provisioning", "intended_status": "running"}
    assert [(record.msg, vars(record)["fields"]) for record in caplog.records] == [
        ("instance appeared", {"account": "research", "instance_id": 3, **status}),
        ("instance disappeared", {"account": "research", "instance_id": 1}),
    ]


def burned(exporter: Exporter) -> dict[str, float]:
    """Return what each label has cost."""
    found = counts(exporter, "vastai_label_burned_dollars_total", "label")
    return {label: dollars for (label,), dollars in found.items()}


def priced(number: int, label: str | None, dollars: float, status: str = "running") -> dict[str, Any]:
    return {
        "id": number,
        "label": label,
        "actual_status": status,
        "dph_total": dollars,
        "storage_total_cost": 0.1,
    }


def test_what_a_label_costs_is_added_up_from_one_reading_to_the_next(
    exporter: Exporter, account: Account
) -> None:
    account.walk([priced(1, "train", 3.0), priced(2, "train", 1.0), priced(3, None, 2.0)])
    assert burned(exporter) == {"train": 0, "": 0}
    exporter.clock.advance(900)
    account.walk([priced(1, "train", 3.0), priced(2, "train", 1.0, "exited"), priced(3, "serve", 2.0)])
    assert burned(exporter) == pytest.approx({"train": 1.0, "": 0.5, "serve": 0})
    exporter.clock.advance(3600)
    account.walk([priced(1, "train", 3.0)])
    assert burned(exporter) == pytest.approx({"train": 1.0 + 3.0 + 0.1, "": 0.5, "serve": 2.0})


def test_labels_beyond_the_limit_count_together_and_a_label_keeps_its_series(
    new_exporter: Callable[..., Exporter],
) -> None:
    exporter = new_exporter(most_labels=2)
    account = exporter.account()
    account.walk([priced(1, "a", 1.0), priced(2, "b", 1.0), priced(3, "c", 1.0), priced(4, "d", 1.0)])
    exporter.clock.advance(3600)
    account.walk([priced(1, "a", 1.0), priced(2, "b", 1.0), priced(3, "c", 1.0), priced(4, "d", 1.0)])
    assert burned(exporter) == pytest.approx({"a": 1, "b": 1, OTHER: 2})
    exporter.clock.advance(3600)
    account.walk([priced(4, "d", 1.0)])
    assert burned(exporter) == pytest.approx({"a": 2, "b": 2, OTHER: 4})


def test_an_instance_whose_price_is_not_known_burns_nothing(exporter: Exporter, account: Account) -> None:
    account.walk([{"id": 1, "label": "x", "actual_status": "running"}])
    exporter.clock.advance(3600)
    account.walk([{"id": 1, "label": "x", "actual_status": "running"}])
    assert burned(exporter) == {"x": 0}


def test_pairs_of_statuses_without_end_are_counted_as_other(exporter: Exporter, account: Account) -> None:
    for number in range(MOST_CHANGES + 4):
        account.walk(fleet((f"state {number}",)))
    found = counts(exporter, "vastai_status_changes_total", "from", "to")
    assert found[f"state {MOST_CHANGES - 1}", f"state {MOST_CHANGES}"] == 1
    assert found[OTHER, OTHER] == 3
    assert len(found) == MOST_CHANGES + 1
