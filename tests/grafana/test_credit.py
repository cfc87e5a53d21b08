"""How long the credit of an account lasts, where automatic billing tops it up and where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grafana import history, tsdb
from grafana.lib.palette import AUTO_TOP_UP
from grafana.lib.promql import AUTOBILL_RUNWAY, FOR_EVER, LASTS, RUNWAY
from tests.grafana.conftest import STEP, Prometheus, Query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peers

MINUTES = 40
RUNWAY_SECONDS = 3600
THRESHOLD = 20
HOUR = history.HOUR


def samples(threshold: float | None, credit: list[float], top_up_lasts: float) -> Iterator[bytes]:
    """Yield a credit in each minute up to the end of histories, what it lasts, and what a top-up does."""
    known: dict[str, list[float]] = {
        RUNWAY: [RUNWAY_SECONDS] * MINUTES,
        AUTOBILL_RUNWAY: [] if threshold is None else [top_up_lasts] * MINUTES,
        "vastai_account_credit_dollars": credit,
        "vastai_account_autobill_threshold_dollars": [] if threshold is None else [threshold] * MINUTES,
    }
    for name, values in known.items():
        for number, value in enumerate(values, start=1 - len(values)):
            yield f'{name}{{account="web"}} {value} {history.END + number * STEP:.0f}\n'.encode()
    yield b"# EOF\n"


@pytest.mark.parametrize(
    ("threshold", "credit", "top_up_lasts", "seconds"),
    [
        (None, [10.0] * MINUTES, 0, RUNWAY_SECONDS),
        (THRESHOLD, [25.0] * MINUTES, 4 * HOUR, FOR_EVER),
        (THRESHOLD, [25.0] * 20 + [19.0] * 20, 4 * HOUR, FOR_EVER),
        (THRESHOLD, [19.0] * MINUTES, 4 * HOUR, RUNWAY_SECONDS),
        (THRESHOLD, [25.0] * MINUTES, 0.9 * HOUR, RUNWAY_SECONDS),
    ],
    ids=["no automatic billing", "enough", "about to be topped up", "was not topped up", "adds too little"],
)
def test_credit_that_is_topped_up_lasts_until_that_fails(
    tmp_path: Path, threshold: float | None, credit: list[float], top_up_lasts: float, seconds: int
) -> None:
    tsdb.write(tmp_path, samples(threshold, credit, top_up_lasts))
    with tsdb.served(tmp_path) as url:
        (found,) = Prometheus(url).ask(Query("fleet", "Credit lasts A", f"min({LASTS})"))

    assert float(found["value"][1]) == seconds


def test_for_ever_is_shown_as_a_word() -> None:
    assert list(AUTO_TOP_UP) == [str(FOR_EVER)]
