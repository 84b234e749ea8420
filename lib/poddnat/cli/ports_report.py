"""Which public ports are free and which are used, and by whom: for each gateway and each of its EIPs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from poddnat.api import key_of, spec_of
from poddnat.cli.site import Snapshot, registry_of
from poddnat.config import Values
from poddnat.gateway import Ownership
from poddnat.model import ForwardEntry, Ports, Protocol
from poddnat.ports import PortRegistry


@dataclass(frozen=True)
class EipUsage:
    """One EIP of a gateway of the pool; ports of both protocols are counted apart."""

    gateway: str
    eip: str
    state: str
    """``in use``, ``blocked`` (by the values file), or ``not on the gateway``."""
    ports: int
    freeTCP: int  # noqa: N815  # as written for programs
    freeUDP: int  # noqa: N815
    podDNATs: int  # noqa: N815
    foreignEntries: int  # noqa: N815


@dataclass(frozen=True)
class GatewayUsage:
    """One gateway's table."""

    gateway: str
    entries: int
    ours: int
    foreign: int
    quota: int | None
    """As the values file says; None: it doesn't."""


@dataclass(frozen=True)
class Mapping:
    """A public port in use."""

    gateway: str
    external: str
    internal: str
    protocol: str
    entry: str
    podDNAT: str  # noqa: N815
    """Namespace and name; empty for an entry of somebody else."""


@dataclass(frozen=True)
class PortsReport:
    """The whole report."""

    gateways: tuple[GatewayUsage, ...]
    eips: tuple[EipUsage, ...]
    mappings: tuple[Mapping, ...]

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return {key: [asdict(row) for row in rows] for key, rows in vars(self).items()}


def ports_report(snapshot: Snapshot, values: Values) -> PortsReport:
    """Count what is free and used."""
    ownership, registry = Ownership(values.cluster_id), registry_of(snapshot, values)
    names = {p["metadata"]["uid"]: key_of(p) for p in snapshot.poddnats}
    claims, foreign = snapshot.claims(), snapshot.foreign(values)
    mappings = []
    for gateway_id, table in snapshot.tables.items():
        owners = {e.entry_id: ownership.owner_in(e.name) or claims.get(e.entry_id) for e in table}
        mappings += [_mapping(gateway_id, entry, names.get(owners[entry.entry_id] or "", "")) for entry in table]
    gateways = tuple(
        GatewayUsage(
            gateway=gateway_id,
            entries=len(table),
            ours=len(table) - len(foreign[gateway_id]),
            foreign=len(foreign[gateway_id]),
            quota=values.quota_of(gateway_id),
        )
        for gateway_id, table in snapshot.tables.items()
    )
    return PortsReport(gateways, tuple(_eips(snapshot, values, registry, foreign)), tuple(sorted(mappings, key=_order)))


def _mapping(gateway_id: str, entry: ForwardEntry, poddnat: str) -> Mapping:
    rule = entry.rule
    external = f"{rule.external_ip}:{rule.external_ports.shown}"
    internal = f"{rule.internal_ip}:{rule.internal_ports.shown}"
    return Mapping(gateway_id, external, internal, rule.protocol.value, entry.entry_id, poddnat)


def _order(mapping: Mapping) -> tuple[str, str, int, str]:
    ip, _, ports = mapping.external.partition(":")
    return mapping.gateway, ip, Ports.parse(ports).first, mapping.protocol


def _eips(
    snapshot: Snapshot, values: Values, registry: PortRegistry, foreign: dict[str, list[ForwardEntry]]
) -> Iterator[EipUsage]:
    for gateway_id in values.gateway_ids:
        info = snapshot.gateways.get(gateway_id)
        there = [eip.ip for eip in info.eips] if info is not None else []
        pool = list(values.entries_of(gateway_id))
        listed = [ip for entry in pool for ip in entry.eips or there]
        for ip in dict.fromkeys(listed):
            free_tcp, ports = registry.count_ports(gateway_id, ip, Protocol.TCP)
            free_udp, _ = registry.count_ports(gateway_id, ip, Protocol.UDP)
            specs = [spec_of(poddnat) for poddnat in snapshot.poddnats]
            usable = ip in there and not values.is_blocked(ip)
            yield EipUsage(
                gateway=gateway_id,
                eip=ip,
                state="in use" if usable else "blocked" if ip in there else "not on the gateway",
                ports=ports,
                freeTCP=free_tcp if usable else 0,
                freeUDP=free_udp if usable else 0,
                podDNATs=sum((s.get("tableId"), s.get("externalIP")) == (gateway_id, ip) for s in specs),
                foreignEntries=sum(entry.rule.external_ip == ip for entry in foreign.get(gateway_id, ())),
            )
