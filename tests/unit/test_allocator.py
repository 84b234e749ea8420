"""The ports of one external address: who claims them, and which are given out next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from poddnat.allocator import CARRIED, PortBook, Slot
from poddnat.model import ALL_PORTS, ExposedPort, Ports, Protocol
from tests.unit.samples import all_ports, items

if TYPE_CHECKING:
    from collections.abc import Collection

TCP, UDP, ANY = Protocol.TCP, Protocol.UDP, Protocol.ANY


def slots(*texts: str) -> list[Slot]:
    """Make slots from texts such as ``512``, ``512/515`` or ``512 udp``."""
    return [_slot(*text.split()) for text in texts]


def _slot(ports: str, protocol: str = "tcp") -> Slot:
    return Ports.parse(ports), Protocol(protocol)


def book(*offered: str) -> PortBook:
    return PortBook(tuple(map(Ports.parse, offered)))


def taken(from_: PortBook, *wanted: str) -> list[str]:
    """Let every item go to a holder of its own, and give the ports in that order."""
    given: list[str] = []
    for number, text in enumerate(wanted):
        (item,) = items(text)
        chosen = from_.choose([item])
        if chosen is None:
            break
        from_.claim(f"holder {number}", [(chosen[0], item.protocol)])
        given.append(str(chosen[0]))
    return given


# Choosing


def test_ports_are_given_out_in_their_order_at_first() -> None:
    assert taken(book("512/514"), "80", "80", "80", "80") == ["512", "513", "514"]


def test_several_ranges_are_given_out_one_after_the_other() -> None:
    assert taken(book("600", "512/513"), *["80"] * 4) == ["600", "512", "513"]


def test_tcp_and_udp_have_ports_of_their_own() -> None:
    assert taken(book("512/513"), "53/tcp", "53/udp", "53/tcp", "53/udp") == ["512", "512", "513", "513"]


def test_items_of_one_pod_get_different_ports() -> None:
    assert book("512/520").choose(items("80", "443", "53/udp")) == (Ports(512, 512), Ports(513, 513), Ports(512, 512))


def test_items_that_do_not_all_fit_get_nothing() -> None:
    assert book("512/513").choose(items("80", "443", "8080")) is None


def test_nothing_is_offered_where_no_range_is() -> None:
    assert book().choose(items("80")) is None


def test_choosing_claims_nothing() -> None:
    one = book("512/513")
    assert one.choose(items("80")) == one.choose(items("80"))


def test_port_that_has_been_free_the_longest_comes_first() -> None:
    one = book("512/514")
    one.claim("a", slots("512"))
    one.claim("b", slots("513"))
    one.release("b")
    one.release("a")
    assert taken(one, "80", "80", "80") == ["514", "513", "512"]


def test_ports_chosen_beside_others_are_not_those_others() -> None:
    assert book("512/514").choose(items("80"), besides=slots("512", "513 udp")) == (Ports(513, 513),)


def test_claimed_port_is_not_given_out() -> None:
    one = book("512/514")
    one.claim("foreign", slots("512/513"))
    assert taken(one, "80", "80") == ["514"]


def test_nothing_is_given_out_while_somebody_maps_the_whole_address() -> None:
    one = book("512/514")
    one.claim("foreign", [(ALL_PORTS, ANY)])
    assert one.choose(items("80")) is None
    assert one.free_ports(TCP) == 0
    one.release("foreign")
    assert one.choose(items("80")) is not None


# Claims


def test_port_that_two_claim_is_free_when_both_have_let_go() -> None:
    one = book("512")
    one.claim("a", slots("512"))
    one.claim("b", slots("512"))
    one.release("a")
    assert one.choose(items("80")) is None
    one.release("b")
    assert one.choose(items("80")) == (Ports(512, 512),)


def test_new_claim_takes_the_place_of_the_old() -> None:
    one = book("512/513")
    one.claim("a", slots("512"))
    one.claim("a", slots("513"))
    assert taken(one, "80", "80") == ["512"]


def test_same_claim_again_changes_nothing() -> None:
    one = book("512/513")
    one.claim("a", slots("512"))
    one.claim("a", slots("512"))
    one.release("a")
    assert one.free_ports(TCP) == 2


def test_port_kept_over_a_new_claim_stays_claimed_throughout() -> None:
    one = book("512/514")
    one.claim("a", slots("512", "513"))
    one.claim("a", slots("513", "514"))
    assert [one.is_free((Ports(port, port), TCP)) for port in (512, 513, 514)] == [True, False, False]


def test_ports_claimed_outside_the_offered_ranges_are_never_offered() -> None:
    one = book("512")
    one.claim("foreign", slots("80", "500/600"))
    one.release("foreign")
    assert taken(one, "80", "80") == ["512"]


def test_release_of_somebody_unknown_is_nothing() -> None:
    one = book("512")
    one.release("nobody")
    assert one.free_ports(TCP) == 1


def test_holders_are_counted() -> None:
    one = book("512/514")
    one.claim("a", slots("512", "513"))
    one.claim("b", slots("80"))
    one.claim("c", [])
    assert one.holders == 2


@pytest.mark.parametrize(
    ("slot", "but", "free"),
    [
        pytest.param(("514", TCP), (), True, id="nobody's"),
        pytest.param(("512", TCP), (), False, id="somebody's"),
        pytest.param(("512", UDP), (), True, id="somebody's for the other protocol"),
        pytest.param(("512", TCP), ("a",), True, id="one's own"),
        pytest.param(("513", TCP), ("a",), False, id="one's own and another's"),
        pytest.param(("513", TCP), ("a", "b"), True, id="both one's own"),
        pytest.param(("513/515", TCP), ("a",), False, id="partly another's"),
        pytest.param(("514/515", TCP), (), True, id="a range of nobody's"),
    ],
)
def test_slot_is_free_but_for(slot: tuple[str, Protocol], but: tuple[str, ...], free: bool) -> None:  # noqa: FBT001
    one = book("512/520")
    one.claim("a", slots("512", "513"))
    one.claim("b", slots("513"))
    assert one.is_free((Ports.parse(slot[0]), slot[1]), but=but) is free


def test_no_slot_is_free_while_another_maps_the_whole_address() -> None:
    one = book("512")
    one.claim("foreign", [(ALL_PORTS, ANY)])
    assert not one.is_free((Ports(512, 512), TCP))
    assert one.is_free((Ports(512, 512), TCP), but=("foreign",))


@pytest.mark.parametrize(
    ("ports", "offered"),
    [("512", True), ("520", True), ("512/520", True), ("511/513", False), ("600/601", False), ("520/600", False)],
)
def test_ports_are_offered_when_one_range_has_them_all(ports: str, offered: bool) -> None:  # noqa: FBT001
    assert book("512/520", "600").offers(Ports.parse(ports)) is offered


# Whatever happens

OFFERED = (Ports(3, 6), Ports(9, 10))
EVERY_PORT = (3, 4, 5, 6, 9, 10)
holders = st.sampled_from("abc")
some_slots = st.lists(st.tuples(all_ports(highest=12), st.sampled_from(Protocol)), max_size=3)
some_items = st.lists(st.sampled_from(items("80/tcp", "80/udp")), max_size=4)


class Books(RuleBasedStateMachine):
    """A book beside a list of who claims what, and of the step since which each port has been free."""

    def __init__(self) -> None:
        super().__init__()
        self.book = PortBook(OFFERED)
        self.claims: dict[str, list[Slot]] = {}
        self.step = 0
        self.free = {kind: dict.fromkeys(EVERY_PORT, 0) for kind in CARRIED}

    def is_claimed(self, slot: Slot, *, but: Collection[str] = ()) -> bool:
        ports, kind = slot
        others = [each for holder, many in self.claims.items() if holder not in but for each in many]
        return any(claimed is ANY or (claimed is kind and ports.overlaps(part)) for part, claimed in others)

    def is_mapped_whole(self) -> bool:
        return any(claimed is ANY for many in self.claims.values() for _, claimed in many)

    def note_what_became_free(self) -> None:
        self.step += 1
        claimed = {
            (port, kind)
            for many in self.claims.values()
            for ports, kind in many
            for port in range(ports.first, ports.last + 1)
        }
        for kind, since in self.free.items():
            free = (port for port in EVERY_PORT if (port, kind) not in claimed)
            self.free[kind] = {port: since.get(port, self.step) for port in free}

    @rule(holder=holders, wanted=some_slots)
    def claim(self, holder: str, wanted: list[Slot]) -> None:
        self.book.claim(holder, wanted)
        self.claims[holder] = wanted
        self.note_what_became_free()

    @rule(holder=holders)
    def release(self, holder: str) -> None:
        self.book.release(holder)
        self.claims.pop(holder, None)
        self.note_what_became_free()

    @rule(holder=holders, wanted=some_items)
    def choose_and_claim(self, holder: str, wanted: list[ExposedPort]) -> None:
        chosen = self.book.choose(wanted)
        if chosen is None:
            return
        new = [(ports, item.protocol) for ports, item in zip(chosen, wanted, strict=True)]
        assert len(set(new)) == len(new)
        for ports, kind in new:
            assert ports.first in EVERY_PORT
            assert not self.is_claimed((ports, kind))
        self.claim(holder, new)

    @rule(wanted=some_items)
    def choose(self, wanted: list[ExposedPort]) -> None:
        room = all(sum(item.protocol is kind for item in wanted) <= len(self.free[kind]) for kind in CARRIED)
        assert (self.book.choose(wanted) is not None) == (room and not self.is_mapped_whole())

    @rule(slot=st.tuples(all_ports(highest=12), st.sampled_from(CARRIED)), but=st.sets(holders))
    def ask(self, slot: Slot, but: set[str]) -> None:
        assert self.book.is_free(slot, but=but) == (not self.is_claimed(slot, but=but))

    @invariant()
    def free_ports_are_those_that_nobody_claims(self) -> None:
        for kind in CARRIED:
            assert self.book.free_ports(kind) == (0 if self.is_mapped_whole() else len(self.free[kind]))

    @invariant()
    def next_port_has_been_free_the_longest(self) -> None:
        for item in items("80/tcp", "80/udp"):
            chosen = self.book.choose([item])
            since = self.free[item.protocol]
            assert chosen is None or since[chosen[0].first] == min(since.values())


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
