"""One instance: what it is, how it is doing, what it costs, and how its host's other instances are."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from grafana.lib.board import INSTANCE_ALERTS, Annotation, Board, alerts, instance_link
from grafana.lib.palette import (
    AUTO_BILLED,
    CRITICAL,
    GOOD,
    INSTEAD,
    NEUTRAL,
    OFF,
    PLAIN,
    REASONS,
    STATUS_WORDS,
    STATUSES,
    WARNING,
    WASTE,
    WATCH,
)
from grafana.lib.panels import (
    BYTES,
    BYTES_PER_SECOND,
    CELSIUS,
    COUNT,
    DOLLARS,
    DOLLARS_PER_HOUR,
    DURATION,
    RATIO,
    Column,
    Fact,
    Query,
    facts,
    filled,
    limited,
    lines,
    rows,
    stat,
    timeline,
)
from grafana.lib.promql import (
    ACCOUNT,
    BURN,
    INFO,
    LASTS,
    ONE,
    PREPAID,
    REMAINING,
    STATUS,
    STATUS_AGE,
    TROUBLE,
    billed,
    described,
    series,
    spent,
    traffic_cost,
    unique,
)
from grafana.lib.thresholds import span, threshold, why

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grafana.lib.panels import Panel

#: Where a number has to stand for a status: 1 for the first of STATUSES, this for what the API adds.
OTHER = 99
NUMBERED = {status: number for number, status in enumerate(STATUSES, start=1)}
#: The same for what the status alone doesn't tell, and for missing telemetry.
INSTEAD_NUMBERED = {reason: number for number, reason in enumerate(INSTEAD, start=20)}
NO_TELEMETRY = 30


def _numbers(label: str, statuses: Iterable[str]) -> list[str]:
    """Return the numbers of the statuses that a label of STATUS may say."""
    known = [(NUMBERED[status], series(STATUS, f'{label}="{status}"')) for status in statuses]
    return [f"{number} * group({selector})" for number, selector in (*known, (OTHER, series(STATUS)))]


def _special(reason: str, number: int) -> str:
    matcher = f'reason="{reason}"'
    return f"{number} * group({series(TROUBLE, matcher)})"


STATE_NUMBER = " or ".join(
    [*itertools.starmap(_special, INSTEAD_NUMBERED.items()), *_numbers("status", STATUSES)]
)
INTENDED_NUMBER = " or ".join(_numbers("intended_status", ("running", "frozen", "stopped")))
STATE_WORDS = (
    {str(number): (status, STATUSES[status]) for status, number in NUMBERED.items()}
    | {str(number): INSTEAD[reason] for reason, number in INSTEAD_NUMBERED.items()}
    | {str(OTHER): ("another", WARNING), str(NO_TELEMETRY): ("missing", PLAIN)}
)
#: What is rented, a group a query: Grafana keeps the order of queries, but not that of series.
HARDWARE = (
    {
        "num_gpus": Fact("GPUs"),
        "gpu_ram_bytes": Fact("VRAM a GPU", BYTES),
        "gpu_frac_ratio": Fact("of machine", RATIO),
        "total_flops": Fact("compute", "flops"),
        "gpu_mem_bw_bytes_per_second": Fact("VRAM speed", BYTES_PER_SECOND),
    },
    {
        "cpu_cores_effective": Fact("vCPUs"),
        "mem_limit_bytes": Fact("memory", BYTES),
        "pcie_bw_bytes_per_second": Fact("PCIe", BYTES_PER_SECOND),
    },
    {
        "disk_space_bytes": Fact("disk", "decbytes"),
        "disk_bw_bytes_per_second": Fact("disk speed", BYTES_PER_SECOND),
    },
    {
        "inet_down_bytes_per_second": Fact("download", BYTES_PER_SECOND),
        "inet_up_bytes_per_second": Fact("upload", BYTES_PER_SECOND),
        "reliability_ratio": Fact("reliability", RATIO),
    },
)

RUNNING = "Shown only while it runs: on other rows the API repeats the last value."
#: Of the GPUs. On some hosts every second reading has no telemetry, which would leave nothing of a line.
BRIDGE = "3m"
MEASURED = f"A gap while it runs is missing telemetry, not 0; one that is shorter than {BRIDGE} is bridged."
UNMEASURED = "It does not run, or has no telemetry of its GPUs. The dashboard Exporter says more."
#: Longer than the steps in which billed traffic is counted.
TRAFFIC_WINDOW = "15m"


def build() -> Board:
    """Return the dashboard."""
    board = Board(
        "vastai-instance", "Vast.ai / Instance", "One instance, from its state to its bill.", single=True
    )
    board.annotate(alerts(INSTANCE_ALERTS)).annotate(_changes())
    _answers(board)
    board.section("What is it").row(4, (24, _identity())).row(4, (24, _hardware()))
    board.section("What happened").row(5, (14, _history()), (10, _troubles()))
    board.section("Is it working")
    _work(board)
    board.section("What does it cost")
    _money(board)
    board.section("Is it the host").row(7, (24, _neighbours()))
    return board


def _changes() -> Annotation:
    """Return a mark where the status changed."""
    since = series("vastai_instance_status_since_timestamp_seconds")
    expression = f"1000 * {since} * on (account, instance_id) group_left (status) {unique(series(STATUS))}"
    return Annotation(
        "Status",
        NEUTRAL,
        expression,
        step="60s",
        titleFormat="now {{status}}",
        textFormat="{{account}} {{instance_id}}",
        useValueForTime=True,
    )


def _answers(board: Board) -> None:
    board.row(
        4,
        (4, _status()),
        (4, _since()),
        (4, _it_costs()),
        (4, _it_has_cost()),
        (4, _ends_in()),
        (4, _its_credit_lasts()),
    )


def _status() -> Panel:
    return filled(
        stat(
            "Status",
            "What the API says it is (actual_status). Green runs; blue is on its way; purple is frozen and"
            " paid in full; grey is stopped, by its user, an outbid or its host, which the API shows alike;"
            " orange and red can't be reached. Queued: it waits for its GPU, which others have, and starts,"
            " and costs, whenever that is free (cur_state stopped, next_state running). Boot failed: its host"
            " has given up the start, and nothing happens until somebody starts it again.",
            Query(STATE_NUMBER),
            unit=COUNT,
            mappings=STATE_WORDS,
            no_value="No such instance",
        )
    )


def _since() -> Panel:
    return stat(
        "For",
        "How long it has had this status, as far as the exporter has seen: counted from the exporter's own"
        " start where that came later.",
        Query(f"max({series(STATUS_AGE)})"),
        unit=DURATION,
        decimals=1,
    )


def _it_costs() -> Panel:
    return stat(
        "It costs",
        "What it costs at this moment, by its state. The line behind it is the chosen time range.",
        Query(f"max({series(BURN)})"),
        unit=DOLLARS_PER_HOUR,
        decimals=3,
        steps=((None, NEUTRAL),),
        graph=True,
    )


def _it_has_cost() -> Panel:
    return stat(
        "It has cost",
        "What it cost in the chosen time range, without bandwidth. Choose a longer one for more; times in"
        " which the exporter was not scraped count as nothing.",
        Query(f"sum({spent(series(BURN))})"),
        unit=DOLLARS,
        decimals=2,
        steps=((None, NEUTRAL),),
    ).max_data_points(500)


def _ends_in() -> Panel:
    return stat(
        "Ends in",
        "At its end the instance stops and can't be started again; its data may be deleted 48 h later."
        f" Orange below {span('contract_warning_seconds')}, red below {span('contract_critical_seconds')}.",
        Query(f"min({series(REMAINING)})"),
        unit=DURATION,
        decimals=1,
        steps=(
            (None, CRITICAL),
            (threshold("contract_critical_seconds"), WARNING),
            (threshold("contract_warning_seconds"), WATCH),
            (threshold("contract_info_seconds"), GOOD),
        ),
        no_value="Not known",
    )


def _its_credit_lasts() -> Panel:
    return stat(
        "Its credit lasts",
        "A reserved instance spends credit of its own; at 0 the discount lapses and the account pays. For"
        " any other this is the credit of its account, which all of its instances share.",
        Query(f"min({series(PREPAID)}) or min({LASTS} and on (account) {series(INFO)})"),
        unit=DURATION,
        decimals=1,
        steps=(
            (None, CRITICAL),
            (threshold("credit_critical_seconds"), WARNING),
            (threshold("credit_warning_seconds"), WATCH),
            (threshold("credit_info_seconds"), GOOD),
        ),
        mappings=AUTO_BILLED,
        no_value="Not known",
    )


def _identity() -> Panel:
    return rows(
        "Identity",
        "What describes the instance and the machine it is on. Interruptible instances can be outbid;"
        " reserved ones are prepaid. A machine that is not verified has not been tested by Vast.ai.",
        Query(unique(series(INFO))),
        columns=(
            Column(field="instance_id", title="instance", width=80),
            Column(field="account", title="account", width=90),
            Column(field="label", title="label"),
            Column(field="gpu_name", title="GPU model", width=95),
            Column(field="image", title="image"),
            Column(field="template", title="template"),
            Column(field="rental", title="rental", width=95),
            Column(field="machine_id", title="machine", width=70),
            Column(field="host_id", title="host", width=60),
            Column(field="geolocation", title="place", width=110),
            Column(field="verification", title="verification", width=90),
        ),
    )


def _hardware() -> Panel:
    def of(group: Mapping[str, Fact]) -> Query:
        names = "|".join(group)
        return Query(f'max by (__name__) ({{__name__=~"vastai_instance_({names})",{ONE}}})', "{{__name__}}")

    return facts(
        "What I rent",
        "Shares of the machine that are mine, and what Vast.ai has measured of it. Download and upload are"
        " the speed of the machine's link, not traffic. Reliability is the host's; a new one starts at 60"
        " %.",
        *map(of, HARDWARE),
        names={f"vastai_instance_{name}": fact for group in HARDWARE for name, fact in group.items()},
    )


def _history() -> Panel:
    missing = f"min_over_time({series('vastai_instance_telemetry_missing')}[{BRIDGE}])"
    return timeline(
        "Status over time",
        "What the API said it was, and what it was meant to be: after an outbid and a failed start as well as"
        " after a stop by its user, that is stopped. Telemetry shows when the GPUs' was missing for"
        f" {BRIDGE}. A gap means that nobody asked, or that the instance was not there.",
        Query(STATE_NUMBER, "status"),
        Query(INTENDED_NUMBER, "meant to be"),
        Query(f"{NO_TELEMETRY} * (max({_while_running(missing)}) == 1)", "telemetry"),
        mappings=STATE_WORDS,
    )


def _troubles() -> Panel:
    return rows(
        "What is wrong with it",
        "As on the dashboard Fleet, worst first; empty is good.",
        Query(series(TROUBLE)),
        columns=(
            Column(field="reason", title="reason", mappings=REASONS),
            Column(field="instance_id", title="instance", width=120),
        ),
        worst_first="Value",
        no_value="Nothing, as far as the data go",
    )


def _while_running(expression: str) -> str:
    running = series(STATUS, 'status="running"')
    return f"{expression} and on (account, instance_id) {running}"


def _reading(metric: str) -> str:
    """Return what was last read while it runs, where that is not long ago."""
    return f"max({_while_running(f'last_over_time({series(metric)}[{BRIDGE}])')})"


def _work(board: Board) -> None:
    board.row(7, (8, _gpu_utilisation()), (8, _gpu_temperature()), (8, _gpu_memory())).row(
        7, (8, _processor()), (8, _memory()), (8, _disk())
    )


def _processor() -> Panel:
    return limited(
        lines(
            "CPU utilisation",
            f"Of the rented virtual CPUs together (cpu_util). {RUNNING}",
            Query(_reading("vastai_instance_cpu_util_ratio"), "utilisation"),
            unit=RATIO,
            colors={"utilisation": NEUTRAL},
            no_value=UNMEASURED,
        ),
        reach=1,
    )


def _memory() -> Panel:
    return lines(
        "Memory",
        "In use, and the limit. At the limit the container is killed; the alert begins at"
        f" {threshold('mem_ratio'):.0%}. {RUNNING}",
        Query(f"max({series('vastai_instance_mem_usage_bytes')})", "in use"),
        Query(f"max({series('vastai_instance_mem_limit_bytes')})", "limit"),
        unit=BYTES,
        colors={"in use": NEUTRAL, "limit": OFF},
    )


def _disk() -> Panel:
    return lines(
        "Disk",
        f"In use, and what is rented. An alert says that it is filling from"
        f" {threshold('disk_filling_ratio'):.0%} on where it will be full within"
        f" {span('disk_horizon_seconds')}, and that it is full at {threshold('disk_critical_ratio'):.0%}. A"
        " disk can't be made larger: delete, or move to another instance.",
        Query(f"max({series('vastai_instance_disk_usage_bytes')})", "in use"),
        Query(f"max({series('vastai_instance_disk_space_bytes')})", "rented"),
        unit="decbytes",
        colors={"in use": NEUTRAL, "rented": OFF},
    )


def _gpu_utilisation() -> Panel:
    return limited(
        lines(
            "GPU utilisation",
            "The mean of its GPUs. Below the dashed line it counts as idle"
            f" ({why('idle_util_ratio')}). {RUNNING} {MEASURED}",
            Query(_reading("vastai_instance_gpu_util_ratio"), "utilisation"),
            unit=RATIO,
            most=1,
            colors={"utilisation": GOOD},
            no_value=UNMEASURED,
        ),
        steps=((None, "transparent"), (threshold("idle_util_ratio"), WASTE)),
    )


def _gpu_temperature() -> Panel:
    return limited(
        lines(
            "GPU temperature",
            f"The dashed lines are where alerts begin: {threshold('hot_celsius'):.0f} °C"
            f" ({why('hot_celsius')}) and {threshold('hot_critical_celsius'):.0f} °C"
            f" ({why('hot_critical_celsius')}). You can't cool it: lower the power limit, or move. {RUNNING}"
            f" {MEASURED}",
            Query(_reading("vastai_instance_gpu_temp_celsius"), "temperature"),
            unit=CELSIUS,
            decimals=0,
            least=20,
            colors={"temperature": WATCH},
            no_value=UNMEASURED,
        ),
        steps=(
            (None, "transparent"),
            (threshold("hot_celsius"), WARNING),
            (threshold("hot_critical_celsius"), CRITICAL),
        ),
        reach=95,
    )


def _gpu_memory() -> Panel:
    return lines(
        "GPU memory",
        f"In use, and what all of its GPUs have together. {RUNNING} {MEASURED}",
        Query(_reading("vastai_instance_vmem_usage_bytes"), "in use"),
        Query(f"max({series('vastai_instance_gpu_totalram_bytes')})", "there is"),
        unit=BYTES,
        colors={"in use": NEUTRAL, "there is": OFF},
    )


def _money(board: Board) -> None:
    board.row(7, (8, _price()), (8, _traffic()), (8, _traffic_cost()))


def _price() -> Panel:
    return lines(
        "Price",
        "What it costs by its state, and the parts of its price: all of it while running, the GPUs' part"
        " (an interruptible one's bid), and the disk, which is paid in every state but offline.",
        Query(f"max({series(BURN)})", "costs"),
        Query(f"max({series('vastai_instance_dph_total_dollars_per_hour')})", "price while running"),
        Query(f"max({series('vastai_instance_dph_base_dollars_per_hour')})", "of that the GPUs"),
        Query(
            f"max({series('vastai_instance_storage_total_cost_dollars_per_hour')})",
            "of that the disk",
        ),
        unit=DOLLARS_PER_HOUR,
        colors={
            "costs": NEUTRAL,
            "price while running": GOOD,
            "of that the GPUs": WATCH,
            "of that the disk": OFF,
        },
    )


def _traffic() -> Panel:
    return lines(
        "Billed traffic",
        "What Vast.ai counts of its traffic, which is paid for beside the price. A rate over"
        f" {TRAFFIC_WINDOW}, since it is counted now and then. The speed of the machine's link is something"
        " else: see above.",
        Query(f"max({billed('down', TRAFFIC_WINDOW)})", "download"),
        Query(f"max({billed('up', TRAFFIC_WINDOW)})", "upload"),
        unit=BYTES_PER_SECOND,
        colors={"download": NEUTRAL, "upload": WATCH},
        no_value="No traffic was billed in the chosen time range",
    )


def _traffic_cost() -> Panel:
    return lines(
        "What the traffic costs",
        "Billed traffic at the prices of its machine, which may be 0. No other amount of this dashboard has"
        " it.",
        Query(f"max({traffic_cost('down', TRAFFIC_WINDOW)})", "download"),
        Query(f"max({traffic_cost('up', TRAFFIC_WINDOW)})", "upload"),
        unit=DOLLARS_PER_HOUR,
        colors={"download": NEUTRAL, "upload": WATCH},
        no_value="No traffic was billed in the chosen time range",
    )


def _neighbours() -> Panel:
    every = f"{INFO}{{{ACCOUNT}}}"
    labels = ("host_id", "machine_id", "gpu_name", "label", "status")
    state = f"({STATUS}{{{ACCOUNT}}} and on (account, instance_id) ({every} and on (host_id) {series(INFO)}))"

    def beside(value: str) -> str:
        described_state = described(f"0 * {unique(state)}", *labels[:-1], info=every)
        return f"{described_state} + on (account, instance_id) group_left () {value}"

    return rows(
        "What its host's instances do",
        "All of my instances on machines of the same host. Where all of them are offline or slow it is the"
        " host, and waiting or moving helps; where only this one is, look inside it.",
        Query(beside(f"{BURN}{{{ACCOUNT}}}")),
        Query(beside(f"{STATUS_AGE}{{{ACCOUNT}}}")),
        Query(beside(f"max by (account, instance_id) (vastai_instance_gpu_temp_celsius{{{ACCOUNT}}})")),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=90),
            Column(field="status", title="status", mappings=STATUS_WORDS, width=90),
            Column(field="Value #B", title="for", unit=DURATION, decimals=0, width=105),
            Column(field="label", title="label"),
            Column(field="gpu_name", title="GPU model", width=110),
            Column(field="Value #C", title="GPU heat", unit=CELSIUS, decimals=0, width=85),
            Column(field="Value #A", title="costs now", unit=DOLLARS_PER_HOUR, decimals=2, width=95),
            Column(field="machine_id", title="machine", width=75),
            Column(field="host_id", title="host", width=65),
            Column(field="account", title="account", width=100),
        ),
        worst_first="status",
    )
