"""Who was first of those that want the same ports."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poddnat.model import Ports, Protocol
from poddnat.ports.claims import Claims

HOME = ("ngw-1", "203.0.113.10")
UIDS = ("a", "b", "c")


def tcp(*ports: int) -> list[tuple[Ports, Protocol]]:
    return [(Ports.of(port), Protocol.TCP) for port in ports]


def test_second_to_ask_has_a_rival_until_the_first_lets_go() -> None:
    holders = Claims()
    holders.claim("a", HOME, tcp(512))
    holders.claim("b", HOME, tcp(512, 513))
    assert (holders.earlier_claimant("a"), holders.earlier_claimant("b")) == (None, "a")
    holders.release("a")
    assert holders.earlier_claimant("b") is None


def test_asking_again_keeps_the_place() -> None:
    holders = Claims()
    holders.claim("a", HOME, tcp(512))
    holders.claim("b", HOME, tcp(512))
    holders.claim("a", HOME, tcp(512, 513))
    assert holders.is_first("a", HOME, tcp(512, 513))


def test_asking_for_something_else_meanwhile_loses_the_place() -> None:
    holders = Claims()
    holders.claim("a", HOME, tcp(512))
    holders.claim("b", HOME, tcp(512))
    holders.claim("a", HOME, tcp(513))
    holders.claim("a", HOME, tcp(512))
    assert holders.earlier_claimant("a") == "b"


def test_range_is_held_port_by_port() -> None:
    holders = Claims()
    holders.claim("a", HOME, tcp(515))
    holders.claim("b", HOME, [(Ports.of(512, 520), Protocol.TCP)])
    holders.claim("c", HOME, [(Ports.of(512, 520), Protocol.UDP)])
    assert (holders.earlier_claimant("b"), holders.earlier_claimant("c")) == ("a", None)
    assert not holders.is_first("b", HOME, [(Ports.of(512, 520), Protocol.TCP)])
    assert holders.is_first("b", HOME, [(Ports.of(516, 520), Protocol.TCP)])


@given(st.lists(st.tuples(st.sampled_from(UIDS), st.frozensets(st.integers(1, 4)))))
def test_of_several_exactly_the_first_has_no_rival_for_a_port(steps: list[tuple[str, frozenset[int]]]) -> None:
    holders, lines = Claims(), {port: list[str]() for port in range(1, 5)}
    for uid, ports in steps:
        holders.claim(uid, HOME, tcp(*ports))
        for port, line in lines.items():
            if port in ports and uid not in line:
                line.append(uid)
            elif port not in ports and uid in line:
                line.remove(uid)
    for uid in UIDS:
        mine = [line[0] for line in lines.values() if uid in line]
        assert (holders.earlier_claimant(uid) is None) == all(first == uid for first in mine)
        for port, line in lines.items():
            assert holders.is_first(uid, HOME, tcp(port)) == (line[:1] == [uid])
