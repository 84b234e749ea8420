"""What the values file lets pods have: which ports of which gateways, which addresses not, and how much.

Values only; the file itself, and what can be wrong with it, is elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from poddnat.config.label_selector import LabelSelector
from poddnat.model import Ports


class Policy(StrEnum):
    """How pods are spread over the EIPs of a pool entry."""

    UNIFORM = "Uniform"
    """The EIP that fewest pods use comes first: an attack on one EIP meets few pods."""
    IN_ORDER = "InOrder"
    """One EIP is filled before the next."""
    RANDOM = "Random"


@dataclass(frozen=True)
class PoolEntry:
    """Ports that pods may get: a range, on all or some of one NAT gateway's EIPs."""

    gateway_id: str
    zone_id: str
    ports: Ports
    eips: tuple[str, ...] | None
    """None: all EIPs of the gateway, whatever they are at the time."""
    policy: Policy = Policy.UNIFORM
    quota: int | None = None
    """How many forward entries the gateway takes; None: learned from its refusal."""

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Self:
        """Read an entry of the file that the schema finds nothing wrong with.

        Raises:
            ValueError: its port range is upside down.
        """
        return cls(
            gateway_id=entry["natgwId"],
            zone_id=entry["zoneId"],
            ports=Ports.of(int(entry["portRangeStart"]), int(entry["portRangeEnd"])),
            eips=tuple(dict.fromkeys(entry.get("eips") or ())) or None,
            policy=Policy(entry.get("policy", Policy.UNIFORM)),
            quota=entry.get("quota"),
        )

    def has(self, external_ip: str) -> bool:
        """Whether an EIP of the gateway belongs to this entry."""
        return self.eips is None or external_ip in self.eips

    def offers(self, external_ip: str, ports: Ports) -> bool:
        """Whether these ports of that address belong to this entry."""
        return self.ports.first <= ports.first and ports.last <= self.ports.last and self.has(external_ip)


@dataclass(frozen=True)
class AllowedNamespaces:
    """Whose pods may have public ports: namespaces of these names, and those whose labels fit."""

    names: tuple[str, ...] = ()
    selector: LabelSelector | None = None

    def allows(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a namespace is one of them."""
        return name in self.names or (self.selector is not None and self.selector.matches(labels))

    def __str__(self) -> str:
        """Say which, for people."""
        named = ", ".join(self.names)
        labelled = f"those with the labels {self.selector}" if self.selector is not None else ""
        return " and ".join(text for text in (named, labelled) if text)


@dataclass(frozen=True)
class Limits:
    """How many public ports one pod, and all pods of one namespace, may have; None: as many as there are."""

    ports_per_pod: int | None = None
    ports_per_namespace: int | None = None


NO_LIMITS = Limits()
