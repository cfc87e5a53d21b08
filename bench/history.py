"""A fleet as the rules see it: current samples, and the past that rules read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench import optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MINUTE = 60.0
HOUR = 3600.0
DAY = 24 * HOUR
ACCOUNTS = 10
#: User labels of each account.
LABELS = 20
MODELS = ("RTX 4090", "RTX 3090", "H100 SXM", "A100 SXM4", "L40S")
#: Kinds that the market collector compares: models, and numbers of GPUs.
COMPARED = 4
TARGET = 'job="vastai-exporter",instance="bench"'
#: Series with one recorded sample an hour.
SPENT = "vastai_account_spend_dollars_total:max"
COST = "vastai_instance_spend_dollars:sum_1h"
#: Traffic of an instance up to an hour ago, in bytes for each direction.
TRAFFIC = 1e12
#: Number of instances out of 1,000 with each problem; all others are healthy.
TROUBLES = {
    "idle": 30,
    "hot": 10,
    "blind": 10,
    "frozen": 5,
    "down": 5,
    "offline": 4,
    "queued": 3,
    "boot_failed": 2,
    "outbid": 20,
    "stopped": 100,
    "ending": 10,
    "unreliable": 20,
    "filling": 5,
    "raised": 5,
    "memory": 2,
}
OF_A_THOUSAND = [trouble for trouble, number in TROUBLES.items() for _ in range(number)]
#: actual and intended status, current and next state.
STATES = {
    "frozen": ("frozen", "frozen", "running", "running"),
    "down": ("exited", "running", "running", "running"),
    "offline": ("offline", "running", "running", "running"),
    "queued": ("exited", "running", "stopped", "running"),
    "boot_failed": ("loading", "stopped", "stopped", "stopped"),
    "outbid": ("exited", "stopped", "stopped", "stopped"),
    "stopped": ("exited", "stopped", "stopped", "stopped"),
}
RUNNING = ("running", "running", "running", "running")
#: Problems of instances without GPU readings.
DARK = {"blind", *STATES}


def _trouble(number: int) -> str:
    return OF_A_THOUSAND[number % 1000] if number % 1000 < len(OF_A_THOUSAND) else ""


def _identity(number: int) -> str:
    return optional.instance(number, ACCOUNTS)


def _described(number: int) -> str:
    label = number // ACCOUNTS % LABELS
    return (
        f'{_identity(number)},label="label-{label}",gpu_name="{MODELS[number % len(MODELS)]}",'
        f'image="vastai/pytorch:2.{number % 7}",template="",machine_id="{10_000 + number // 2}",'
        f'host_id="{2000 + number // 8}",geolocation="Sweden, SE",verification="verified",'
        f'rental="{"interruptible" if _is_bid(number) else "on_demand"}"'
    )


def _disk(number: int) -> float:
    """Return the used share of the disk; every third instance uses at least half."""
    return 0.1 + number % 9 / 14


def _is_bid(number: int) -> bool:
    return _trouble(number) == "outbid" or number % 3 == 0


def page(instances: int, now: float) -> bytes:
    """Return a scrape with every sample of each metric that rules read."""
    lines = [line for number in range(instances) for line in _instance(number, now)]
    lines += [line for number in range(ACCOUNTS) for line in _account(number, now, instances // ACCOUNTS)]
    lines += _market()
    lines += optional.lines(instances, ACCOUNTS, now)
    lines.append("vastai_exporter_config_last_reload_successful 1\n")
    return "".join(lines).encode()


def _instance(number: int, now: float) -> Iterator[str]:
    trouble, own = _trouble(number), _identity(number)
    status, intended, current, following = STATES.get(trouble, RUNNING)
    price = 0.2 + number % 40 / 10
    costs = price if status in {"running", "frozen"} else 0.02
    yield f"vastai_instance_info{{{_described(number)}}} 1\n"
    yield f'vastai_instance_status{{{own},status="{status}",intended_status="{intended}"}} 1\n'
    yield f'vastai_instance_state{{{own},cur_state="{current}",next_state="{following}"}} 1\n'
    values: dict[str, float] = {
        "status_since_timestamp_seconds": now - HOUR - number % 1000,
        "burn_dollars_per_hour": costs,
        "dph_total_dollars_per_hour": price,
        "num_gpus": 1 + number % 8,
        "is_bid": _is_bid(number),
        "disk_util_ratio": 0.6 if trouble == "filling" else _disk(number),
        "disk_usage_bytes": 3e10,
        "disk_space_bytes": 1e11,
        "mem_limit_bytes": 1e11,
        "end_timestamp_seconds": now + (0.5 if trouble == "ending" else 30) * DAY,
        "reliability_ratio": 0.85 if trouble == "unreliable" else 0.99,
        "credit_balance_dollars": 0.0,
        "storage_total_cost_dollars_per_hour": 0.02,
        "inet_up_billed_bytes_total": TRAFFIC + 1e9,
        "inet_down_billed_bytes_total": TRAFFIC + 1e9,
        "inet_up_cost_dollars_per_byte": 2e-11,
        "inet_down_cost_dollars_per_byte": 2e-11,
    }
    if status == "running":
        values["mem_usage_bytes"] = 9.6e10 if trouble == "memory" else 2e10
        values["telemetry_missing"] = trouble == "blind"
    if trouble not in DARK:
        values["gpu_util_ratio"] = 0.01 if trouble == "idle" else 0.9
        values["gpu_temp_celsius"] = 88 if trouble == "hot" else 65
    for name, value in values.items():
        yield f"vastai_instance_{name}{{{own}}} {float(value)}\n"
    yield f"vastai_market_saving_dollars_per_hour{{{own}}} 0.1\n"
    if trouble == "raised":
        yield f"vastai_price_increase_contract_end_timestamp_seconds{{{own}}} {now + DAY}\n"
        yield f"vastai_price_increase_old_gpu_dollars_per_hour{{{own}}} 0.4\n"
        yield f"vastai_price_increase_new_gpu_dollars_per_hour{{{own}}} 0.5\n"


def _account(number: int, now: float, instances: int) -> Iterator[str]:
    own = f'account="account-{number}"'
    for status in ("running", "exited", "loading", "offline", "frozen"):
        yield f'vastai_instances{{{own},status="{status}"}} {instances / 5}\n'
        for model in MODELS:
            yield f'vastai_gpus{{{own},gpu_name="{model}",status="{status}"}} {instances}\n'
    yield f"vastai_api_instances{{{own}}} {instances}\n"
    yield f"vastai_account_credit_dollars{{{own}}} {1e6}\n"
    yield f"vastai_account_spend_dollars_total{{{own}}} {1e6}\n"
    yield f"vastai_account_autobill_threshold_dollars{{{own}}} 100\n"
    yield f"vastai_account_autobill_amount_dollars{{{own}}} {1e5}\n"
    for collector in ("instances", "account"):
        of_it = f'{own},collector="{collector}"'
        yield f"vastai_collector_success{{{of_it}}} 1\n"
        yield f"vastai_collector_last_success_timestamp_seconds{{{of_it}}} {now}\n"
        yield f"vastai_collector_interval_seconds{{{of_it}}} 60\n"
        yield f"vastai_collector_duration_seconds{{{of_it}}} 2\n"
        for reason in ("auth", "rate_limited", "timeout", "network", "bad_reply", "incomplete"):
            yield f'vastai_collector_failures_total{{{of_it},reason="{reason}"}} 0\n'
        for field in range(60):
            yield f'vastai_unreadable_values_total{{{of_it},field="field_{field}"}} 0\n'
    yield f'vastai_api_requests_total{{{own},path="/api/v1/instances/",code="200"}} 1000\n'
    yield from _money(own, now)


def _money(own: str, now: float) -> Iterator[str]:
    """Yield bills above the estimate, and budgets; those of labels are used up."""
    midnight = now - now % DAY
    month_start = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    starts = {"today": midnight, "yesterday": midnight - DAY, "month": month_start.timestamp()}
    yield f"vastai_account_budget_dollars_per_month{{{own}}} 1000000\n"
    for label in range(LABELS):
        yield f'vastai_label_budget_dollars_per_month{{{own},label="label-{label}"}} 1000\n'
    for window, dollars in {"today": 100, "yesterday": 1500, "month": 30_000}.items():
        of_it = f'{own},window="{window}"'
        yield f"vastai_charges_window_start_timestamp_seconds{{{of_it}}} {starts[window]}\n"
        for source in ("instance", "volume", "serverless"):
            for item in ("gpu", "disk", "bandwidth_up", "bandwidth_down"):
                yield f'vastai_charges_dollars{{{of_it},source="{source}",item="{item}"}} {dollars}\n'
        for label in range(LABELS):
            yield f'vastai_label_charges_dollars{{{of_it},label="label-{label}"}} {dollars}\n'
            yield f'vastai_label_rental_charges_dollars{{{of_it},label="label-{label}"}} {dollars}\n'


def _market() -> Iterator[str]:
    for model in MODELS:
        for gpus in range(1, COMPARED + 1):
            kind = f'gpu_name="{model}",num_gpus="{gpus}",rental="on_demand"'
            yield f"vastai_market_offers{{{kind}}} 20\n"
            for stat, price in {"min": 0.2, "p25": 0.3, "median": 0.4}.items():
                yield f'vastai_market_gpu_price_dollars_per_hour{{{kind},stat="{stat}"}} {price}\n'


def _samples(
    series: str, first: float, last: float, step: float, value: Callable[[float], float]
) -> Iterator[str]:
    moment = first
    while moment < last:
        yield f"{series} {value(moment):.6g} {moment:.0f}\n"
        moment += step


def _steady(value: float) -> Callable[[float], float]:
    return lambda _: value


# The past that rules read. Each part is a separate file, so that no two blocks overlap.


def month(_instances: int, now: float) -> Iterator[str]:
    """Yield 30 days of hourly samples, up to 49 hours ago."""
    yield from _hours(now - 30 * DAY, now - 49 * HOUR)


def day(instances: int, now: float) -> Iterator[str]:
    """Yield two days before the last three hours: accounts by the minute, instances by the hour."""
    first, last = now - 49 * HOUR, now - 3 * HOUR
    yield from _hours(first, last)
    yield from _minutes(first, last)
    for number in range(instances):
        own = _identity(number)
        if _trouble(number) != "stopped":
            yield from _samples(
                f"account_instance:vastai_instance_running:present_1h{{{own}}}", first, last, HOUR, _steady(1)
            )
        # The samples of a day ago, for as long as the measurement takes.
        then = now - DAY - 5 * MINUTE, now - DAY + 15 * MINUTE
        yield from _samples(
            f"vastai_instance_reliability_ratio{{{TARGET},{own}}}", *then, MINUTE, _steady(0.99)
        )
        info = f"account_instance:vastai_instance_info:topk{{{_described(number)}}}"
        yield from _samples(info, *then, MINUTE, _steady(1))


def hours(instances: int, now: float) -> Iterator[str]:
    """Yield the last three hours."""
    first = now - 3 * HOUR
    yield from _hours(first, now)
    yield from _minutes(first, now)
    for number in range(instances):
        yield from _recent(number, now)


HISTORIES: tuple[Callable[[int, float], Iterable[str]], ...] = (month, day, hours)


def _recent(number: int, now: float) -> Iterator[str]:
    trouble, own = _trouble(number), _identity(number)
    status, intended, *_ = STATES.get(trouble, RUNNING)
    level = (
        _steady(_disk(number)) if trouble != "filling" else lambda then: 0.6 + 1e-3 * (then - now) / MINUTE
    )
    used = f"account_instance:vastai_instance_disk_used:ratio{{{own}}}"
    yield from _samples(used, now - 2.6 * HOUR, now, MINUTE, level)
    pair = f'status="{status}",intended_status="{intended}"'
    seen = f"account_instance:vastai_instance_status:topk{{{own},{pair}}}"
    yield from _samples(seen, now - 1.1 * HOUR, now, MINUTE, _steady(1))
    if status == "exited":
        cost = f"account_instance:vastai_instance_stopped_storage_dollars_per_hour:max{{{own}}}"
        yield from _samples(cost, now - 1.1 * HOUR, now, MINUTE, _steady(0.02))
    for way in ("up", "down"):
        billed = f"vastai_instance_inet_{way}_billed_bytes_total{{{TARGET},{own}}}"
        yield from _samples(billed, now - 70 * MINUTE, now - 45 * MINUTE, MINUTE, _steady(TRAFFIC))
    window = now - 40 * MINUTE, now, MINUTE
    if status == "running":
        missing = f"vastai_instance_telemetry_missing{{{TARGET},{own}}}"
        yield from _samples(missing, *window, _steady(trouble == "blind"))
    if trouble not in DARK:
        util = f"vastai_instance_gpu_util_ratio{{{TARGET},{own}}}"
        yield from _samples(util, *window, _steady(0.01 if trouble == "idle" else 0.9))
        temp = f"vastai_instance_gpu_temp_celsius{{{TARGET},{own}}}"
        yield from _samples(temp, *window, _steady(88 if trouble == "hot" else 65))


def _hours(first: float, last: float) -> Iterator[str]:
    for account in range(ACCOUNTS):
        own = f'account="account-{account}"'
        yield from _samples(
            f"account:vastai_instance_spend_dollars:sum_1h{{{own}}}", first, last, HOUR, _steady(1000)
        )
        month = f'{own},month="{datetime.fromtimestamp(last, UTC).month}"'
        for spent in (f"account:{SPENT}{{{own}}}", f"account_month:{SPENT}{{{month}}}"):
            yield from _samples(spent, first, last, HOUR, lambda then: then / 1e4)
        for label in range(LABELS):
            of_it = f'label="label-{label}"'
            for cost in (
                f"account_label:{COST}{{{own},{of_it}}}",
                f"account_label_month:{COST}{{{month},{of_it}}}",
            ):
                yield from _samples(cost, first, last, HOUR, _steady(50))


def _days(own: str, level: str, first: float, last: float) -> Iterator[str]:
    """Yield the sum of each day at every four minutes."""
    for day in range(int(first // DAY), int(last // DAY) + 1):
        begin, end = max(first, day * DAY), min(last, (day + 1) * DAY)
        of_it = f'{own},day="{datetime.fromtimestamp(begin, UTC).day}"'
        parts = ("sum", "count") if level == "account" else ("sum",)
        for part in parts:
            series = f"{level}_day:vastai_instance_spend_dollars:{part}{{{of_it}}}"
            yield from _samples(series, begin, end, 4 * MINUTE, lambda then: then % DAY / 300)


def _minutes(first: float, last: float) -> Iterator[str]:
    for account in range(ACCOUNTS):
        own = f'account="account-{account}"'
        burn = f"account:vastai_instance_burn_dollars_per_hour:sum{{{own}}}"
        yield from _samples(burn, first, last, MINUTE, _steady(1000))
        yield from _days(own, "account", first, last)
        for label in range(LABELS):
            yield from _days(f'{own},label="label-{label}"', "account_label", first, last)
            burn = f'account_label:vastai_instance_burn_dollars_per_hour:sum{{{own},label="label-{label}"}}'
            yield from _samples(burn, first, last, MINUTE, _steady(50))
        spent = f"vastai_account_spend_dollars_total{{{TARGET},{own}}}"
        yield from _samples(spent, first, last, MINUTE, lambda then: then / 1e4)
        for collector in ("instances", "account"):
            success = f'vastai_collector_success{{{TARGET},{own},collector="{collector}"}}'
            yield from _samples(success, first, last, MINUTE, _steady(1))
