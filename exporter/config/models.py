"""Define the models of config.yaml: every key with its type, default, unit and meaning.

config.example.yaml and docs/configuration.md are generated from them.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    create_model,
    model_validator,
)

from exporter.config.durations import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Default port; the port range registered for exporters is full.
PORT = 10622
#: Paths used by the web server itself.
RESERVED_PATHS = ("/", "/-/healthy", "/-/ready", "/-/reload", "/healthz", "/readyz", "/sd/instances")

#: Operators that the API accepts in select_filters.
OPERATORS = ("eq", "neq", "gt", "gte", "lt", "lte", "in", "notin")
#: Maximum duration in seconds: above any sensible wait, below Python's limit.
LONGEST_DURATION = 365 * 86400.0
#: Maximum integer in select_filters; JSON parsers differ above it.
LARGEST_NUMBER = 2**53

#: Maximum budget in dollars per month.
MOST_DOLLARS = 1_000_000_000
#: Maximum bytes of a user label in UTF-8, where metrics truncate it (`exporter.metrics.values.LONGEST_TEXT`).
LONGEST_LABEL = 500

_NAME = "[A-Za-z0-9_-]{1,63}"
_ADDRESS = re.compile(
    rf"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>(?:{_NAME}(?:\.{_NAME})*)?)):(?P<port>[0-9]{{1,5}})"
)


def _duration(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError("a duration such as 500ms, 90s, 5m or 1h30m")
    seconds = parse_duration(value)
    if seconds > LONGEST_DURATION:
        raise ValueError("at most 1y")
    return seconds


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError("at least 1s")
    return seconds


def _above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("a duration above 0s")
    return seconds


def _url(value: str) -> str:
    parts = _web_address(value, "https://console.vast.ai")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("a URL without user, password, query or fragment")
    return value.rstrip("/")


def _link(value: str) -> str:
    # Grafana's addresses come with a query, such as ?orgId=1.
    parts = _web_address(value, "https://grafana.example/dashboards")
    if parts.username or parts.password:
        raise ValueError("a URL without user or password")
    return value


def _web_address(value: str, example: str) -> SplitResult:
    expected = f"a URL such as {example}"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        raise ValueError(expected) from None
    if not usable or not value.isprintable() or " " in value:
        raise ValueError(expected)
    return parts


def _listen_address(value: str) -> str:
    split_address(value)
    return value


def _telemetry_path(value: str) -> str:
    # Clients resolve "." and ".." before a request, so they would request another path.
    dots = {".", ".."} & set(value.split("/"))
    if dots or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value) or value in RESERVED_PATHS:
        raise ValueError(f"a path such as /metrics, other than {', '.join(RESERVED_PATHS)}")
    return value


def _filters(value: dict[str, Any]) -> dict[str, Any]:
    for column, conditions in value.items():
        if not isinstance(conditions, dict) or not conditions:
            raise ValueError(f"an operator and a value for {column!r}, such as {{in: [RTX 4090]}}")
        for operator, operand in conditions.items():
            if operator not in OPERATORS:
                raise ValueError(f"one of {', '.join(OPERATORS)} for {column!r}, not {operator!r}")
            if isinstance(operand, list) != (operator in {"in", "notin"}):
                raise ValueError(f"a list with in and notin, one value with the others, for {column!r}")
            for scalar in operand if isinstance(operand, list) else [operand]:
                if not _is_scalar(scalar):
                    raise ValueError(f"texts, numbers, true, false or null as values for {column!r}")
    return value


def _is_scalar(value: object) -> bool:
    if isinstance(value, int | float):
        return abs(value) <= LARGEST_NUMBER  # false for NaN
    return value is None or isinstance(value, str)


def _dollars(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_DOLLARS:
        raise ValueError(f"dollars, above 0 and up to {MOST_DOLLARS:,}")
    return float(value)


def _labels(value: dict[str, float]) -> dict[str, float]:
    for label in value:
        if len(label.encode(errors="replace")) > LONGEST_LABEL:
            raise ValueError(f"labels of at most {LONGEST_LABEL} bytes, as metrics have them")
    return value


def _file_path(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("the path of a file")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", value):
        raise ValueError("the name of an environment variable, such as RESEARCH_KEY")
    return value


def _container_port(value: object) -> int:
    number = value.removesuffix("/tcp") if isinstance(value, str) else value
    if isinstance(number, str) and re.fullmatch("[0-9]{1,5}", number):
        number = int(number)
    if type(number) is not int or not 1 <= number <= 65535:  # noqa: PLR2004
        raise ValueError("a TCP port such as 8000/tcp or 8000")
    return number


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of an address such as `:10622`, `127.0.0.1:10622` or `[::1]:10622`.

    Raises:
        ValueError: it is not an address.

    """
    found = _ADDRESS.fullmatch(address)
    if not found or int(found["port"]) > 65535 or not _is_ipv6(found["v6"] or "::"):  # noqa: PLR2004
        raise ValueError("an address such as :10622, 127.0.0.1:10622 or [::1]:10622")
    return found["v6"] or found["host"] or "", int(found["port"])


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _written(pattern: str) -> WithJsonSchema:
    """Return how a value is written in the file, for the chart's schema."""
    return WithJsonSchema({"type": "string", "pattern": pattern})


#: Marks a number of seconds that is written as a duration.
DURATION = BeforeValidator(_duration)
Duration = Annotated[float, DURATION, _written("^(0|([0-9]+(ms|s|m|h|d|w|y))+)$")]
Interval = Annotated[
    Duration,
    AfterValidator(_at_least_a_second),
    _written("^(([0-9]+(s|m|h|d|w|y))+([0-9]+ms)?|[0-9]{4,}ms)$"),
]
Timeout = Annotated[Duration, AfterValidator(_above_zero)]
Url = Annotated[str, AfterValidator(_url), _written("^https?://")]
Link = Annotated[str, AfterValidator(_link), _written("^https?://")]
AccountName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,64}$")]
Filters = Annotated[dict[str, Any], AfterValidator(_filters)]
Dollars = Annotated[
    float, BeforeValidator(_dollars), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]
LabelDollars = Annotated[dict[str, Dollars], AfterValidator(_labels)]
FilePath = Annotated[Path, Field(strict=False), BeforeValidator(_file_path)]
ContainerPort = Annotated[
    int,
    BeforeValidator(_container_port),
    WithJsonSchema({"type": ["string", "integer"], "pattern": "^[0-9]{1,5}(/tcp)?$"}),
]
Variable = Annotated[str, AfterValidator(_variable)]


class Model(BaseModel):
    """Base of all configuration models: rejects unknown keys and converts no types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _a_key_without_value_is_not_given(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {
            key: value for key, value in values.items() if value is not None or key not in cls.model_fields
        }


class Api(Model):
    """How the exporter queries the Vast.ai API."""

    url: Url = Field("https://console.vast.ai", description="base URL of the API; VAST_URL overrides it")
    run_url: Url = Field(
        "https://run.vast.ai",
        description="base URL for the workers of serverless endpoints. If only url is set, it serves these"
        " too. The exporter sends the key to these two hosts only",
    )
    timeout: Timeout = Field(
        30.0, description="timeout of a request, from its start to the last byte of the reply"
    )
    min_interval: Duration | None = Field(
        None,
        description="minimum time between two requests to an endpoint with the same key. If not set, the"
        " threshold that Vast.ai documents for the endpoint (1 s for instances) plus 10 %",
        examples=["1100ms"],
    )


class Account(Model):
    """A Vast.ai account; a team counts as one. Set exactly one of the api_key keys."""

    name: AccountName = Field(description="value of the label account", examples=["research"])
    api_key: SecretStr | None = Field(
        None, description="the API key itself; prefer a file", examples=["0123456789abcdef"]
    )
    api_key_file: FilePath | None = Field(
        None,
        description="file that contains only the API key; reread when it changes",
        examples=["/run/secrets/research"],
    )
    api_key_env: Variable | None = Field(
        None,
        description="name of an environment variable that contains the API key",
        examples=["RESEARCH_KEY"],
    )
    select_filters: Filters = Field(
        default_factory=dict,
        description="instances to read, as a filter of the API: column, operator (eq neq gt gte lt lte in"
        " notin) and value",
        examples=[{"gpu_name": {"in": ["RTX 4090"]}}],
    )
    budget: Dollars | None = Field(
        None,
        description="monthly budget of the account in dollars; the exporter only exposes it and stops"
        " nothing",
        examples=[2000],
    )
    label_budgets: LabelDollars = Field(
        default_factory=dict,
        description="monthly budgets in dollars by user label; the empty label stands for instances without"
        " one",
        examples=[{"train": 500}],
    )

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        given = [
            name for name in ("api_key", "api_key_file", "api_key_env") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            found = " and ".join(given) or "no key"
            raise ValueError(f"{found}: exactly one of api_key, api_key_file, api_key_env is allowed")
        return self


class CollectorSettings(Model):
    """When a collector runs, and how long its data is exposed.

    A collector declares its defaults (`config_model`) and may have further settings.
    """

    #: Settings that change only the schedule or the exposition, not the requests.
    CHANGE_NO_REQUEST: ClassVar[frozenset[str]] = frozenset({"interval", "stale_after"})

    enabled: bool = Field(default=False, description="whether the collector runs")
    interval: Interval = Field(
        60.0, description="time from the start of one run to the start of the next; at least 1s"
    )
    stale_after: Duration = Field(
        300.0,
        description="age at which data that the API no longer confirms leaves /metrics; not below interval",
    )

    @model_validator(mode="after")
    def _stale_after_interval(self) -> Self:
        if self.stale_after < self.interval:
            raise ValueError(
                f"stale_after {format_duration(self.stale_after)}: not below interval,"
                f" which is {format_duration(self.interval)}"
            )
        return self

    def shows(self, group: str) -> bool:  # noqa: ARG002 - for subclasses with groups
        """Return whether a group of its metrics is enabled."""
        return True


class GroupedSettings(CollectorSettings):
    """Settings of a collector whose metrics form several groups, according to its declaration."""

    CHANGE_NO_REQUEST: ClassVar[frozenset[str]] = CollectorSettings.CHANGE_NO_REQUEST | {"groups"}

    groups: tuple[str, ...] = Field(
        (),
        description="groups of metrics to keep and expose; all others are dropped. docs/metrics.md lists what"
        " is in each group and which alerts need it",
    )

    def shows(self, group: str) -> bool:
        """Return whether a group of its metrics is enabled; without a list, all groups are."""
        return not self.groups or group in self.groups


class Collectors(Model):
    """What the exporter reads from the API."""

    def named(self, name: str) -> CollectorSettings:
        """Return the settings of one collector."""
        settings = getattr(self, name)
        if not isinstance(settings, CollectorSettings):
            raise TypeError(f"{name} is no collector")
        return settings

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not any(settings.enabled for _, settings in self):
            raise ValueError("all disabled; expected at least one enabled collector")
        return self


class DeclaredCollector(Protocol):
    """The part of a collector's declaration that the configuration uses; see `exporter.collectors.base`."""

    @property
    def name(self) -> str:
        """Its key in the configuration."""

    @property
    def about(self) -> str:
        """What it collects."""

    @property
    def enabled(self) -> bool:
        """Whether it is on by default."""

    @property
    def interval(self) -> float:
        """Default interval in seconds."""

    @property
    def stale_after(self) -> float:
        """Default stale_after in seconds."""

    @property
    def settings(self) -> type[CollectorSettings]:
        """Model of its settings."""

    @property
    def groups(self) -> Mapping[str, str]:
        """Subject of each group, if its metrics have more than one."""


def config_model(declared: Iterable[DeclaredCollector]) -> type[Config]:
    """Return the model of a configuration with these collectors."""
    fields: dict[str, Any] = {}
    for collector in declared:
        model = _settings_model(collector)
        fields[collector.name] = (model, Field(default_factory=model, description=collector.about))
    collectors = create_model("Collectors", __base__=Collectors, __doc__=Collectors.__doc__, **fields)
    return create_model("Config", __base__=Config, collectors=(collectors, Field(default_factory=collectors)))


def _settings_model(collector: DeclaredCollector) -> type[CollectorSettings]:
    base = collector.settings
    usual: dict[str, tuple[Any, bool | float]] = {
        "enabled": (bool, collector.enabled),
        "interval": (Interval, collector.interval),
        "stale_after": (Duration, collector.stale_after),
    }
    fields: dict[str, Any] = {
        name: (annotation, Field(default, description=base.model_fields[name].description))
        for name, (annotation, default) in usual.items()
    }
    if collector.groups:
        fields["groups"] = _some_of(tuple(collector.groups), base.model_fields["groups"].description)
    name = "".join(word.title() for word in collector.name.split("_"))
    return create_model(f"{name}Settings", __base__=base, __doc__=base.__doc__, **fields)


def _some_of(names: tuple[str, ...], description: str | None) -> tuple[Any, Any]:
    """Return a field for a non-empty list of the names, which defaults to all of them."""
    literal: Any = Literal

    def one_at_least(given: tuple[str, ...]) -> tuple[str, ...]:
        if not given:
            raise ValueError(f"at least one of {', '.join(names)}")
        return given

    annotation = Annotated[tuple[literal[names], ...], AfterValidator(one_at_least)]
    return annotation, Field(names, strict=False, description=description)


class Limits(Model):
    """Limits on the number of series and of searches."""

    labels: Annotated[int, Field(ge=1, le=100_000)] = Field(
        200,
        description="maximum number of user labels per account, for example in vastai_label_instances; the"
        " smallest above it are counted together as _other",
    )
    market: Annotated[int, Field(ge=1, le=100)] = Field(
        20,
        description="maximum number of combinations of GPU model, number of GPUs and rental type that the"
        " collector market searches for, the most expensive first; each takes one search per run",
    )


class Discovery(Model):
    """HTTP service discovery at `/sd/instances`. Addresses are read only while this is enabled."""

    enabled: bool = Field(default=False, description="whether targets are served")
    ports: tuple[ContainerPort, ...] = Field(
        (),
        strict=False,
        description="container ports that become targets. If empty, all exposed TCP ports",
        examples=[["8000/tcp"]],
    )
    labels: tuple[str, ...] = Field(
        (),
        strict=False,
        description='user labels whose instances become targets, "" for no label. If empty, all instances',
        examples=[["serving"]],
    )


class Web(Model):
    """The web server. Changes require a restart."""

    listen_address: Annotated[str, AfterValidator(_listen_address)] = Field(
        f":{PORT}", description="host and port to listen on; without a host, all addresses of the machine"
    )
    telemetry_path: Annotated[str, AfterValidator(_telemetry_path)] = Field(
        "/metrics", description="path under which metrics are exposed"
    )
    config_file: FilePath | None = Field(
        None,
        description="web configuration file: TLS and users, in the exporter-toolkit format",
        examples=["web.yml"],
    )
    dashboards_url: Link | None = Field(
        None,
        description="address of the dashboards in Grafana, for the link on the landing page",
        examples=["https://grafana.example/dashboards"],
    )


class Log(Model):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warn", "error"] = Field("info", description="debug, info, warn or error")
    format: Literal["logfmt", "json"] = Field("logfmt", description="logfmt or json")


class Config(Model):
    """The whole configuration; `config_model` adds the collectors."""

    api: Api = Field(default_factory=Api)
    accounts: tuple[Account, ...] = Field(
        (),
        strict=False,
        description="Without accounts, the exporter uses the key from VAST_API_KEY, VAST_API_KEY_FILE or"
        " the key file of the Vast.ai CLI",
    )
    collectors: Collectors
    discovery: Discovery = Field(default_factory=Discovery)
    limits: Limits = Field(default_factory=Limits)
    web: Web = Field(default_factory=Web)
    log: Log = Field(default_factory=Log)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [account.name for account in self.accounts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"accounts: the name {twice[0]!r} is used twice; each account needs its own")
        return self
