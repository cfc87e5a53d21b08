"""Collect backups that Vast.ai makes of instances and volumes, for example before it removes a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors import paged
from exporter.collectors.assumptions import backups as assumptions
from exporter.collectors.base import Collector, Progress, Run, fields_of
from exporter.metrics.fields import NumberField, Record, TextField, text_field
from exporter.metrics.rows import Row
from exporter.metrics.values import status
from exporter.vast.endpoints import Endpoint
from exporter.vast.pages import Listing, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator

#: One reply lists the backups of all contracts; the parameter contract_id would select one contract.
ENDPOINT = Endpoint("/api/v0/instance_backups/", 1.0, documented=False)
IDENTITY = ("account", "backup_id")
#: Plausible range of times, in epoch seconds.
CREATED = NumberField(name="created_at", least=1e9, most=1e11)
CONTRACT = text_field("contract_id")
STATUS = TextField(name="status", read=status)

CREATED_AT: Row[Record] = Row(
    name="vastai_backup_created_timestamp_seconds",
    help="Time at which Vast.ai began the backup of an instance or a volume (API fields created_at,"
    " contract_id, status).",
    labels=(*IDENTITY, "instance_id", "status"),
    notes="instance_id is contract_id, which may also be a volume's; status is pending, success or error; a"
    " backup outlives its instance; valid from 1e+09 to 1e+11",
    fields=(CREATED, CONTRACT, STATUS),
    value=lambda backup: backup.number(CREATED),
    label_values=lambda backup: (backup.text(CONTRACT), backup.text(STATUS)),
)
ROWS = (CREATED_AT,)
LISTING = Listing(endpoint=ENDPOINT, rows="backups", key=id_of, params={})
OBJECTS = paged.Objects(
    identity=IDENTITY, fields=fields_of(ROWS), rows=ROWS, complete=paged.as_read, item=paged.nothing
)


def collect(run: Run) -> Iterator[Progress]:
    """Request all backups; see `exporter.collectors.base.Collect`."""
    return paged.collect(run, LISTING, OBJECTS)


COLLECTOR = Collector(
    name="backups",
    title="Backups",
    about="backups that Vast.ai makes of instances, for example before it removes a machine",
    permission="",
    endpoints=(ENDPOINT,),
    objects="backups",
    interval=3600.0,
    stale_after=10_800.0,
    collect=collect,
    undocumented=True,
    rows=ROWS,
    further_fields=("id",),
    not_exported={
        "type": "redundant: whether the contract is an instance's is told by vastai_instance_info",
        "machine_id": "redundant: vastai_instance_info has it",
        "info": "sensitive: free text, with names of buckets in it",
    },
    assumptions=assumptions.ASSUMPTIONS,
)
