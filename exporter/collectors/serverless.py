"""Collect serverless endpoints and their workers, which are instances too.

One reply lists the endpoints. Another host lists the workers of each. Each reply becomes its own part. If a
request for workers fails, their previous data stays until it is stale, and nothing else is affected.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from exporter.collectors.assumptions import serverless as assumptions
from exporter.collectors.base import Collector, Progress, Run, fields_of
from exporter.metrics import lines
from exporter.metrics.fields import NEGATIVE, Fields, Problems, Record, number_field, text_field
from exporter.metrics.rows import Metric, Row, field_row
from exporter.metrics.snapshot import NO_LINES, Part
from exporter.vast.endpoints import Endpoint
from exporter.vast.errors import (
    ApiError,
    AuthError,
    BadReplyError,
    ClientError,
    NetworkError,
    RateLimitedError,
    SlowError,
)
from exporter.vast.pages import Listing, id_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.metrics.fields import NumberField
    from exporter.metrics.snapshot import Snapshot
    from exporter.metrics.values import Number

    #: Endpoint id, and 0 for the endpoint itself or 1 for its workers.
    Key = tuple[int, int]

ENDPOINTS = Endpoint("/api/v0/endptjobs/", 3.0)
#: The threshold is undocumented; 1 s is the smallest of any endpoint.
WORKERS_OF_ONE = Endpoint(
    "/get_endpoint_workers/", 1.0, method="POST", host="run", documented=False, bare_list="workers"
)
LISTING = Listing(endpoint=ENDPOINTS, rows="results", key=id_of, params={})
#: The API's error message for an account without endpoints.
NO_ENDPOINTS = re.compile(r"no endpoints", re.IGNORECASE)
#: Failures of the host or key, after which requests for other endpoints' workers would fail too.
OF_THE_HOST = (AuthError, NetworkError, RateLimitedError, SlowError)

#: States in which a worker accepts requests. The vendor's client knows only idle, but an example in its
#: documentation shows running.
READY = frozenset({"idle", "running"})
#: Worker states that the vendor documents or its client knows; each has a series, including 0.
STATES = assumptions.WORKER_STATES
#: State of a worker for which the API gives none.
UNKNOWN = "unknown"

IDENTITY = ("account", "endpoint_id")
NAME = text_field("endpoint_name")
STATE = text_field("endpoint_state")


def _row(suffix: str, meaning: str, field: NumberField, notes: str = "") -> Row[Record]:
    """Return the row of a metric that is one field of an endpoint."""
    return field_row(f"vastai_endpoint_{suffix}", meaning, field, labels=IDENTITY, notes=notes)


INFO: Row[Record] = Row(
    name="vastai_endpoint_info",
    help="Always 1; the labels describe the serverless endpoint (API fields endpoint_name, endpoint_state).",
    labels=(*IDENTITY, "endpoint_name", "state"),
    notes="state is active, suspended or stopped",
    fields=(NAME, STATE),
    value=lambda _: 1,
    label_values=lambda endpoint: (endpoint.text(NAME), endpoint.text(STATE)),
)
ROWS = (
    INFO,
    _row(
        "min_load",
        "Minimum load that the endpoint keeps capacity for",
        number_field("min_load", unknown=NEGATIVE),
    ),
    _row(
        "target_util_ratio",
        "Ratio of load to capacity that the autoscaler aims at",
        number_field("target_util", unknown=NEGATIVE),
    ),
    _row(
        "cold_workers",
        "Minimum number of workers, ready or stopped with the model loaded",
        number_field("cold_workers", unknown=NEGATIVE),
    ),
    _row(
        "max_workers",
        "Maximum number of workers, including stopped ones",
        number_field("max_workers", unknown=NEGATIVE),
    ),
)

WORKERS = Metric(
    name="vastai_endpoint_workers",
    help="Number of workers of the serverless endpoint by state (API fields workers, status).",
    labels=(*IDENTITY, "status"),
    notes="status is the state in lower case; includes 0 for each documented state; all are 0 while the API"
    " answers that the endpoint is not ready yet; no sample if the workers can't be read",
)
INSTANCE = Metric(
    name="vastai_endpoint_instance",
    help="Always 1; the instance is a worker of the serverless endpoint (API fields workers, id).",
    labels=(*IDENTITY, "instance_id"),
    notes="tells workers from plain instances",
)


@dataclass(frozen=True, slots=True)
class Sum:
    """A metric that sums one field over an endpoint's workers; `ready` restricts it to ready workers."""

    metric: Metric
    field: NumberField
    ready: bool = False


def _sum(suffix: str, meaning: str, name: str, *, ready: bool = False) -> Sum:
    metric = Metric(
        name=f"vastai_endpoint_{suffix}",
        help=f"{meaning} (API field {name}).",
        labels=IDENTITY,
        notes=f"the sum over {'workers that are ready' if ready else 'all workers'}; null counts nothing",
    )
    return Sum(metric, number_field(name, unknown=NEGATIVE), ready)


SUMS = (
    _sum("load", "Incoming load per second", "cur_load"),
    _sum("perf", "Load per second that the ready workers can handle", "perf", ready=True),
    _sum("requests_working", "Number of requests in progress", "reqs_working"),
)
STATUS = text_field("status")
OF_ENDPOINTS = fields_of(ROWS)
OF_WORKERS = Fields((STATUS, *(each.field for each in SUMS)))


@dataclass(frozen=True, slots=True)
class Workers:
    """An endpoint's workers: number by state, ids, and sums by metric."""

    states: Mapping[str, int]
    ids: tuple[int, ...]
    sums: Mapping[str, Number]


def collect(run: Run) -> Iterator[Progress]:
    """Request all endpoints and the workers of each; see `exporter.collectors.base.Collect`.

    Endpoints whose workers failed come last in the next run, so that they do not delay the others.
    """
    started = run.clock()
    endpoints = _endpoints(run)
    run.store.snapshot = run.store.snapshot.replacing(_parts(run, endpoints))
    pages, failure = 1, None
    order = _order(endpoints, run.store.snapshot.memory or ())
    yield Progress(pages=pages, objects=len(endpoints), total=None, total_pages=1 + len(order))
    waiting, failed = list(order), []
    while waiting:
        endpoint = waiting.pop(0)
        try:
            _keep(run, endpoint, _workers(run, endpoint))
        except ApiError as error:
            failure = failure or error
            failed.append(endpoint)
            if isinstance(error, OF_THE_HOST):
                break
            continue
        pages += 1
        yield Progress(pages=pages, objects=len(endpoints), total=None, total_pages=1 + len(order))
    run.store.snapshot = run.store.snapshot.with_memory((*waiting, *failed))
    if failure is not None:
        raise failure
    run.store.snapshot = run.store.snapshot.with_seconds(run.clock() - started)


def _order(endpoints: Mapping[int, Record], late: Sequence[int]) -> list[int]:
    """Return the endpoints in the order of requests; `late` are those that come last."""
    return [*(each for each in endpoints if each not in late), *(each for each in late if each in endpoints)]


def _endpoints(run: Run) -> dict[int, Record]:
    """Return the API's record of each endpoint, by ascending id."""
    try:
        rows = rows_of(run.client.ask(ENDPOINTS), LISTING)
    except ClientError as error:
        if error.status != HTTPStatus.BAD_REQUEST or not NO_ENDPOINTS.search(str(error)):
            raise
        rows = []
    problems = Problems()
    found = {key: OF_ENDPOINTS.read(row, problems) for key, row in _keyed(rows, problems)}
    run.report(problems)
    return dict(sorted(found.items()))


def _workers(run: Run, endpoint: int) -> Workers:
    """Return an endpoint's workers; an endpoint that is not ready yet has none.

    Raises:
        ApiError: the request failed.

    """
    reply = run.client.ask(WORKERS_OF_ONE, body={"id": endpoint})
    rows = [] if "error_msg" in reply and "workers" not in reply else reply.get("workers")
    if not isinstance(rows, list):
        raise BadReplyError("the reply has no list of workers")
    problems = Problems()
    found = {key: OF_WORKERS.read(row, problems) for key, row in _keyed(rows, problems)}
    run.report(problems)
    states = Counter(_state(worker) for worker in found.values())
    return Workers(
        states=dict.fromkeys(STATES, 0) | states,
        ids=tuple(sorted(found)),
        sums={
            each.metric.name: total for each in SUMS if (total := _total(each, found.values())) is not None
        },
    )


def _keyed(rows: Iterable[object], problems: Problems) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield rows with their ids; rows without a usable or unique id are counted."""
    seen: set[int] = set()
    for row in rows:
        key = id_of(row) if isinstance(row, dict) else None
        if key is None or key in seen or not isinstance(row, dict):
            problems.unreadable["id"] += 1
            continue
        seen.add(key)
        yield key, row


def _state(worker: Record) -> str:
    return worker.text(STATUS).strip().lower() or UNKNOWN


def _total(wanted: Sum, workers: Iterable[Record]) -> Number | None:
    """Return the sum of a field; None if workers count but none of them has the field."""
    counted = [worker for worker in workers if not wanted.ready or _state(worker) in READY]
    values = [value for worker in counted if (value := worker.number(wanted.field)) is not None]
    return sum(values) if values or not counted else None


def _parts(run: Run, endpoints: Mapping[int, Record]) -> Iterator[Part[Key, Workers | None]]:
    """Yield a part for each endpoint, and one for all keys after the last; workers' parts stay."""
    now = run.clock()
    after: Key | None = None
    for endpoint, record in endpoints.items():
        labels = lines.labels(IDENTITY, (run.account, str(endpoint)))
        yield Part(
            confirmed=now,
            lines=lines.of_objects(ROWS, [(labels, record)]),
            items={(endpoint, 0): None},
            after=after,
            upto=(endpoint, 0),
        )
        after = (endpoint, 1)
    yield Part(confirmed=now, lines=NO_LINES, items={}, after=after)


def _keep(run: Run, endpoint: int, workers: Workers) -> None:
    part = Part(
        confirmed=run.clock(),
        lines=NO_LINES,
        items={(endpoint, 1): workers},
        after=(endpoint, 0),
        upto=(endpoint, 1),
    )
    run.store.snapshot = run.store.snapshot.replacing([part])


def summarise(
    account: str,
    parts: tuple[Part[Key, Workers | None], ...],
    _snapshot: Snapshot[Key, Workers | None],
    _most_labels: int,
) -> Mapping[str, bytes]:
    """Return the lines about workers; see `exporter.collectors.base.Summarise`."""
    known = {str(key[0]): each for part in parts for key, each in part.items.items() if each is not None}
    states = [((endpoint, state), n) for endpoint, each in known.items() for state, n in each.states.items()]
    instances = [((endpoint, str(number)), 1) for endpoint, each in known.items() for number in each.ids]
    return {
        WORKERS.name: lines.of_samples(WORKERS, account, states),
        INSTANCE.name: lines.of_samples(INSTANCE, account, instances),
    } | {
        metric.name: lines.of_samples(
            metric,
            account,
            [
                ((endpoint,), each.sums[metric.name])
                for endpoint, each in known.items()
                if metric.name in each.sums
            ],
        )
        for metric in (each.metric for each in SUMS)
    }


COLLECTOR = Collector(
    name="serverless",
    title="Serverless",
    about="serverless endpoints, their workers and load",
    permission="misc",
    endpoints=(ENDPOINTS, WORKERS_OF_ONE),
    objects="endpoints",
    interval=60.0,
    stale_after=300.0,
    collect=collect,
    rows=ROWS,
    summaries=(WORKERS, INSTANCE, *(each.metric for each in SUMS)),
    summarise=summarise,
    further_fields=("id", "results", "workers", *OF_WORKERS.names),
    not_exported={
        "api_key": "secret: of the endpoint; dropped with the reply",
        "min_cold_load": "a setting that the number of workers shows",
        "cold_mult": "a setting that the number of workers shows",
        "max_queue_time": "a setting of requests, of which nothing else is known",
        "target_queue_time": "a setting of requests, of which nothing else is known",
        "inactivity_timeout": "a setting that the number of workers shows",
        "auto_delete_in_seconds": "undocumented",
        "auto_delete_due_24h": "undocumented",
        "user_id": "personal",
        "created_at": "static",
        "url": "sensitive: an address to attack",
        "new_load": "undocumented; cur_load is the load",
        "cur_load_rolling_avg": "Prometheus makes averages of cur_load",
        "cur_perf": "what is done at present, which follows the load",
        "measured_perf": "until a worker was idle once it is dlperf and no measurement",
        "dlperf": "of the machine: vastai_instance_dlperf has it",
        "reliability": "of the machine: vastai_instance_reliability_ratio has it",
        "disk_usage": "of the instance: vastai_instance_disk_usage_bytes has it",
        "loaded_at": "no question of an operator",
        "started_at": "of the instance: vastai_instance_start_timestamp_seconds has it",
    },
    opens="offers, and serverless endpoints and worker groups, **to create, change and delete them too**",
    assumptions=assumptions.ASSUMPTIONS,
)
