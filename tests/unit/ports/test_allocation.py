"""Which ports a pod can go on using when its list changes."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from poddnat.model import ExposedPort, PortMapping, Ports, Transport
from poddnat.ports.allocation import reusable_mappings, slots_of

if TYPE_CHECKING:
    import pytest

ranges = st.tuples(st.integers(1, 40), st.integers(0, 3)).map(lambda one: Ports(one[0], one[0] + one[1]))
items = st.builds(ExposedPort, ranges, st.sampled_from(Transport))


def mapping(external: int, item: ExposedPort) -> PortMapping:
    return PortMapping(Ports(external, external + item.ports.size - 1), item.ports, item.transport)


@given(st.lists(st.builds(mapping, st.integers(100, 140), items), max_size=12), st.lists(items, max_size=12))
def test_no_port_is_given_to_two_items(current: list[PortMapping], wanted: list[ExposedPort]) -> None:
    found = [one for one in reusable_mappings(current, wanted, lambda _one: True) if one is not None]
    for (ports, protocol), (others, other) in combinations(slots_of(found), 2):
        assert protocol is not other or not ports.overlaps(others)


def test_comparisons_for_a_long_list_grow_as_its_items_do(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    overlaps = Ports.overlaps

    def counted(one: Ports, other: Ports) -> bool:
        nonlocal compared
        compared += 1
        return overlaps(one, other)

    wanted = [ExposedPort(Ports(3000 + number, 3000 + number), Transport.TCP) for number in range(1000)]
    current = [mapping(20_000 - number, item) for number, item in enumerate(wanted)]
    monkeypatch.setattr(Ports, "overlaps", counted)
    assert reusable_mappings(current, wanted, lambda _one: True) == current
    assert compared <= 4 * len(wanted)
