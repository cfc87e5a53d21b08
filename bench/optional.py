"""The current samples of collectors that are off by default: notifications, backups and serverless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.collectors import inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400.0
#: Serverless endpoints per account, and workers per endpoint.
ENDPOINTS, WORKERS = 5, 10
#: One in this many instances has a backup.
BACKUPS = 1_000


def lines(instances: int, accounts: int, now: float) -> Iterator[str]:
    """Yield all samples."""
    yield from _inbox(instances, accounts, now)
    yield from _workers(instances, accounts)
    for number in range(accounts * ENDPOINTS):
        yield from (f"{name} 1\n" for name in of_endpoint(number, accounts))


def instance(number: int, accounts: int) -> str:
    """Return the labels that identify an instance."""
    return f'account="account-{number % accounts}",instance_id="{40_000_000 + number}"'


def endpoint(number: int, accounts: int) -> str:
    """Return the labels that identify an endpoint."""
    return f'account="account-{number % accounts}",endpoint_id="{number}"'


def of_endpoint(number: int, accounts: int) -> Iterator[str]:
    """Yield the series of an endpoint."""
    own = endpoint(number, accounts)
    for name in ("load", "perf", "requests_working", "max_workers", "min_load", "cold_workers"):
        yield f"vastai_endpoint_{name}{{{own}}}"
    for status in ("idle", "running", "loading", "model_loading", "stopped", "error"):
        yield f'vastai_endpoint_workers{{{own},status="{status}"}}'
    yield f'vastai_endpoint_info{{{own},endpoint_name="endpoint-{number}",state="active"}}'


def _workers(instances: int, accounts: int) -> Iterator[str]:
    """Yield which instances are workers: the first ones of each account."""
    for number in range(min(instances, accounts * ENDPOINTS * WORKERS)):
        of = endpoint(number // accounts // WORKERS * accounts + number % accounts, accounts)
        yield f'vastai_endpoint_instance{{{of},instance_id="{40_000_000 + number}"}} 1\n'


def _inbox(instances: int, accounts: int, now: float) -> Iterator[str]:
    """Yield the maximum number of shown notifications, all of them outbids with both bids."""
    for account in range(accounts):
        for name in (*inbox.TYPES, inbox.OTHER):
            yield f'vastai_notifications_total{{account="account-{account}",type="{name}"}} 1\n'
    for number in range(min(instances, accounts * inbox.MOST_SHOWN)):
        own = instance(number, accounts)
        told = now - DAY / 2 + number
        yield f'vastai_instance_notification_timestamp_seconds{{{own},type="outbid"}} {told}\n'
        for whose in ("own", "new"):
            yield f"vastai_instance_outbid_{whose}_bid_dollars_per_hour{{{own}}} 0.3\n"
    for number in range(0, instances, BACKUPS):
        own = instance(number, accounts)
        yield f"vastai_backup_created_timestamp_seconds{{{own}}} {now - 2 * DAY}\n"
