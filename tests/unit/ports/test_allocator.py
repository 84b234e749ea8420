"""The ports of one external address: who claims them, and which are given out next."""

from __future__ import annotations

import pytest

from poddnat.model import ALL_PORTS, Ports, Protocol
from poddnat.ports.allocator import PortAllocator, Slot
from tests.unit.samples import items

TCP, UDP, ANY = Protocol.TCP, Protocol.UDP, Protocol.ANY


def slots(*texts: str) -> list[Slot]:
    """Make slots from texts such as ``512``, ``512/515`` or ``512 udp``."""
    return [_slot(*text.split()) for text in texts]


def _slot(ports: str, protocol: str = "tcp") -> Slot:
    return Ports.parse(ports), Protocol(protocol)


def allocator(*offered: str) -> PortAllocator:
    return PortAllocator(tuple(map(Ports.parse, offered)))


def taken(from_: PortAllocator, *asked: str) -> list[str]:
    """Let every item go to a claimant of its own, and give the ports in that order."""
    chosen_ports: list[str] = []
    for number, text in enumerate(asked):
        (item,) = items(text)
        chosen = from_.choose([item])
        if chosen is None:
            break
        from_.claim(f"claimant {number}", [(chosen[0], protocol) for protocol in item.transport.protocols])
        chosen_ports.append(chosen[0].shown)
    return chosen_ports


# Choosing


def test_ports_are_given_out_in_their_order_at_first() -> None:
    assert taken(allocator("512/514"), "80", "80", "80", "80") == ["512", "513", "514"]


def test_several_ranges_are_given_out_one_after_the_other() -> None:
    assert taken(allocator("600", "512/513"), *["80"] * 4) == ["600", "512", "513"]


def test_tcp_and_udp_have_ports_of_their_own() -> None:
    assert taken(allocator("512/513"), "53/tcp", "53/udp", "53/tcp", "53/udp") == ["512", "512", "513", "513"]


def test_items_of_one_pod_get_different_ports() -> None:
    assert allocator("512/520").choose(items("80", "443", "53/udp")) == (
        Ports(512, 512),
        Ports(513, 513),
        Ports(512, 512),
    )


def test_items_that_do_not_all_fit_get_nothing() -> None:
    assert allocator("512/513").choose(items("80", "443", "8080")) is None


def test_nothing_is_offered_where_no_range_is() -> None:
    assert allocator().choose(items("80")) is None


def test_choosing_claims_nothing() -> None:
    one = allocator("512/513")
    assert one.choose(items("80")) == one.choose(items("80"))


def test_port_that_has_been_free_the_longest_comes_first() -> None:
    one = allocator("512/514")
    one.claim("a", slots("512"))
    one.claim("b", slots("513"))
    one.release("b")
    one.release("a")
    assert taken(one, "80", "80", "80") == ["514", "513", "512"]


def test_range_gets_as_many_ports_in_a_row() -> None:
    assert taken(allocator("512/524"), "9000-9004/udp", "9000-9004/udp", "9000-9004/udp") == ["512-516", "517-521"]


def test_range_does_not_reach_over_the_end_of_an_offered_range() -> None:
    assert taken(allocator("512/514", "515/518"), "9000-9003", "80") == ["515-518", "512"]


def test_range_is_found_between_ports_that_are_taken() -> None:
    one = allocator("512/530")
    one.claim("others", slots("514", "517", "521", "528", "530"))
    assert taken(one, "9000-9005", "9000-9005") == ["522-527"]


def test_both_protocols_get_the_same_port() -> None:
    one = allocator("512/516")
    one.claim("tcp", slots("512"))
    one.claim("udp", slots("513 udp"))
    assert taken(one, "80/tcpudp", "80/tcpudp", "80/tcpudp", "80/tcpudp") == ["514", "515", "516"]
    assert one.choose(items("80/udp", "80/tcp")) == (Ports(512, 512), Ports(513, 513))


def test_range_of_both_protocols_is_free_for_both() -> None:
    one = allocator("512/520")
    one.claim("tcp", slots("512/513"))
    one.claim("udp", slots("516 udp"))
    assert taken(one, "80-82/tcpudp") == ["517-519"]


def test_range_of_which_every_port_has_been_free_the_longest_comes_first() -> None:
    one = allocator("512/517")
    one.claim("a", slots("512/513"))
    one.claim("b", slots("514/515"))
    one.claim("c", slots("516/517"))
    for claimant in "bac":
        one.release(claimant)
    assert taken(one, "80-81", "80-81", "80-81") == ["514-515", "512-513", "516-517"]


def test_range_is_as_young_as_its_youngest_port() -> None:
    one = allocator("512/515")
    one.claim("a", slots("512"))
    one.release("a")
    assert taken(one, "80-81") == ["513-514"]


def test_long_windows_are_spared_where_another_port_is_as_old() -> None:
    one = allocator("512/530")
    one.claim("others", slots("523", "525"))
    assert taken(one, "80", "9000-9010") == ["524", "512-522"]


def test_items_are_placed_so_that_all_fit() -> None:
    one = allocator("512/515")
    one.claim("a", slots("512"))
    one.claim("b", slots("513/514"))
    one.release("b")
    one.release("a")
    # The longest free port is 515; the longest free pair, without it, leaves two single ports.
    assert one.choose(items("80-81", "90-91")) == (Ports(512, 513), Ports(514, 515))


def test_large_items_are_placed_before_small_ones_take_their_ports() -> None:
    one = allocator("512/514")
    assert one.choose(items("53/udp", "80", "90-91", "70/tcpudp")) is None
    assert one.choose(items("80", "90-91")) == (Ports(514, 514), Ports(512, 513))


def test_items_of_any_number_of_shapes_can_be_asked_for() -> None:
    one = allocator("512/2000")
    sizes = [*range(1, 40), 2, 1, 30]
    for size in sizes:
        one.claim(size, slots("600"))
        assert one.choose(items(f"1000-{999 + size}")) is not None
        one.release(size)
    assert taken(one, "80") == ["512"]


def test_ports_chosen_beside_others_are_not_those_others() -> None:
    assert allocator("512/514").choose(items("80"), excluding=slots("512", "513 udp")) == (Ports(513, 513),)


def test_claimed_port_is_not_given_out() -> None:
    one = allocator("512/514")
    one.claim("foreign", slots("512/513"))
    assert taken(one, "80", "80") == ["514"]


def test_nothing_is_given_out_while_somebody_maps_the_whole_address() -> None:
    one = allocator("512/514")
    one.claim("foreign", [(ALL_PORTS, ANY)])
    assert one.choose(items("80")) is None
    assert one.free_ports(TCP) == 0
    one.release("foreign")
    assert one.choose(items("80")) is not None


# Claims


def test_port_that_two_claim_is_free_when_both_have_released_it() -> None:
    one = allocator("512")
    one.claim("a", slots("512"))
    one.claim("b", slots("512"))
    one.release("a")
    assert one.choose(items("80")) is None
    one.release("b")
    assert one.choose(items("80")) == (Ports(512, 512),)


def test_new_claim_takes_the_place_of_the_old() -> None:
    one = allocator("512/513")
    one.claim("a", slots("512"))
    one.claim("a", slots("513"))
    assert taken(one, "80", "80") == ["512"]


def test_same_claim_again_changes_nothing() -> None:
    one = allocator("512/513")
    one.claim("a", slots("512"))
    one.claim("a", slots("512"))
    one.release("a")
    assert one.free_ports(TCP) == 2


def test_port_of_both_the_old_and_the_new_claim_stays_claimed_throughout() -> None:
    one = allocator("512/514")
    one.claim("a", slots("512", "513"))
    one.claim("a", slots("513", "514"))
    assert [one.is_free((Ports(port, port), TCP)) for port in (512, 513, 514)] == [True, False, False]


def test_ports_claimed_outside_the_offered_ranges_are_never_offered() -> None:
    one = allocator("512")
    one.claim("foreign", slots("80", "500/600"))
    one.release("foreign")
    assert taken(one, "80", "80") == ["512"]


def test_release_of_somebody_unknown_is_nothing() -> None:
    one = allocator("512")
    one.release("nobody")
    assert one.free_ports(TCP) == 1


def test_slot_that_several_claim_is_one_entry() -> None:
    one = allocator("512/514")
    one.claim("a", slots("512", "513"))
    one.claim("b", slots("512", "9000", "512 udp"))
    assert one.entries == 4
    one.release("a")
    assert one.entries == 3


def test_claims_are_taken_over_for_other_ranges() -> None:
    one = allocator("512/514")
    one.claim("a", slots("513", "600"))
    other = PortAllocator([Ports(513, 515), Ports(600, 601)], one.claims)
    assert taken(other, "80", "80", "80", "80") == ["601", "514", "515"]


def test_claimants_are_counted() -> None:
    one = allocator("512/514")
    one.claim("a", slots("512", "513"))
    one.claim("b", slots("80"))
    one.claim("c", [])
    assert len(one.claims) == 2


@pytest.mark.parametrize(
    ("slot", "ignoring", "free"),
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
def test_slot_is_free_ignoring_some(slot: tuple[str, Protocol], ignoring: tuple[str, ...], free: bool) -> None:  # noqa: FBT001
    one = allocator("512/520")
    one.claim("a", slots("512", "513"))
    one.claim("b", slots("513"))
    assert one.is_free((Ports.parse(slot[0]), slot[1]), ignoring=ignoring) is free


def test_no_slot_is_free_while_another_maps_the_whole_address() -> None:
    one = allocator("512")
    one.claim("foreign", [(ALL_PORTS, ANY)])
    assert not one.is_free((Ports(512, 512), TCP))
    assert one.is_free((Ports(512, 512), TCP), ignoring=("foreign",))
