"""What a pod asks for, what it is given, and which ports it can go on using when it asks for something else. Pure."""

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from poddnat.api import PodDNAT
from poddnat.model import ExposedPort, PortMapping, Ports, Protocol
from poddnat.placement import AddressKey
from poddnat.ports.allocator import Shape, Slot, shape_of


@dataclass(frozen=True)
class PortRequest:
    """A pod that asks for ports: one or more for each item of its list."""

    pod_uid: str
    items: tuple[ExposedPort, ...]
    namespace: str = ""
    poddnat_uid: str = ""
    """Of the PodDNAT that it has; empty: none yet."""
    prefer_own: bool = False
    """Whether public ports equal to its own come first."""

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """What it needs, whatever its own ports are: where one request finds nothing, no other of its shapes does."""
        return tuple(map(shape_of, self.items))

    @property
    def entries(self) -> int:
        """How many forward entries it takes: one for each item and protocol."""
        return sum(len(item.transport.protocols) for item in self.items)

    @property
    def ports(self) -> int:
        """How many public ports it takes: one for TCP and UDP counts as two."""
        return sum(item.ports.size * len(item.transport.protocols) for item in self.items)


@dataclass(frozen=True)
class Allocation:
    """The external side that a pod gets: one address, and ports there for its items in their order."""

    key: AddressKey
    mappings: tuple[PortMapping, ...]

    @classmethod
    def of(cls, poddnat: PodDNAT) -> Self:
        """Read what a PodDNAT names."""
        return cls(AddressKey(poddnat.gateway_id, poddnat.external_ip), poddnat.mappings)

    @property
    def items(self) -> tuple[ExposedPort, ...]:
        """What the pod asks for."""
        return tuple(mapping.item for mapping in self.mappings)

    @property
    def is_own(self) -> bool:
        """Whether all public ports are equal to the pod's."""
        return all(mapping.external == mapping.internal for mapping in self.mappings)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """What it takes of its address."""
        return slots_of(self.mappings)

    @cached_property
    def ports(self) -> int:
        """How many public ports it has: one for TCP and UDP counts as two."""
        return sum(ports.size for ports, _ in self.slots)

    def is_same_outside(self, other: "Allocation | None") -> bool:
        """Whether both take the same ports of the same address."""
        return other is not None and (self.key, self.slots) == (other.key, other.slots)


@dataclass(frozen=True, slots=True)
class Observed:
    """What an existing PodDNAT names."""

    uid: str
    pod_uid: str
    namespace: str
    allocation: Allocation


def reusable_mappings(
    current: Sequence[PortMapping], items: Sequence[ExposedPort], may_have: Callable[[PortMapping], bool]
) -> list[PortMapping | None]:
    """Give each item the external ports that its internal ports have now, where it may have them."""
    by_internal: dict[Ports, list[PortMapping]] = {}
    for mapping in current:
        by_internal.setdefault(mapping.internal, []).append(mapping)
    unchanged = {mapping.item for mapping in current}
    found: list[PortMapping | None] = [None] * len(items)
    taken = _Taken()
    # Unchanged items come first: they must not lose a port to a changed one.
    for index in sorted(range(len(items)), key=lambda index: items[index] not in unchanged):
        item = items[index]
        for mapping in by_internal.get(item.ports, ()):
            same = mapping_to(mapping.external, item)
            if item.overlaps(mapping.item) and not taken.overlap(same.slots) and may_have(same):
                found[index] = same
                taken.add(same.slots)
                break
    return found


def mapping_to(external: Ports, item: ExposedPort) -> PortMapping:
    """Map external ports to those of an item."""
    return PortMapping(external, item.ports, item.transport)


def slots_of(mappings: Iterable[PortMapping]) -> tuple[Slot, ...]:
    """Tell what mappings take of their address."""
    return tuple(slot for mapping in mappings for slot in mapping.slots)


class _Taken:
    """Ports none of which overlap, each protocol's in order: a list of 1,000 items is compared with neighbours only."""

    def __init__(self) -> None:
        self._ports: dict[Protocol, list[Ports]] = {}

    def add(self, slots: Iterable[Slot]) -> None:
        for ports, protocol in slots:
            bisect.insort(self._ports.setdefault(protocol, []), ports)

    def overlap(self, slots: Iterable[Slot]) -> bool:
        return any(self._overlaps(ports, self._ports.get(protocol, [])) for ports, protocol in slots)

    @staticmethod
    def _overlaps(ports: Ports, taken: Sequence[Ports]) -> bool:
        at = bisect.bisect_left(taken, ports)
        return any(ports.overlaps(one) for one in taken[max(0, at - 1) : at + 1])
