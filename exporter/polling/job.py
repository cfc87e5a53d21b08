"""What a loop has to do: one collector of one account, as configured."""

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

#: The account of what belongs to none: the market.
NO_ACCOUNT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a loop has to do.

    Attributes:
        account: the account's name; `NO_ACCOUNT` for the market.
        key: where its key comes from.
        filters: `select_filters` of the account.
        urls: base URL of each of the API's hosts that it asks.
        collector: what is collected.
        settings: of the collector.

    """

    account: str
    key: Key
    filters: Mapping[str, Any]
    urls: Mapping[Host, str]
    collector: Collector
    settings: CollectorSettings

    @property
    def id(self) -> tuple[str, str]:
        """What identifies it among the jobs of a configuration: account and collector."""
        return self.account, self.collector.name

    def asks_the_same(self, other: Job) -> bool:
        """Return whether what is known stays true for `other`.

        It may differ in when it asks, in whether it asks for addresses too, and in which groups it shows.
        """
        ours = {name: getattr(self.settings, name) for name in self.settings.CHANGE_NO_REQUEST}
        same_name = other.collector.name == self.collector.name
        other = replace(other, settings=other.settings.model_copy(update=ours), collector=self.collector)
        return same_name and other == self


def urls_of(api: Api) -> dict[Host, str]:
    """Return the base URL of each of the API's hosts.

    As in the vendor's client, a host of one's own is the only one: the key goes to no other unless told to.
    """
    own = api.url != type(api).model_fields["url"].default and "run_url" not in api.model_fields_set
    return {"api": api.url, "run": api.url if own else api.run_url}


def jobs(loaded: Loaded, collectors: Iterable[Collector], intervals: Mapping[str, float]) -> tuple[Job, ...]:
    """Return what has to be collected, account by account, and then the market.

    Args:
        loaded: the configuration.
        collectors: all that there are.
        intervals: seconds between runs, by collector, instead of the configured ones.

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
