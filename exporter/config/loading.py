"""Load one valid configuration from file, environment and flags, or report all mistakes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporter.config.mistakes import ConfigError, Mistakes
from exporter.config.shards import owner
from exporter.config.yaml_file import read_yaml
from exporter.vast.errors import AuthError
from exporter.vast.keys import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.config.mistakes import Location
    from exporter.config.models import Account, Config

#: Settings that have a flag: path of the key in the file, and the flag.
FLAGS = {
    "web.listen_address": "--web.listen-address",
    "web.telemetry_path": "--web.telemetry-path",
    "web.config_file": "--web.config.file",
    "log.level": "--log.level",
    "log.format": "--log.format",
}
#: Columns whose values the API writes with spaces and the vendor's client with underscores.
SPELT_WITH_BLANKS = frozenset({"gpu_name", "cpu_name"})
#: Fields of an account that do not contain its key.
NO_KEYS = frozenset({("name",), ("select_filters",), ("budget",), ("label_budgets",)})
#: Name of the account whose key comes from the environment or the vendor's key file.
DEFAULT_ACCOUNT = "default"


def _may_be_a_key(location: Location) -> bool:
    return location[:1] == ("accounts",) and location[2:3] not in NO_KEYS


@dataclass(frozen=True, slots=True)
class Shard:
    """The shard of this exporter: shard `index` of `total`."""

    index: int = 0
    total: int = 1

    def holds(self, account: str) -> bool:
        """Return whether an account belongs to this shard."""
        return owner(account, self.total) == self.index


ONLY_SHARD = Shard()


@dataclass(frozen=True, slots=True)
class AccountKey:
    """An account with its key, instance filters and budgets.

    Attributes:
        budget: dollars per month, or None.
        label_budgets: dollars per month by user label.

    """

    name: str
    key: Key
    select_filters: Mapping[str, Any]
    budget: float | None = None
    label_budgets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration.

    Attributes:
        config: the configuration with all defaults filled in.
        accounts: all accounts of this shard.
        notes: hints for the operator, one sentence each.
        without_key: a line for each account whose key cannot be read now, while another account has one. Such
            an account fails alone until its key is available.

    """

    config: Config
    accounts: tuple[AccountKey, ...]
    notes: tuple[str, ...] = ()
    without_key: tuple[str, ...] = ()


def load(
    model: type[Config],
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, str | None],
    shard: Shard = ONLY_SHARD,
) -> Loaded:
    """Read and check everything; flags override the environment, which overrides the file.

    Args:
        model: model of the configuration, including its collectors.
        path: config.yaml, or None for no file.
        environ: the environment.
        flags: values by path of a key (`FLAGS`); None for a flag that was not given.
        shard: the shard whose accounts to load; keys of other accounts are not read.

    Raises:
        ConfigError: the configuration is invalid.

    """
    config = load_config(model, path, environ, flags)
    if config.accounts:
        ignored = [name for name in ("VAST_API_KEY", "VAST_API_KEY_FILE") if environ.get(name)]
        notes = [f"{name} is ignored: the accounts of {path} are used" for name in ignored]
        notes += _odd_filters(config.accounts, path, shard)
        accounts, without_key = _accounts(config.accounts, path, environ, shard)
        return Loaded(config, accounts, tuple(notes), without_key)
    return Loaded(config, (_default_account(path, environ),) if shard.holds(DEFAULT_ACCOUNT) else ())


def load_config(
    model: type[Config], path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str | None]
) -> Config:
    """Read and check everything but the keys; see `load`."""
    settings = read_yaml(path, model.model_fields) if path is not None else {}
    origins = {key: FLAGS[key] for key, value in flags.items() if value is not None}
    for key, value in flags.items():
        if value is not None:
            _put(settings, key, value)
    if environ.get("VAST_URL"):
        origins["api.url"] = "VAST_URL"
        _put(settings, "api.url", environ["VAST_URL"])

    def place(key: str) -> str:
        return origins.get(key) or ": ".join(filter(None, (str(path or "configuration"), key)))

    try:
        config = model.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(Mistakes(model, secret=_may_be_a_key).lines(error, place)) from None
    if config.web.config_file is None or path is None or "web.config_file" in origins:
        return config
    beside = config.web.model_copy(update={"config_file": path.parent / config.web.config_file})
    return config.model_copy(update={"web": beside})


def _put(settings: dict[str, Any], key: str, value: str) -> None:
    section, _, name = key.partition(".")
    if settings.get(section) is None:
        settings[section] = {}
    if isinstance(settings[section], dict):
        settings[section][name] = value


def _accounts(
    accounts: Iterable[Account], source: Path | None, environ: Mapping[str, str], shard: Shard
) -> tuple[tuple[AccountKey, ...], tuple[str, ...]]:
    """Return the accounts of this shard, and a line for each whose external key is missing now.

    Raises:
        ConfigError: no account has a key, or a key in the configuration is malformed.

    """
    found: list[AccountKey] = []
    lines: list[str] = []
    are_mistakes = False
    folder = source.parent if source is not None else Path()
    for index, account in enumerate(accounts):
        if not shard.holds(account.name):
            continue
        field, key = _key(account, folder, environ)
        found.append(
            AccountKey(account.name, key, account.select_filters, account.budget, account.label_budgets)
        )
        try:
            key.read()
        except AuthError as error:
            lines.append(f"{source}: accounts[{index}].{field}: {error}")
            are_mistakes |= account.api_key is not None
    if are_mistakes or (found and len(lines) == len(found)):
        raise ConfigError(lines)
    return tuple(found), tuple(lines)


def _odd_filters(accounts: Iterable[Account], source: Path | None, shard: Shard) -> Iterator[str]:
    """Yield a hint for each filter value in the spelling of the vendor's client: RTX_4090."""
    for index, account in enumerate(accounts):
        if not shard.holds(account.name):
            continue
        for column in SPELT_WITH_BLANKS & account.select_filters.keys():
            for operand in account.select_filters[column].values():
                for value in operand if isinstance(operand, list) else [operand]:
                    if isinstance(value, str) and "_" in value:
                        place = f"{source}: accounts[{index}].select_filters: {column}: {value!r}"
                        yield f"{place}: matches nothing; the API writes {value.replace('_', ' ')!r}"


def _key(account: Account, folder: Path, environ: Mapping[str, str]) -> tuple[str, Key]:
    """Return the field that specifies an account's key, and the key."""
    if account.api_key is not None:
        return "api_key", Key(value=account.api_key.get_secret_value())
    if account.api_key_file is not None:
        return "api_key_file", Key(path=folder / account.api_key_file)
    variable = account.api_key_env or ""
    return "api_key_env", Key(value=environ.get(variable, ""), origin=f"the environment variable {variable}")


def _default_account(path: Path | None, environ: Mapping[str, str]) -> AccountKey:
    """Return the account of a configuration without accounts, found like the vendor's client does."""
    value, file = environ.get("VAST_API_KEY"), environ.get("VAST_API_KEY_FILE")
    if value and file:
        raise ConfigError(["VAST_API_KEY and VAST_API_KEY_FILE: both are set; only one is allowed"])
    vendor = Path(
        environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/", ".config"), "vastai/vast_api_key"
    )
    if value:
        origin, key = "VAST_API_KEY", Key(value=value)
    elif file:
        origin, key = "VAST_API_KEY_FILE", Key(path=Path(file))
    elif os.access(vendor, os.F_OK):  # Path.exists raises in another user's home
        origin, key = str(vendor), Key(path=vendor)
    else:
        missing = f"no account: expected accounts in a file, VAST_API_KEY, VAST_API_KEY_FILE or {vendor}"
        raise ConfigError([missing if path is None else f"{path}: {missing}"])
    try:
        key.read()
    except AuthError as error:
        raise ConfigError([f"{origin}: {error}"]) from None
    return AccountKey(DEFAULT_ACCOUNT, key, {})
