"""Whatever happens in whatever order: pods get what they ask for, and nothing of anybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from poddnat.config import Policy
from poddnat.model import ExposedPort, PortMapping, Ports, Protocol
from poddnat.placement import AddressKey, Place
from poddnat.ports import Allocation, PortRegistry, PortRequest
from tests.unit.ports.samples import (
    AT_A,
    AT_A_1,
    IP_1,
    IP_2,
    IP_3,
    RESERVED_FOR,
    TWO_GATEWAYS,
    WEB,
    A,
    B,
    allocation,
    at,
    foreign,
    poddnat_with,
    show,
    show_entries,
)
from tests.unit.samples import items
from vpc_emulator import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterable

Taken = frozenset[tuple[AddressKey, int, Protocol]]
PODS = st.sampled_from(["pod-1", "pod-2", "pod-3", "pod-4"])
LISTS = [["80"], ["81"], ["53/udp"], ["80", "443"], ["80", "81", "443"], ["80/tcpudp"], ["90-91"], ["80", "90-91/udp"]]
ASKED = st.sampled_from([items(*texts) for texts in LISTS])
POLICIES = st.sampled_from(Policy)
KEYS = st.permutations([(A, IP_1), (A, IP_2), (B, IP_3)])
PLACES = st.builds(
    lambda keys, policy, most: at(*keys, policy=policy, entry_quota=most), KEYS, POLICIES, st.integers(0, 9)
)
FOREIGN = st.lists(st.tuples(st.sampled_from([IP_1, IP_2]), st.integers(510, 515)), max_size=2, unique=True)


@dataclass(frozen=True)
class Reservation:
    """What was last allocated to a pod, and until when it counts without a PodDNAT."""

    allocation: Allocation
    until: float


def taken(key: AddressKey, mappings: Iterable[PortMapping]) -> Taken:
    return frozenset(
        (key, port, protocol)
        for each in mappings
        for ports, protocol in each.slots
        for port in range(ports.first, ports.last + 1)
    )


def taken_by(allocated: Allocation) -> Taken:
    return taken(allocated.key, allocated.mappings)


class Pods(RuleBasedStateMachine):
    """Pods come and go, PodDNATs show late or never, and foreign entries appear."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(100.0)
        self.registry = PortRegistry(TWO_GATEWAYS, self.clock)
        self.reservations: dict[str, Reservation] = {}
        self.shown: dict[str, Allocation] = {}
        self.waiting: dict[str, tuple[ExposedPort, ...]] = {}
        self.foreign: Taken = frozenset()
        self.refused: dict[tuple[AddressKey, int, Protocol], float] = {}

    def of_other_pods(self, pod_uid: str) -> Taken:
        found: Taken = frozenset()
        for other, reservation in self.reservations.items():
            if other != pod_uid and reservation.until > self.clock.now:
                found |= taken_by(reservation.allocation)
        for other, shown in self.shown.items():
            if other != pod_uid:
                found |= taken_by(shown)
        return found

    def take_turns(self) -> None:
        """Notice pods that had waited and were allocated something when another one asked."""
        for pod_uid, asked in list(self.waiting.items()):
            reserved, known = self.registry.reserved(pod_uid, asked), self.reservations.get(pod_uid)
            if reserved is not None and (known is None or known.allocation != reserved):
                self.take(pod_uid, asked, reserved)

    def take(
        self, pod_uid: str, asked: tuple[ExposedPort, ...], allocated: Allocation | None, reused: Taken = frozenset()
    ) -> None:
        """See that a pod got what it asked for, and nothing of anybody else.

        ``reused``: ports that its PodDNAT claimed before; a foreign entry may have appeared there meanwhile.
        """
        if allocated is None:
            self.waiting[pod_uid] = asked
            return
        self.waiting.pop(pod_uid, None)
        ports = taken_by(allocated)
        assert allocated.items == asked
        assert all(each.external.size == each.internal.size for each in allocated.mappings)
        assert len(ports) == sum(item.ports.size * len(item.transport.protocols) for item in asked)
        assert not ports & self.of_other_pods(pod_uid)
        assert not (ports - reused) & self.foreign
        assert all(self.refused.get(port, 0.0) <= self.clock.now for port in ports - reused)
        assert all(TWO_GATEWAYS.allows(*allocated.key, each.external) for each in allocated.mappings)
        self.reservations[pod_uid] = Reservation(allocated, self.clock.now + RESERVED_FOR)

    @rule(pod_uid=PODS, asked=ASKED, places=PLACES)
    def ask(self, pod_uid: str, asked: tuple[ExposedPort, ...], places: list[list[Place]]) -> None:
        known = self.reservations.get(pod_uid)
        reserved = self.registry.reserved(pod_uid, asked)
        if known is not None and known.allocation.items == asked and known.until > self.clock.now:
            assert reserved == known.allocation
        else:
            assert reserved is None
            allocated = self.registry.allocate(PortRequest(pod_uid, asked), places)
            self.take_turns()
            self.take(pod_uid, asked, allocated)

    @rule(pod_uid=PODS, asked=ASKED, places=PLACES)
    def ask_to_stay(self, pod_uid: str, asked: tuple[ExposedPort, ...], places: list[list[Place]]) -> None:
        if pod_uid not in self.shown:
            return
        current = self.shown[pod_uid]
        reuse = self.registry.reusable(poddnat_with(current), asked, uid=f"of {pod_uid}", pod_uid=pod_uid)
        allocated = self.registry.allocate(PortRequest(pod_uid, asked), places, stay_at=current.key, reuse=reuse)
        self.take_turns()
        if allocated is not None and allocated.key == current.key:
            assert all(old in (None, new) for old, new in zip(reuse, allocated.mappings, strict=True))
        reused = taken(current.key, filter(None, reuse))
        assert reused & self.foreign <= taken_by(current)
        self.take(pod_uid, asked, allocated, reused)

    @rule(pod_uid=PODS)
    def stay_as_it_is(self, pod_uid: str) -> None:
        if pod_uid in self.shown and not taken_by(self.shown[pod_uid]) & self.of_other_pods(pod_uid):
            poddnat, asked = poddnat_with(self.shown[pod_uid]), self.shown[pod_uid].items
            reusable = self.registry.reusable(poddnat, asked, uid=f"of {pod_uid}", pod_uid=pod_uid)
            assert reusable == list(poddnat.mappings)

    @rule(pod_uid=PODS)
    def show(self, pod_uid: str) -> None:
        reservation = self.reservations.get(pod_uid)
        if reservation is not None and reservation.until > self.clock.now:
            del self.reservations[pod_uid]
            self.shown[pod_uid] = reservation.allocation
            show(self.registry, pod_uid, reservation.allocation)

    @rule(pod_uid=PODS)
    def show_again(self, pod_uid: str) -> None:
        if pod_uid in self.shown:
            shown = self.shown[pod_uid]
            reservation = self.reservations.get(pod_uid)
            if reservation is None or reservation.allocation != shown:
                show(self.registry, pod_uid, shown)

    @rule(pod_uid=PODS)
    def delete(self, pod_uid: str) -> None:
        self.shown.pop(pod_uid, None)
        self.registry.poddnat_gone(f"of {pod_uid}")

    @rule(by_entries=st.sets(PODS))
    def restart(self, by_entries: set[str]) -> None:
        """Begin anew: some PodDNATs are known again for their entries alone, the others at a glance."""
        self.registry = PortRegistry(TWO_GATEWAYS, self.clock)
        self.reservations.clear()
        self.waiting.clear()
        self.foreign = frozenset()
        self.refused.clear()
        for pod_uid, shown in self.shown.items():
            if pod_uid in by_entries:
                show_entries(self.registry, pod_uid, shown, *(str(each.external) for each in shown.mappings))
            else:
                show(self.registry, pod_uid, shown)

    @rule(seconds=st.sampled_from([1.0, RESERVED_FOR / 2, RESERVED_FOR]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(there=FOREIGN)
    def list_foreign(self, there: list[tuple[str, int]]) -> None:
        entries = [foreign(str(port), f"fwd-{ip}-{port}", external_ip=ip) for ip, port in there]
        self.registry.foreign_seen(A, entries)
        self.foreign = frozenset((AddressKey(A, ip), port, Protocol.TCP) for ip, port in there)

    @rule(port=st.integers(512, 514), protocol=st.sampled_from([Protocol.TCP, Protocol.UDP]))
    def refuse(self, port: int, protocol: Protocol) -> None:
        self.registry.taken(AT_A_1, (Ports.of(port), protocol))
        self.refused[AT_A_1, port, protocol] = self.clock.now + RESERVED_FOR


def test_pod_asks_to_stay_on_a_port_on_which_a_foreign_entry_has_appeared() -> None:
    pods = Pods()
    pods.ask("pod-1", WEB, AT_A)
    pods.show("pod-1")
    pods.list_foreign([(IP_1, 512)])
    pods.ask_to_stay("pod-1", WEB, AT_A)
    assert pods.reservations["pod-1"].allocation == allocation(AT_A_1, "512->80")


TestPods = Pods.TestCase
TestPods.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
