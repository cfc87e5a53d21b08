"""Determine where a running instance can be scraped; only with discovery, and never shown on /metrics."""

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
    """The part of an instance that discovery needs.

    Attributes:
        address: public address of its machine; "" if it is unreachable.
        ports: pairs of a TCP port in the container and the machine's port mapped to it.
        image: container image.
        template: template name.
        machine_id: machine id.
        geolocation: location of the machine.
        rental: rental type.

    """

    address: str
    ports: tuple[tuple[int, int], ...]
    image: str = ""
    template: str = ""
    machine_id: str = ""
    geolocation: str = ""
    rental: str = ""


#: Target of an instance that is not running or exposes no port.
UNREACHABLE = Target("", ())


def address(value: object) -> str | None:
    """Return an IP address in its canonical form; a blank text is equivalent to null.

    Raises:
        UnreadableError: it is not the IP address of a single machine.

    """
    if not isinstance(value, str):
        raise UnreadableError
    if not value.strip():
        return None
    try:
        found = ip_address(value.strip())
    except ValueError:
        raise UnreadableError from None
    # 0.0.0.0 would be the client itself, and a zone (fe80::1%eth0) is local to the client.
    if found.is_unspecified or found.is_multicast or "%" in str(found):
        raise UnreadableError
    return str(found)


def ports_as_text(value: object) -> str | None:
    """Return the exposed TCP ports as text, such as `8000=40022 22=40001`; invalid entries are left out."""
    pairs, _ = _port_pairs(value)
    return " ".join(f"{inner}={outer}" for inner, outer in pairs.items()) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortsField(TextField):
    """The field with Docker's port mappings; invalid entries are counted without affecting the others."""

    read: Callable[[object], str | None] = ports_as_text

    def value(self, sent: object, problems: Problems) -> str | None:
        """Return the exposed TCP ports as text."""
        problems.unreadable[self.name] += _port_pairs(sent)[1]
        return self.read(sent)


PUBLIC_IPADDR = TextField(name="public_ipaddr", read=address)
PORTS = PortsField(name="ports")
#: Fields requested in addition to those of metrics while discovery is on.
TARGET_FIELDS = (PUBLIC_IPADDR, PORTS)


def target_of(instance: Instance) -> Target:
    """Return where an instance can be scraped."""
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
    """Return the machine's port by TCP port of the container, and the number of invalid entries.

    Docker writes `{"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40022"}]}`, with null for an unpublished
    port, and a second mapping of the same port for IPv6. The first readable one counts.
    """
    if not isinstance(value, dict):
        return {}, 1
    found: dict[int, int] = {}
    odd = 0
    for name, mappings in value.items():
        inner, _, protocol = name.partition("/")
        if protocol not in {"tcp", ""}:
            continue  # Prometheus can only scrape TCP
        try:
            container_port = _port(inner)
            if host_port := _first_host_port(mappings):
                found[container_port] = host_port
        except UnreadableError:
            odd += 1
    return found, odd


def _first_host_port(mappings: object) -> int | None:
    """Return the first readable port; None if the port is not published."""
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
