"""Where a running instance can be reached: read only while discovery is on, and never shown on /metrics."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from exporter.collectors.instance_record import DESCRIPTION
from exporter.metrics.fields import TextField
from exporter.metrics.values import UnreadableError, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.collectors.instance_record import Instance
    from exporter.metrics.fields import Problems

LAST_PORT = 65535


class Target(NamedTuple):
    """What discovery needs of one instance.

    Attributes:
        address: of its machine, as the internet sees it; "" where it can't be reached.
        ports: TCP ports inside of the container, each with the machine's port that leads to it.
        image: that it runs.
        template: that it was started from.
        machine_id: number of the machine.
        geolocation: of the machine.
        rental: how it is rented.

    """

    address: str
    ports: tuple[tuple[int, int], ...]
    image: str = ""
    template: str = ""
    machine_id: str = ""
    geolocation: str = ""
    rental: str = ""


#: Of an instance that can't be reached now: it does not run, or exposes nothing.
UNREACHABLE = Target("", ())


def address(value: object) -> str | None:
    """Return an IP address as it is usually written; a blank text is as good as null.

    Raises:
        UnreadableError: it is none, or none of one machine.

    """
    if not isinstance(value, str):
        raise UnreadableError
    if not value.strip():
        return None
    try:
        found = ip_address(value.strip())
    except ValueError:
        raise UnreadableError from None
    # 0.0.0.0 is whoever asks, and a zone (fe80::1%eth0) is one of theirs.
    if found.is_unspecified or found.is_multicast or "%" in str(found):
        raise UnreadableError
    return str(found)


def ports_as_text(value: object) -> str | None:
    """Return the exposed TCP ports as text, such as `8000=40022 22=40001`; what is odd is left out."""
    pairs, _ = _port_pairs(value)
    return " ".join(f"{inner}={outer}" for inner, outer in pairs.items()) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortsField(TextField):
    """The field that holds Docker's port mappings; each odd one is counted, and the others hold."""

    read: Callable[[object], str | None] = ports_as_text

    def value(self, sent: object, problems: Problems) -> str | None:
        """Return the exposed TCP ports as text."""
        problems.unreadable[self.name] += _port_pairs(sent)[1]
        return self.read(sent)


PUBLIC_IPADDR = TextField(name="public_ipaddr", read=address)
PORTS = PortsField(name="ports")
#: What is asked for beside the fields of metrics while discovery is on.
TARGET_FIELDS = (PUBLIC_IPADDR, PORTS)


def target_of(instance: Instance) -> Target:
    """Return where an instance can be reached."""
    where, ports = instance.text(PUBLIC_IPADDR), instance.text(PORTS)
    if not instance.is_running or not where or not ports:
        return UNREACHABLE
    pairs = (pair.partition("=") for pair in ports.split(" "))
    return Target(
        address=where,
        ports=tuple((int(inner), int(outer)) for inner, _, outer in pairs),
        image=instance.text(DESCRIPTION["image"]),
        template=instance.text(DESCRIPTION["template"]),
        machine_id=instance.text(DESCRIPTION["machine_id"]),
        geolocation=instance.text(DESCRIPTION["geolocation"]),
        rental=instance.rental(),
    )


def _port_pairs(value: object) -> tuple[dict[int, int], int]:
    """Return the machine's port by port of the container, for TCP, and how many entries were odd.

    Docker writes `{"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40022"}]}`, with null for a port that is
    not published, and one more mapping of the same port for IPv6. The first that can be read counts.
    """
    if not isinstance(value, dict):
        return {}, 1
    found: dict[int, int] = {}
    odd = 0
    for name, mappings in value.items():
        inner, _, protocol = name.partition("/")
        if protocol not in {"tcp", ""}:
            continue  # nothing that Prometheus can scrape
        try:
            container_port = _port(inner)
            if host_port := _first_host_port(mappings):
                found[container_port] = host_port
        except UnreadableError:
            odd += 1
    return found, odd


def _first_host_port(mappings: object) -> int | None:
    """Return the first port that can be read; None for a port that is not published."""
    if not mappings and isinstance(mappings, list | None):
        return None
    for mapping in mappings if isinstance(mappings, list) else ():
        try:
            return _port(mapping.get("HostPort") if isinstance(mapping, dict) else None)
        except UnreadableError:
            continue
    raise UnreadableError


def _port(value: object) -> int:
    read = number(value)
    if read != int(read) or not 1 <= read <= LAST_PORT:
        raise UnreadableError
    return int(read)
