"""Ports, protocols, and which forward rules the API refuses side by side."""

from __future__ import annotations

import pytest
from hypothesis import given

from poddnat.model import EntryStatus, ForwardRule, Ports, Protocol
from tests.unit.samples import all_ports, rule, rules


@given(all_ports())
def test_ports_are_read_back_as_written(ports: Ports) -> None:
    assert Ports.parse(str(ports)) == ports


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        pytest.param("1", 1, 1, id="lowest"),
        pytest.param("65535", 65535, 65535, id="highest"),
        pytest.param("10/20", 10, 20, id="range"),
        pytest.param("10/10", 10, 10, id="range of one"),
        pytest.param("080", 80, 80, id="leading zero"),
    ],
)
def test_ports_are_read_as_the_api_spells_them(text: str, first: int, last: int) -> None:
    assert Ports.parse(text) == (first, last)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("http", id="name"),
        pytest.param("0", id="zero"),
        pytest.param("65536", id="too high"),
        pytest.param("-1", id="negative"),
        pytest.param("20/10", id="upside down"),
        pytest.param("1/65536", id="range leaves 1-65535"),
        pytest.param("80-90", id="other separator"),
        pytest.param(" 80", id="space"),
        pytest.param("80\n", id="line end"),
        pytest.param("Any", id="any"),
        pytest.param("٨٠", id="other digits"),
    ],
)
def test_what_is_not_ports_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a port|not within 1-65535"):
        Ports.parse(text)


@given(all_ports(highest=50), all_ports(highest=50))
def test_ports_overlap_when_a_port_lies_in_both(one: Ports, other: Ports) -> None:
    shared = set(range(one.first, one.last + 1)) & set(range(other.first, other.last + 1))
    assert one.overlaps(other) == bool(shared)


@given(all_ports(highest=50))
def test_size_counts_the_ports(ports: Ports) -> None:
    assert ports.size == len(range(ports.first, ports.last + 1))


@pytest.mark.parametrize(
    ("other", "clashes"),
    [
        pytest.param(rule("512", "81"), True, id="same port"),
        pytest.param(rule("513", "81"), False, id="another port"),
        pytest.param(rule("510/515", "81/86"), True, id="range over it"),
        pytest.param(rule("512", "81", external_ip="203.0.113.11"), False, id="another address"),
        pytest.param(rule("512", "81", protocol=Protocol.UDP), False, id="another protocol"),
        pytest.param(rule("1/65535", "1/65535", protocol=Protocol.ANY), True, id="address mapped whole"),
    ],
)
def test_rules_clash_outside(other: ForwardRule, clashes: bool) -> None:  # noqa: FBT001
    assert rule("512", "80").clashes_outside(other) == clashes


@pytest.mark.parametrize(
    ("other", "clashes"),
    [
        pytest.param(rule("513", "80"), True, id="same port"),
        pytest.param(rule("513", "80", external_ip="203.0.113.11"), True, id="from another external address"),
        pytest.param(rule("513", "81"), False, id="another port"),
        pytest.param(rule("513/523", "75/85"), True, id="range over it"),
        pytest.param(rule("513", "80", internal_ip="172.16.0.8"), False, id="another pod"),
        pytest.param(rule("513", "80", protocol=Protocol.UDP), False, id="another protocol"),
    ],
)
def test_rules_clash_inside(other: ForwardRule, clashes: bool) -> None:  # noqa: FBT001
    assert rule("512", "80").clashes_inside(other) == clashes


@given(rules(), rules())
def test_clashes_are_mutual(one: ForwardRule, other: ForwardRule) -> None:
    assert one.clashes_outside(other) == other.clashes_outside(one)
    assert one.clashes_inside(other) == other.clashes_inside(one)


def test_state_that_the_api_may_add_counts_as_not_at_rest() -> None:
    assert EntryStatus("Migrating") is EntryStatus.MODIFYING


def test_rule_reads_as_a_sentence() -> None:
    assert str(rule("512", "80")) == "203.0.113.10:512 to 172.16.0.7:80 (tcp)"
