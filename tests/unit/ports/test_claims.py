"""Which PodDNAT was the first to name a port."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poddnat.model import Ports, Protocol
from poddnat.placement import AddressKey
from poddnat.ports.claims import Claims

KEY = AddressKey("ngw-1", "203.0.113.10")
UIDS = ("a", "b", "c")


def tcp(*ports: int) -> list[tuple[Ports, Protocol]]:
    return [(Ports.of(port), Protocol.TCP) for port in ports]


def test_second_claimant_has_an_earlier_one_until_that_releases() -> None:
    claims = Claims()
    claims.claim("a", KEY, tcp(512))
    claims.claim("b", KEY, tcp(512, 513))
    assert (claims.earlier_claimant("a"), claims.earlier_claimant("b")) == (None, "a")
    claims.release("a")
    assert claims.earlier_claimant("b") is None


def test_claiming_again_keeps_the_rank() -> None:
    claims = Claims()
    claims.claim("a", KEY, tcp(512))
    claims.claim("b", KEY, tcp(512))
    claims.claim("a", KEY, tcp(512, 513))
    assert claims.is_first("a", KEY, tcp(512, 513))


def test_claiming_something_else_meanwhile_loses_the_rank() -> None:
    claims = Claims()
    claims.claim("a", KEY, tcp(512))
    claims.claim("b", KEY, tcp(512))
    claims.claim("a", KEY, tcp(513))
    claims.claim("a", KEY, tcp(512))
    assert claims.earlier_claimant("a") == "b"


def test_range_is_claimed_port_by_port() -> None:
    claims = Claims()
    claims.claim("a", KEY, tcp(515))
    claims.claim("b", KEY, [(Ports.of(512, 520), Protocol.TCP)])
    claims.claim("c", KEY, [(Ports.of(512, 520), Protocol.UDP)])
    assert (claims.earlier_claimant("b"), claims.earlier_claimant("c")) == ("a", None)
    assert not claims.is_first("b", KEY, [(Ports.of(512, 520), Protocol.TCP)])
    assert claims.is_first("b", KEY, [(Ports.of(516, 520), Protocol.TCP)])


@given(st.lists(st.tuples(st.sampled_from(UIDS), st.frozensets(st.integers(1, 4)))))
def test_of_several_exactly_the_first_has_no_earlier_claimant_for_a_port(
    steps: list[tuple[str, frozenset[int]]],
) -> None:
    claims, claimants = Claims(), {port: list[str]() for port in range(1, 5)}
    for uid, ports in steps:
        claims.claim(uid, KEY, tcp(*ports))
        for port, uids in claimants.items():
            if port in ports and uid not in uids:
                uids.append(uid)
            elif port not in ports and uid in uids:
                uids.remove(uid)
    for uid in UIDS:
        firsts = [uids[0] for uids in claimants.values() if uid in uids]
        assert (claims.earlier_claimant(uid) is None) == all(first == uid for first in firsts)
        for port, uids in claimants.items():
            assert claims.is_first(uid, KEY, tcp(port)) == (uids[:1] == [uid])
