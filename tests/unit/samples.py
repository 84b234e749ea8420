"""Forward rules and entries in few words, and strategies for them, shared by the unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from poddnat.model import (
    HIGHEST_PORT,
    LOWEST_PORT,
    EntryStatus,
    ExposedPort,
    ForwardEntry,
    ForwardRule,
    PortMapping,
    Ports,
    Protocol,
    Transport,
    WorkingPort,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

GATEWAY = "ngw-a"
EIP = "203.0.113.10"
POD = "172.16.0.7"


def rule(
    external: str = "512",
    internal: str = "80",
    *,
    external_ip: str = EIP,
    internal_ip: str = POD,
    protocol: Protocol = Protocol.TCP,
) -> ForwardRule:
    return ForwardRule(external_ip, Ports.parse(external), internal_ip, Ports.parse(internal), protocol)


def entry(
    entry_id: str = "fwd-1",
    name: str = "",
    of: ForwardRule | None = None,
    status: EntryStatus = EntryStatus.AVAILABLE,
) -> ForwardEntry:
    return ForwardEntry(entry_id, name, rule() if of is None else of, status)


def items(*texts: str) -> tuple[ExposedPort, ...]:
    """Make items of a pod's list from texts such as ``80/udp`` or ``10-20``; tcp when left out."""
    return tuple(map(_item, texts))


def _item(text: str) -> ExposedPort:
    ports, _, transport = text.partition("/")
    return ExposedPort(Ports.parse(ports), Transport(transport or "tcp"))


def mapping(text: str) -> PortMapping:
    """Make an item with its external ports from a text such as ``512->80/udp``."""
    external, _, internal = text.partition("->")
    return PortMapping(Ports.parse(external), *_item(internal))


def working(text: str, *entry_ids: str) -> WorkingPort:
    """Make an item that works, from a text such as ``512->80/udp``."""
    return WorkingPort(EIP, POD, mapping(text), entry_ids or ("fwd-1",))


def all_ports(highest: int = HIGHEST_PORT) -> st.SearchStrategy[Ports]:
    """Single ports, and ranges, up to a highest one."""
    singles = st.integers(LOWEST_PORT, highest).map(Ports.of)
    ends = st.tuples(st.integers(LOWEST_PORT, highest), st.integers(LOWEST_PORT, highest))
    return singles | ends.map(sorted).map(lambda pair: Ports.of(*pair))


def all_items(highest: int = 12) -> st.SearchStrategy[ExposedPort]:
    """Items close together, so that many overlap."""
    return st.builds(ExposedPort, all_ports(highest), st.sampled_from(Transport))


def rules(
    *, highest: int = 6, protocols: Sequence[Protocol] = tuple(Protocol), hosts: int = 2
) -> st.SearchStrategy[ForwardRule]:
    """Rules close together, so that many clash."""
    ports = all_ports(highest)
    host = st.integers(1, hosts)
    return st.builds(
        ForwardRule,
        host.map(lambda number: f"203.0.113.{number}"),
        ports,
        host.map(lambda number: f"172.16.0.{number}"),
        ports,
        st.sampled_from(protocols),
    )
