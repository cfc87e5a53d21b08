"""What was spent, on what, for nothing, and for how long the money lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.lib.board import Board, alerts, instance_link
from grafana.lib.palette import AUTO_BILLED, CRITICAL, GOOD, NEUTRAL, OFF, STATUS_WORDS, WARNING, WASTE, WATCH
from grafana.lib.panels import (
    DOLLARS,
    DOLLARS_PER_HOUR,
    DURATION,
    RATIO,
    SECONDS,
    Column,
    Query,
    bars,
    lines,
    rows,
    stacked,
    stat,
    without_values,
)
from grafana.lib.promql import (
    ACCOUNT,
    ACCOUNT_BURN,
    BURN,
    CHOSEN_BURN,
    COUNTED_24H,
    COUNTED_30D,
    GPU_PRICE,
    IDLE_BURN,
    LABEL_SPENT_24H,
    LABEL_SPENT_30D,
    LASTS,
    MEDIAN_GPU_PRICE,
    NONE,
    PREPAID,
    REMAINING,
    SPENT_24H,
    SPENT_30D,
    STOPPED_BURN,
    chosen,
    described,
    named,
    series,
    spent,
    traffic_cost,
    with_status,
)
from grafana.lib.thresholds import duration, span, threshold, why

if TYPE_CHECKING:
    from grafana.lib.panels import Panel

#: Whatever was chosen at any time of the range: what is gone by now was paid for too.
CHOSEN_EVER = f"last_over_time({CHOSEN_BURN}[$__range])"
SPENT = spent(CHOSEN_BURN)
#: 0 where something was known of the accounts at any time of the range.
NONE_EVER = f"0 * group(present_over_time({ACCOUNT_BURN}{{{ACCOUNT}}}[$__range]))"
#: Vast.ai's own month, by which it prices disks.
MONTH_HOURS = 720
STEPS = 500
NOT_KNOWN = "Nothing was spent, or nothing is known of the chosen range. The dashboard Exporter says why."

KNOWN_HOURS = (
    f"(count_over_time(group({ACCOUNT_BURN}{{{ACCOUNT}}})[$__range:$__interval]) * $__interval_ms / 3.6e6)"
)
IN_RANGE = f"In the chosen time range, in {STEPS} steps; an estimate by status, without traffic."
COUNTER = f"vastai_account_spend_dollars_total{{{ACCOUNT}}}"
#: What Vast.ai counted in the chosen time range: as it only grows, its least value is that of the beginning.
COUNTED = (
    f"sum(max by (account) (max_over_time({COUNTER}[$__range]))"
    f" - on (account) min by (account) (min_over_time({COUNTER}[$__range])))"
)
#: Longer than the steps in which Vast.ai counts.
WINDOW = "30m"
#: Where less than a window is known, a rate would be too low.
COUNTED_RATE = (
    f"3600 * sum(max by (account) (rate({COUNTER}[{WINDOW}]))"
    f" and on (account) max by (account) ({COUNTER} offset {WINDOW}))"
)
ESTIMATE = f"(sum({CHOSEN_BURN}) or {NONE})"
TRAFFIC = {way: f"sum({chosen(traffic_cost(way, WINDOW), CHOSEN_BURN)})" for way in ("down", "up")}
ALL_TRAFFIC = " + ".join(f"({cost} or {NONE})" for cost in TRAFFIC.values())
LABEL_COUNTER = f'vastai_label_burned_dollars_total{{{ACCOUNT},label=~"$label"}}'


def build() -> Board:
    """Return the dashboard."""
    board = Board("vastai-cost", "Vast.ai / Cost", "What was spent, on what, and for nothing.", span="24h")
    board.annotate(alerts())
    _sums(board)
    board.section("What is it spent on")
    _burn(board)
    board.section("Is the estimate true").row(8, (14, _estimate_and_count()), (10, _traffic_costs()))
    board.section("What was spent in the chosen time range")
    _spenders(board)
    board.section("Do I pay too much")
    board.row(9, (10, _waste()), (14, _prices()))
    board.section("How long does it last")
    board.row(5, (10, _accounts()), (14, _spent_by_account())).row(8, (12, _contracts()), (12, _prepaid()))
    return board


def _dollars(title: str, about: str, expression: str, *colors: tuple[float | None, str]) -> Panel:
    steps = colors or ((None, NEUTRAL),)
    panel = stat(title, about, Query(expression), unit=DOLLARS, decimals=2, steps=steps)
    return panel.max_data_points(STEPS)


def _sums(board: Board) -> None:
    board.row(
        5,
        (4, _spent()),
        (4, _that_is_a_month()),
        (4, _i_pay_an_hour()),
        (4, _idle_waste()),
        (4, _stopped_disks()),
        (4, _credit_lasts()),
    )


def _spent() -> Panel:
    return stat(
        "Spent",
        f"Estimate: {IN_RANGE[0].lower()}{IN_RANGE[1:]} Times of which nothing is known count as nothing."
        " Vast.ai: what it says was spent in that time, traffic included and no gap left out; of whole"
        " accounts, whatever label, GPU model or instance is chosen.",
        Query(f"sum({SPENT}) or {NONE_EVER}", "estimate"),
        Query(COUNTED, "Vast.ai"),
        unit=DOLLARS,
        decimals=2,
        steps=((None, NEUTRAL),),
    ).max_data_points(STEPS)


def _that_is_a_month() -> Panel:
    return _dollars(
        "That is a month (estimate)",
        f"What {MONTH_HOURS} hours cost at the average of the chosen time range, of the hours that are"
        " known; an estimate, without traffic. Choose a range that is typical, such as a week.",
        f"{MONTH_HOURS} * (sum({SPENT}) or {NONE_EVER}) / {KNOWN_HOURS}",
    )


def _i_pay_an_hour() -> Panel:
    return _dollars(
        "I pay an hour (estimate)",
        "What all chosen instances cost at this moment; an estimate by status, without traffic.",
        f"sum({chosen(series(BURN))}) or {NONE}",
    )


def _idle_waste() -> Panel:
    return _dollars(
        "Idle waste",
        f"{IN_RANGE} An instance counts as idle where its GPU stayed below"
        f" {threshold('idle_util_ratio'):.0%} for {duration('idle_window')}, or where it is frozen."
        " One that has no telemetry doesn't count.",
        f"sum({chosen(spent(series(IDLE_BURN)), CHOSEN_EVER)}) or {NONE_EVER}",
        (None, GOOD),
        (0.005, WASTE),
    )


def _stopped_disks() -> Panel:
    return _dollars(
        "Stopped disks",
        f"{IN_RANGE} The disk of a stopped instance is paid for until the instance is destroyed.",
        f"sum({chosen(spent(series(STOPPED_BURN)), CHOSEN_EVER)}) or {NONE_EVER}",
        (None, OFF),
    )


def _credit_lasts() -> Panel:
    return stat(
        "Credit lasts",
        "At the present burn; of several accounts, the first to run out. Orange below"
        f" {span('credit_warning_seconds')}, red below {span('credit_critical_seconds')}. Auto-billed: it is"
        " topped up by itself, so a short time is how it should be.",
        Query(f"min({LASTS})"),
        unit=SECONDS,
        decimals=1,
        mappings=AUTO_BILLED,
        steps=RUNWAY_STEPS,
        no_value="Not known",
    )


def _burn(board: Board) -> None:
    board.row(
        10,
        (8, _over_time("label", "By label")),
        (8, _over_time("gpu_name", "By GPU model")),
        (8, _over_time("account", "By account")),
    )


def _over_time(label: str, title: str) -> Panel:
    """Return the burn by a label: those that cost most in the whole range, and the others together."""
    level = "account" if label == "account" else f"account_{label}"
    recorded = f"{level}:vastai_instance_burn_dollars_per_hour:sum{{{ACCOUNT}}}"
    dearest = f"topk(7, sum by ({label}) (sum_over_time({recorded}[$__range:$__interval] @ end())))"
    burn = f"sum by ({label}) ({CHOSEN_BURN})"
    top = f"{burn} and on ({label}) {dearest}"
    return stacked(
        without_values(
            lines(
                title,
                "Dollars an hour at each moment. The seven that cost most in the whole of the chosen range"
                " have a colour of their own; all others are added up.",
                Query(named(top) if label == "label" else top, f"{{{{{label}}}}}"),
                Query(f"sum({burn} unless on ({label}) {dearest})", "others"),
                unit=DOLLARS_PER_HOUR,
                colors={"others": OFF},
                no_value=NOT_KNOWN,
            )
        )
    )


def _spenders(board: Board) -> None:
    by_model = bars(
        "By GPU model",
        "The ten that cost most.",
        Query(f"sort_desc(topk(10, sum by (gpu_name) ({SPENT})))", "{{gpu_name}}"),
        unit=DOLLARS,
        color=NEUTRAL,
        decimals=2,
    )
    instances = rows(
        "Which instances cost most",
        "The 50 that cost most in the chosen time range, destroyed ones too; one whose label was changed has"
        " a row for each. Click on one to see it.",
        Query(f"topk(50, {SPENT})"),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label"),
            Column(field="gpu_name", title="GPU model", width=100),
            Column(field="account", title="account", width=95),
            Column(field="Value", title="spent", unit=DOLLARS, decimals=2, width=85),
        ),
        worst_first="Value",
        no_value=NOT_KNOWN,
    )
    board.row(
        9,
        (9, _by_label()),
        (5, by_model.max_data_points(STEPS)),
        (10, instances.max_data_points(STEPS)),
    )


def _by_label() -> Panel:
    return rows(
        "By label (estimate)",
        "What the instances of each label cost by their status, without traffic, in the chosen time range,"
        " in 24 hours and in 30 days; dearest first. An instance whose label was changed counts for each at"
        " its time. It follows account and label, not GPU model and instance.",
        Query(named(f"sum by (label) (max by (account, label) (increase({LABEL_COUNTER}[$__range])))")),
        Query(named(f'sum by (label) ({LABEL_SPENT_24H}{{{ACCOUNT},label=~"$label"}})')),
        Query(named(f'sum by (label) ({LABEL_SPENT_30D}{{{ACCOUNT},label=~"$label"}})')),
        columns=(
            Column(field="label", title="label"),
            Column(field="Value #A", title="chosen range", unit=DOLLARS, decimals=2, width=110),
            Column(field="Value #B", title="24 hours", unit=DOLLARS, decimals=2, width=85),
            Column(field="Value #C", title="30 days", unit=DOLLARS, decimals=2, width=85),
        ),
        worst_first="Value #A",
        no_value=NOT_KNOWN,
    )


def _estimate_and_count() -> Panel:
    return lines(
        "Spend rate: the estimate, and what Vast.ai counts",
        "The estimate is what the chosen instances cost by their status at each moment; to that comes their"
        f" billed traffic, the mean of {WINDOW}. What Vast.ai counts is all that the accounts spent,"
        f" whatever is chosen, as a rate over {WINDOW}: it follows later. Where all instances are chosen and"
        " it stays above the estimates, something is paid for that they don't know, such as volumes.",
        Query(ESTIMATE, "estimate, without traffic"),
        Query(f"{ESTIMATE} + {ALL_TRAFFIC}", "estimate, with traffic"),
        Query(COUNTED_RATE, "counted by Vast.ai"),
        unit=DOLLARS_PER_HOUR,
        colors={
            "estimate, without traffic": OFF,
            "estimate, with traffic": NEUTRAL,
            "counted by Vast.ai": WATCH,
        },
        no_value=NOT_KNOWN,
    )


def _traffic_costs() -> Panel:
    return stacked(
        lines(
            "What billed traffic costs",
            f"Of the chosen instances, at the prices of their machines, the mean of {WINDOW}. It is in no"
            " estimate but the one beside.",
            Query(TRAFFIC["down"], "download"),
            Query(TRAFFIC["up"], "upload"),
            unit=DOLLARS_PER_HOUR,
            colors={"download": NEUTRAL, "upload": WATCH},
            no_value="No traffic was billed in the chosen time range",
        )
    )


def _waste() -> Panel:
    return stacked(
        lines(
            "What is paid for nothing",
            "Idle: running, but the GPU does nothing, or frozen. Stopped: the disk, until the instance is"
            f" destroyed. An alert begins at {threshold('idle_waste_dollars_per_hour'):.0f} $/h of idle GPUs"
            f" ({why('idle_waste_dollars_per_hour')}).",
            Query(f"sum({chosen(series(IDLE_BURN), CHOSEN_BURN)}) or {NONE}", "idle GPUs"),
            Query(
                f"sum({chosen(series(STOPPED_BURN), CHOSEN_BURN)}) or {NONE}",
                "disks of stopped instances",
            ),
            unit=DOLLARS_PER_HOUR,
            colors={"idle GPUs": WASTE, "disks of stopped instances": OFF},
            no_value=NOT_KNOWN,
        )
    )


def _prices() -> Panel:
    price = described(series(GPU_PRICE), "label", "rental")
    return rows(
        "Who pays more for a GPU than is usual",
        "The price of one GPU for an hour, disk included, against the median of the own instances of the"
        " same model, all accounts together; dearest first. Yellow from 1.2 times, orange from 1.5 times"
        " the median: there is likely a cheaper offer of the same model. Interruptible and reserved ones"
        " are cheaper by nature.",
        Query(f"topk(50, {price} / on (gpu_name) group_left () {MEDIAN_GPU_PRICE})"),
        Query(
            f"{price} and on (account, instance_id) topk(50, {price} / on (gpu_name) group_left ()"
            f" {MEDIAN_GPU_PRICE})"
        ),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=80),
            Column(field="gpu_name", title="GPU model", width=95),
            Column(field="label", title="label"),
            Column(field="rental", title="rental", width=95),
            Column(field="Value #B", title="a GPU", unit=DOLLARS_PER_HOUR, decimals=3, width=85),
            Column(
                field="Value #A",
                title="of median",
                unit=RATIO,
                decimals=0,
                width=75,
                steps=((None, GOOD), (1.2, WATCH), (1.5, WARNING)),
            ),
            Column(field="account", title="account", width=90),
        ),
        worst_first="Value #A",
    )


RUNWAY_STEPS = (
    (None, CRITICAL),
    (threshold("credit_critical_seconds"), WARNING),
    (threshold("credit_warning_seconds"), WATCH),
    (threshold("credit_info_seconds"), GOOD),
)
CONTRACT_STEPS = (
    (None, CRITICAL),
    (threshold("contract_critical_seconds"), WARNING),
    (threshold("contract_warning_seconds"), WATCH),
    (threshold("contract_info_seconds"), GOOD),
)
PREPAID_STEPS = (
    (None, WARNING),
    (threshold("prepaid_warning_seconds"), WATCH),
    (threshold("prepaid_info_seconds"), GOOD),
)


def _accounts() -> Panel:
    return rows(
        "Accounts",
        "The shortest-lived first. Auto-billed ones are topped up by themselves. An account of which the"
        " exporter may not read the credit is not here.",
        Query(f"min by (account) ({LASTS})"),
        Query(f"min by (account) (vastai_account_credit_dollars{{{ACCOUNT}}})"),
        columns=(
            Column(field="account", title="account"),
            Column(field="Value #B", title="credit", unit=DOLLARS, decimals=2, width=90),
            Column(
                field="Value #A",
                title="lasts",
                unit=SECONDS,
                decimals=1,
                width=100,
                mappings=AUTO_BILLED,
                steps=RUNWAY_STEPS,
            ),
        ),
        worst_first="Value #A",
        ascending=True,
    )


def _spent_by_account() -> Panel:
    return rows(
        "What each account has spent",
        "In 24 hours and in 30 days, as far back as is known. The estimate is by status, without traffic;"
        " Vast.ai counts all that was spent.",
        Query(f"max by (account) ({COUNTED_30D}{{{ACCOUNT}}})"),
        Query(f"max by (account) ({SPENT_30D}{{{ACCOUNT}}})"),
        Query(f"max by (account) ({COUNTED_24H}{{{ACCOUNT}}})"),
        Query(f"max by (account) ({SPENT_24H}{{{ACCOUNT}}})"),
        columns=(
            Column(field="account", title="account"),
            Column(field="Value #D", title="24 h, estimate", unit=DOLLARS, decimals=2, width=115),
            Column(field="Value #C", title="24 h, Vast.ai", unit=DOLLARS, decimals=2, width=105),
            Column(field="Value #B", title="30 days, estimate", unit=DOLLARS, decimals=2, width=140),
            Column(field="Value #A", title="30 days, Vast.ai", unit=DOLLARS, decimals=2, width=130),
        ),
        worst_first="Value #B",
    )


def _contracts() -> Panel:
    return rows(
        "Whose contract ends next",
        f"The next 50. Yellow below {span('contract_info_seconds')}, orange below"
        f" {span('contract_warning_seconds')}, red below {span('contract_critical_seconds')}: at its end the"
        " instance stops and can't be started again, and its data may be deleted 48 h later.",
        Query(f"bottomk(50, {described(with_status(series(REMAINING)), 'label', 'gpu_name')})"),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label"),
            Column(field="status", title="status", mappings=STATUS_WORDS, width=75),
            Column(
                field="Value", title="ends in", unit=DURATION, decimals=0, width=115, steps=CONTRACT_STEPS
            ),
            Column(field="account", title="account", width=95),
        ),
        worst_first="Value",
        ascending=True,
        no_value="No contract has an end that is known",
    )


def _prepaid() -> Panel:
    return rows(
        "Whose prepaid credit ends next",
        "Reserved instances, the next 50. When it is used up the discount lapses, and the account pays the"
        f" full price. Yellow below {span('prepaid_info_seconds')}, orange below"
        f" {span('prepaid_warning_seconds')}.",
        Query(f"bottomk(50, {described(series(PREPAID), 'label', 'gpu_name')})"),
        Query(
            described(
                f"max by (account, instance_id) ({series('vastai_instance_credit_balance_dollars')})",
                "label",
                "gpu_name",
            )
        ),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=85),
            Column(field="label", title="label"),
            Column(field="Value #B", title="credit", unit=DOLLARS, decimals=2, width=90),
            Column(
                field="Value #A", title="lasts", unit=DURATION, decimals=0, width=110, steps=PREPAID_STEPS
            ),
            Column(field="account", title="account", width=95),
        ),
        worst_first="Value #A",
        ascending=True,
        no_value="No instance has prepaid credit",
    )
