"""Whatever is claimed and released: the ports chosen are free, and have been free the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from poddnat.model import ExposedPort, Ports, Protocol
from poddnat.ports.allocator import PROTOCOLS, PortAllocator, Slot
from tests.unit.samples import all_ports, items

if TYPE_CHECKING:
    from collections.abc import Collection

ANY = Protocol.ANY

OFFERED = (Ports(3, 6), Ports(7, 8), Ports(11, 14))
EVERY_PORT = (3, 4, 5, 6, 7, 8, 11, 12, 13, 14)
claimants = st.sampled_from("abcd")
some_slots = st.lists(st.tuples(all_ports(highest=16), st.sampled_from(Protocol)), max_size=3)
few_slots = st.lists(st.tuples(st.integers(2, 15).map(Ports.of), st.sampled_from(PROTOCOLS)), max_size=4)
SHAPES = items("80/tcp", "80/udp", "80/tcpudp", "80-81/tcp", "80-81/tcpudp", "80-82/udp", "80-83/tcp", "80-83/tcpudp")
some_items = st.lists(st.sampled_from(SHAPES), max_size=4)


class Allocators(RuleBasedStateMachine):
    """An allocator beside a list of who claims what, and of the step since which each port has been free."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = PortAllocator(OFFERED)
        self.claims: dict[str, list[Slot]] = {}
        self.step = 0
        self.free = {protocol: dict.fromkeys(EVERY_PORT, 0) for protocol in PROTOCOLS}

    def is_claimed(self, slot: Slot, *, ignoring: Collection[str] = ()) -> bool:
        ports, protocol = slot
        others = [each for claimant, many in self.claims.items() if claimant not in ignoring for each in many]
        return any(claimed is ANY or (claimed is protocol and ports.overlaps(part)) for part, claimed in others)

    def is_mapped_whole(self) -> bool:
        return any(claimed is ANY for many in self.claims.values() for _, claimed in many)

    def windows(self, item: ExposedPort) -> dict[Ports, int]:
        """Find every place for an item, and since when it has been free."""
        found: dict[Ports, int] = {}
        for part in OFFERED:
            for first in range(part.first, part.last + 2 - item.ports.size):
                ports = Ports(first, first + item.ports.size - 1)
                keys = [
                    (protocol, port) for protocol in item.transport.protocols for port in range(first, ports.last + 1)
                ]
                if all(port in self.free[protocol] for protocol, port in keys) and not self.is_mapped_whole():
                    found[ports] = max(self.free[protocol][port] for protocol, port in keys)
        return found

    def note_what_became_free(self) -> None:
        self.step += 1
        claimed = {
            (port, protocol)
            for many in self.claims.values()
            for ports, protocol in many
            for port in range(ports.first, ports.last + 1)
        }
        for protocol, since in self.free.items():
            free = (port for port in EVERY_PORT if (port, protocol) not in claimed)
            self.free[protocol] = {port: since.get(port, self.step) for port in free}

    @rule(claimant=claimants, asked=some_slots | few_slots)
    def claim(self, claimant: str, asked: list[Slot]) -> None:
        self.allocator.claim(claimant, asked)
        self.claims[claimant] = asked
        self.note_what_became_free()

    @rule(claimant=claimants)
    def release(self, claimant: str) -> None:
        self.allocator.release(claimant)
        self.claims.pop(claimant, None)
        self.note_what_became_free()

    @rule(claimant=claimants, asked=some_items, excluding=few_slots)
    def choose_and_claim(self, claimant: str, asked: list[ExposedPort], excluding: list[Slot]) -> None:
        chosen = self.allocator.choose(asked, excluding=excluding)
        if chosen is None:
            return
        new: list[Slot] = []
        for ports, item in zip(chosen, asked, strict=True):
            assert ports in self.windows(item)
            new += [(ports, protocol) for protocol in item.transport.protocols]
        singles = [(port, protocol) for ports, protocol in new for port in range(ports.first, ports.last + 1)]
        assert len(set(singles)) == len(singles)
        assert not set(singles) & {(ports.first, protocol) for ports, protocol in excluding}
        self.claim(claimant, new)

    @rule(item=st.sampled_from(SHAPES), asked=st.integers(1, 4))
    def choose_several_of_a_shape(self, item: ExposedPort, asked: int) -> None:
        fitting, after = 0, 0
        for ports in sorted(self.windows(item)):
            if ports.first > after:
                fitting, after = fitting + 1, ports.last
        assert (self.allocator.choose([item] * asked) is not None) == (asked <= fitting)

    @rule(slot=st.tuples(all_ports(highest=16), st.sampled_from(PROTOCOLS)), ignoring=st.sets(claimants))
    def ask(self, slot: Slot, ignoring: set[str]) -> None:
        assert self.allocator.is_free(slot, ignoring=ignoring) == (not self.is_claimed(slot, ignoring=ignoring))

    @rule(item=st.sampled_from(SHAPES))
    def next_ports_have_been_free_the_longest(self, item: ExposedPort) -> None:
        chosen = self.allocator.choose([item])
        there = self.windows(item)
        if chosen is None:
            assert not there
        else:
            assert there[chosen[0]] == min(there.values())

    @invariant()
    def free_ports_are_those_that_nobody_claims(self) -> None:
        for protocol in PROTOCOLS:
            assert self.allocator.free_ports(protocol) == (0 if self.is_mapped_whole() else len(self.free[protocol]))

    @invariant()
    def next_port_has_been_free_the_longest(self) -> None:
        for item in items("80/tcp", "80/udp"):
            chosen = self.allocator.choose([item])
            since = self.free[item.transport.protocols[0]]
            assert chosen is None or since[chosen[0].first] == min(since.values())


TestAllocators = Allocators.TestCase
TestAllocators.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
