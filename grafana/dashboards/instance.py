"""The dashboard Instance: its identity, status, resources and cost, and other instances on its host."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from grafana.dashboards import events, instance_readings
from grafana.dashboards.inventory import CONTRACT_STEPS
from grafana.dashboards.runway import RUNWAY_STEPS
from grafana.lib.board import Board, alerts, instance_link
from grafana.lib.palette import (
    AUTO_TOP_UP,
    INSTEAD,
    INSTEAD_TILES,
    NEUTRAL,
    PLAIN,
    REASONS,
    STATUS_WORDS,
    STATUSES,
    WARNING,
    tile,
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
    Fact,
    Query,
    facts,
    filled,
    stat,
    timeline,
)
from grafana.lib.promql import (
    BURN,
    DESCRIPTION,
    LASTS,
    ONE,
    PREPAID,
    REMAINING,
    STATUS,
    STATUS_AGE,
    TROUBLE,
    named,
    of_accounts,
    once,
    one,
    spent,
    unique,
)
from grafana.lib.tables import Column, rows
from grafana.lib.thresholds import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grafana.lib.panels import Panel

#: Statuses as numbers: 1 for the first of STATUSES, this one for statuses that are not in it.
OTHER = 99
#: Labels that distinguish the instances of a host.
LABELS = ("host_id", "machine_id", "gpu_name", "label")
NUMBERED = {status: number for number, status in enumerate(STATUSES, start=1)}
#: The same for reasons that the status does not show, and for missing telemetry.
INSTEAD_NUMBERED = {reason: number for number, reason in enumerate(INSTEAD, start=20)}
NO_TELEMETRY = 30


def _numbers(label: str, statuses: Iterable[str]) -> list[str]:
    """Return the numbers of the statuses that a label of STATUS can have."""
    known = [(NUMBERED[status], one(STATUS, f'{label}="{status}"')) for status in statuses]
    return [f"{number} * group({selector})" for number, selector in (*known, (OTHER, one(STATUS)))]


def _special(reason: str, number: int) -> str:
    matcher = f'reason="{reason}"'
    return f"{number} * group({one(TROUBLE, matcher)})"


STATE_NUMBER = " or ".join(
    [*itertools.starmap(_special, INSTEAD_NUMBERED.items()), *_numbers("status", STATUSES)]
)
INTENDED_NUMBER = " or ".join(_numbers("intended_status", ("running", "frozen", "stopped")))
#: The same for whole tiles.
STATE_TILES = (
    {str(number): (status, tile(STATUS_WORDS[status][1])) for status, number in NUMBERED.items()}
    | {
        str(number): (INSTEAD[reason][0], tile(INSTEAD_TILES[reason]))
        for reason, number in INSTEAD_NUMBERED.items()
    }
    | {str(OTHER): ("another", tile(WARNING))}
)
STATE_WORDS = (
    {str(number): (status, STATUSES[status]) for status, number in NUMBERED.items()}
    | {str(number): INSTEAD[reason] for reason, number in INSTEAD_NUMBERED.items()}
    | {str(OTHER): ("another", WARNING), str(NO_TELEMETRY): ("missing", PLAIN)}
)
#: The rented hardware, one query per group: Grafana keeps the order of queries, but not of series.
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


def build() -> Board:
    """Return the dashboard."""
    board = Board(
        "vastai-instance",
        "Vast.ai / Instance",
        "One instance, from its status to its bill.",
        variables=("account", "instance"),
    )
    board.annotate(*alerts(ONE), *events.marks_of_one())
    _answers(board)
    board.section("Identity").row(4, (24, _identity())).row(4, (24, _hardware()))
    board.section("Status and events").row(5, (24, _history()))
    board.row(7, (14, events.latest_of_one()), (10, _problems()))
    board.section("Resources")
    instance_readings.resources(board)
    board.section("Cost")
    instance_readings.money(board)
    board.section("Host").row(7, (24, _neighbours()))
    return board


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
            "The API's actual_status. Green: running. Blue: starting. Purple: frozen, billed in full. Grey:"
            " stopped by the user, an outbid or the host; the API does not tell these apart. Orange and"
            " red: unreachable. Queued: others have its GPU, and it starts, and costs money, as soon as the"
            " GPU is free (cur_state stopped, next_state running). Boot failed: the host gave up the start,"
            " and nothing happens until somebody starts it again.",
            Query(STATE_NUMBER),
            unit=COUNT,
            mappings=STATE_TILES,
            no_value="No such instance",
        )
    )


def _since() -> Panel:
    return stat(
        "In status",
        "How long the instance has had this status, as far as the exporter has seen: if the exporter"
        " started later, the time since then.",
        Query(f"max({one(STATUS_AGE)})"),
        unit=DURATION,
        decimals=1,
    )


def _it_costs() -> Panel:
    return stat(
        "Current cost",
        "What the instance costs now, by status. The line shows the selected time range.",
        Query(f"max({one(BURN)})"),
        unit=DOLLARS_PER_HOUR,
        decimals=3,
        steps=((None, NEUTRAL),),
    )


def _it_has_cost() -> Panel:
    return stat(
        "Spend (range)",
        "What the instance cost in the selected time range, without traffic. Select a longer range for"
        " more. Times in which the exporter was not scraped count as nothing.",
        Query(f"sum({spent(one(BURN))})"),
        unit=DOLLARS,
        decimals=2,
        steps=((None, NEUTRAL),),
    ).max_data_points(500)


def _ends_in() -> Panel:
    return stat(
        "Contract ends",
        "When the contract ends, the instance stops and cannot be started again. Its data may be deleted 48"
        f" h later. Orange below {span('contract_warning_seconds')}, red below"
        f" {span('contract_critical_seconds')}.",
        Query(f"min({one(REMAINING)})"),
        unit=DURATION,
        decimals=1,
        steps=CONTRACT_STEPS,
        no_value="Not known",
    )


def _its_credit_lasts() -> Panel:
    return stat(
        "Credit runway",
        "A reserved instance spends its own prepaid credit; at 0 the discount lapses and the account pays."
        " For any other instance, this is the account's credit, which all its instances share.",
        Query(f"min({one(PREPAID)}) or min({LASTS} and on (account) {one(DESCRIPTION)})"),
        unit=DURATION,
        decimals=1,
        steps=RUNWAY_STEPS,
        mappings=AUTO_TOP_UP,
        no_value="Not known",
    )


def _identity() -> Panel:
    return rows(
        "Identity",
        "The instance and its machine. Interruptible instances can be outbid; reserved ones are prepaid."
        " Vast.ai has not tested machines that are not verified.",
        Query(named(unique(one(DESCRIPTION)))),
        columns=(
            Column(field="instance_id", title="instance", width=80),
            Column(field="account", title="account"),
            Column(field="label", title="label"),
            Column(field="gpu_name", title="GPU model"),
            Column(field="image", title="image", width=190),
            Column(field="template", title="template"),
            Column(field="rental", title="rental"),
            Column(field="machine_id", title="machine", width=70),
            Column(field="host_id", title="host", width=60),
            Column(field="geolocation", title="place"),
            Column(field="verification", title="verification"),
        ),
    )


def _hardware() -> Panel:
    def of(group: Mapping[str, Fact]) -> Query:
        names = "|".join(group)
        return Query(f'max by (__name__) ({{__name__=~"vastai_instance_({names})",{ONE}}})', "{{__name__}}")

    return facts(
        "Resources",
        "Your share of the machine, and what Vast.ai measured on it. Download and upload are the speed of"
        " the machine's link, not traffic. Reliability is the host's; a new host starts at 60 %.",
        *map(of, HARDWARE),
        names={f"vastai_instance_{name}": fact for group in HARDWARE for name, fact in group.items()},
    )


def _history() -> Panel:
    missing = f"min_over_time({one('vastai_instance_telemetry_missing')}[{instance_readings.BRIDGE}])"
    return timeline(
        "Status over time",
        "The API's status, and what the instance is meant to be (intended_status). The latter is stopped"
        " after an outbid, a failed start and a stop by the user. Telemetry shows when GPU telemetry was"
        f" missing for {instance_readings.BRIDGE}. A gap means that the exporter did not poll, or that the"
        " instance did not exist.",
        Query(STATE_NUMBER, "status"),
        Query(INTENDED_NUMBER, "meant to be"),
        Query(f"{NO_TELEMETRY} * (max({instance_readings.while_running(missing)}) == 1)", "telemetry"),
        mappings=STATE_WORDS,
    )


def _problems() -> Panel:
    return rows(
        "Active problems",
        "As on the dashboard Fleet, worst first. Empty is good.",
        Query(one(TROUBLE)),
        columns=(
            Column(field="reason", title="reason", mappings=REASONS),
            Column(field="instance_id", title="instance", width=120),
        ),
        worst_first="Value",
        no_value="No known problems",
    )


def _neighbours() -> Panel:
    host = f"({of_accounts(DESCRIPTION)} and on (host_id) {one(DESCRIPTION)})"
    state = unique(f"({of_accounts(STATUS)} and on (account, instance_id) {host})")
    identity = f"({state} * on (account, instance_id) group_left ({', '.join(LABELS)}) {unique(host)})"

    def beside(value: str) -> str:
        return f"{named(identity)} * 0 + on (account, instance_id) group_left () {value}"

    return rows(
        "My instances on this host",
        "All your instances on machines of the same host. If all of them are offline or slow, it is the"
        " host: wait, or move. If only this one is, look inside it.",
        Query(beside(of_accounts(BURN))),
        Query(beside(of_accounts(STATUS_AGE))),
        Query(beside(once("vastai_instance_gpu_temp_celsius"))),
        columns=(
            Column(field="instance_id", title="instance", link=instance_link(), width=90),
            Column(field="status", title="status", mappings=STATUS_WORDS, width=90),
            Column(field="Value #B", title="in status", unit=DURATION, decimals=0, width=105),
            Column(field="label", title="label"),
            Column(field="gpu_name", title="GPU model", least=105),
            Column(field="Value #C", title="temp.", unit=CELSIUS, decimals=0, width=85),
            Column(field="Value #A", title="cost", unit=DOLLARS_PER_HOUR, decimals=2, width=90),
            Column(field="machine_id", title="machine", width=75),
            Column(field="host_id", title="host", width=65),
            Column(field="account", title="account"),
        ),
        worst_first="status",
    )
