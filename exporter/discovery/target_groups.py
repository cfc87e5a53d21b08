"""Convert an instance to target groups, in the format of Prometheus's http_sd and file_sd."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.collectors.fleet import Member
    from exporter.config.models import Discovery

#: Prefix of every label; Prometheus drops labels with it after relabelling.
PREFIX = "__meta_vastai_"


class TargetGroup(TypedDict):
    """Targets with common labels; the key names are Prometheus's."""

    targets: list[str]
    labels: dict[str, str]


def target_groups(account: str, instance: int, member: Member, choice: Discovery) -> Iterator[TargetGroup]:
    """Yield a group for each exposed TCP port of an instance that `choice` selects."""
    target = member.target
    if target is None or (choice.labels and member.label not in choice.labels):
        return
    host = f"[{target.address}]" if ":" in target.address else target.address
    for inner, outer in target.ports:
        if choice.ports and inner not in choice.ports:
            continue
        labels = {
            "account": account,
            "instance_id": str(instance),
            "label": member.label,
            "gpu_name": member.gpu_name,
            "container_port": str(inner),
            "image": target.image,
            "template": target.template,
            "machine_id": target.machine_id,
            "geolocation": target.geolocation,
            "rental": target.rental,
        }
        yield TargetGroup(
            targets=[f"{host}:{outer}"], labels={PREFIX + name: text for name, text in labels.items()}
        )
