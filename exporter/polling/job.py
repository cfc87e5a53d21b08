"""Define the job of a loop: one collector of one account, as configured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.collectors import Collector
    from exporter.config.loading import AccountKey, Loaded
    from exporter.config.models import Api, CollectorSettings
    from exporter.vast.endpoints import Host
    from exporter.vast.keys import Key

#: Account name for the market, which belongs to no account.
NO_ACCOUNT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One collector of one account, as configured.

    Attributes:
        account: account name; `NO_ACCOUNT` for the market.
        key: source of the API key.
        filters: the account's `select_filters`.
        urls: base URL of each API host.
        collector: the collector.
        settings: the collector's configuration.

    """

    account: str
    key: Key
    filters: Mapping[str, Any]
    urls: Mapping[Host, str]
    collector: Collector
    settings: CollectorSettings

    @property
    def id(self) -> tuple[str, str]:
        """Unique id within a configuration: account and collector."""
        return self.account, self.collector.name

    def asks_the_same(self, other: Job) -> bool:
        """Return whether existing data stays valid for `other`.

        The jobs may differ in their schedule, in whether they request addresses, and in the groups that they
        show.
        """
        ours = {name: getattr(self.settings, name) for name in self.settings.CHANGE_NO_REQUEST}
        same_name = other.collector.name == self.collector.name
        other = replace(other, settings=other.settings.model_copy(update=ours), collector=self.collector)
        return same_name and other == self


def urls_of(api: Api) -> dict[Host, str]:
    """Return the base URL of each API host.

    As in the vendor's client, a custom host serves everything: the key goes to no other host unless
    configured.
    """
    own = api.url != type(api).model_fields["url"].default and "run_url" not in api.model_fields_set
    return {"api": api.url, "run": api.url if own else api.run_url}


def jobs(loaded: Loaded, collectors: Iterable[Collector], intervals: Mapping[str, float]) -> tuple[Job, ...]:
    """Return all jobs: account by account, then the market.

    Args:
        loaded: the configuration.
        collectors: all collectors.
        intervals: seconds between runs by collector, instead of the configured ones.

    """
    found: list[Job] = []
    urls = urls_of(loaded.config.api)
    if loaded.config.discovery.enabled:
        collectors = [each.addressed or each for each in collectors]
    enabled = [(each, loaded.config.collectors.named(each.name)) for each in collectors]
    enabled = [(each, settings) for each, settings in enabled if settings.enabled]

    def add(name: str, account: AccountKey, collector: Collector, settings: CollectorSettings) -> None:
        interval = intervals.get(collector.name, settings.interval)
        found.append(
            Job(
                account=name,
                key=account.key,
                filters=account.select_filters,
                urls={endpoint.host: urls[endpoint.host] for endpoint in collector.endpoints},
                collector=collector,
                settings=settings.model_copy(update={"interval": interval}),
            )
        )

    for account in loaded.accounts:
        for collector, settings in enabled:
            if collector.scope == "account":
                add(account.name, account, collector, settings)
    for collector, settings in enabled:
        if collector.scope == "market" and loaded.accounts:
            add(NO_ACCOUNT, loaded.accounts[0], collector, settings)
    return tuple(found)
