"""Work on rented GPUs and its cost, for users who scrape it (deploy/discovery)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import Board, alerts
from grafana.lib.palette import NEUTRAL
from grafana.lib.panels import COUNT, DOLLARS, RATIO, Query, lines, stat
from grafana.lib.promql import BURN, chosen, described, named, steadily

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

GENERATED = "account_instance:vllm_generation_tokens:rate5m"
PROMPTS = "account_instance:vllm_prompt_tokens:rate5m"
SERVING_BURN = "account_instance:vllm_burn_dollars_per_hour:max"
WORKING = "account_instance:vastai_gpus_working:avg5m"
GPU_UTIL = "account_instance_gpu:dcgm_gpu_util_ratio:max"
TOKENS = f"({GENERATED} + {PROMPTS})"
WORKING_BURN = f"({BURN} and on (account, instance_id) {WORKING})"
NO_TOKENS = "No known tokens"
NO_WORK = "No known work"
#: GPUs in the chart; more lines could not be told apart.
LEAST_USED = 20


def _summed(expression: str, *labels: str) -> str:
    """Return the sum over the selected instances, by descriptive labels."""
    if not labels:
        return f"sum({chosen(expression)})"
    return f"sum by ({', '.join(labels)}) ({described(chosen(expression), *labels)})"


def dollars_per_million(tokens: str, *labels: str) -> str:
    """Return the cost of a million tokens, including the cost of idle instances that serve."""
    return f"1e6 * {_summed(SERVING_BURN, *labels)} / (3600 * {_summed(tokens, *labels)} > 0)"


def dollars_per_working_hour(*labels: str) -> str:
    """Return the cost of one GPU hour at work, including the cost of idle GPUs."""
    return f"{_summed(WORKING_BURN, *labels)} / ({_summed(WORKING, *labels)} >= 0.01)"


def build() -> Board:
    """Return the dashboard."""
    return (
        Board(
            "vastai-work",
            "Vast.ai / Work",
            "What vLLM and the GPUs do on rented instances, and what that costs.",
        )
        .annotate(*alerts())
        .row(
            4,
            (6, _number("Million tokens", dollars_per_million(TOKENS), DOLLARS, NO_TOKENS, _ALL_TOKENS)),
            (6, _number("Million generated", dollars_per_million(GENERATED), DOLLARS, NO_TOKENS, _GENERATED)),
            (6, _number("GPU hour at work", dollars_per_working_hour(), DOLLARS, NO_WORK, _WORKING)),
            (6, _number("GPUs at work", _summed(WORKING), COUNT, NO_WORK, _AT_WORK)),
        )
        .row(
            9,
            (
                12,
                lines(
                    "Million tokens, by label",
                    _ALL_TOKENS,
                    Query(named(dollars_per_million(TOKENS, "label")), "{{label}}"),
                    unit=DOLLARS,
                    decimals=2,
                ),
            ),
            (
                12,
                lines(
                    "Tokens a second",
                    "Tokens that vLLM generated, and tokens of prompts, as a rate over five minutes.",
                    Query(_summed(GENERATED), "generated"),
                    Query(_summed(PROMPTS), "prompts"),
                    unit=COUNT,
                ),
            ),
        )
        .row(
            9,
            (
                12,
                lines(
                    "GPU hour at work, by label",
                    _WORKING,
                    Query(named(dollars_per_working_hour("label")), "{{label}}"),
                    unit=DOLLARS,
                    decimals=2,
                ),
            ),
            (
                12,
                lines(
                    f"Least used GPUs ({LEAST_USED})",
                    "Utilisation of single GPUs, if dcgm-exporter is scraped. The API has only the mean over"
                    " an instance's GPUs, which hides an idle one.",
                    Query(steadily("bottomk", LEAST_USED, chosen(GPU_UTIL)), "{{instance_id}} GPU {{gpu}}"),
                    unit=RATIO,
                    most=1,
                ),
            ),
        )
    )


def _number(title: str, expression: str, unit: str, no_value: str, why: str) -> Panel:
    steps = ((None, NEUTRAL),)
    return stat(title, why, Query(expression), unit=unit, steps=steps, decimals=2, no_value=no_value)


_ALL_TOKENS = (
    "Dollars per million tokens, prompts and generated together: the cost of all selected instances whose"
    " vLLM is scraped, including idle ones, divided by all their tokens."
)
_GENERATED = "The same for generated tokens only, the ones that you sell."
_WORKING = (
    "Dollars per hour of one fully used GPU: the cost of the instances divided by the utilisation of all"
    " their GPUs. Utilisation comes from dcgm-exporter if it is scraped, otherwise from the API's mean."
)
_AT_WORK = "Utilisation of all GPUs added up: two GPUs at 50 % count as one at work."
