"""Ports, protocols, and which forward rules the API refuses side by side."""

from __future__ import annotations

import pytest
from hypothesis import given

from poddnat.model import EntryStatus, ExposedPort, ForwardRule, Ports, Protocol
from tests.unit.samples import all_items, all_ports, items, mapping, rule, rules


@given(all_ports())
def test_ports_are_read_back_as_written(ports: Ports) -> None:
    assert Ports.parse(str(ports)) == ports
    assert Ports.parse(ports.shown) == ports


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        pytest.param("1", 1, 1, id="lowest"),
        pytest.param("65535", 65535, 65535, id="highest"),
        pytest.param("10/20", 10, 20, id="range"),
        pytest.param("10-20", 10, 20, id="range as people spell it"),
        pytest.param("10/10", 10, 10, id="range of one"),
        pytest.param("080", 80, 80, id="leading zero"),
    ],
)
def test_ports_are_read_as_the_api_and_people_spell_them(text: str, first: int, last: int) -> None:
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
        pytest.param("80:90", id="other separator"),
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


def test_rule_for_a_range_reads_as_a_sentence() -> None:
    assert str(rule("512/522", "9000/9010")) == "203.0.113.10:512-522 to 172.16.0.7:9000-9010 (tcp)"


@pytest.mark.parametrize(
    ("less", "covered"),
    [
        ("9000-9010/udp", True),
        ("9005/udp", True),
        ("9000-9010/tcpudp", False),
        ("9000-9010/tcp", False),
        ("9000-9011/udp", False),
    ],
)
def test_item_covers_what_asks_for_no_more(less: str, covered: bool) -> None:  # noqa: FBT001
    more, other = items("9000-9010/udp", less)
    assert more.covers(other) is covered


def test_item_of_both_protocols_covers_each() -> None:
    both, tcp, udp = items("80/tcpudp", "80/tcp", "80/udp")
    assert both.covers(tcp)
    assert both.covers(udp)


@given(all_items(), all_items())
def test_items_overlap_when_they_would_share_a_port_of_a_protocol(one: ExposedPort, other: ExposedPort) -> None:
    def pairs(item: ExposedPort) -> set[tuple[int, Protocol]]:
        ports = range(item.ports.first, item.ports.last + 1)
        return {(port, protocol) for port in ports for protocol in item.transport.protocols}

    assert one.overlaps(other) == bool(pairs(one) & pairs(other))
    assert one.covers(other) == (pairs(other) <= pairs(one))


def test_mapping_takes_an_entry_for_each_protocol_tcp_first() -> None:
    both = mapping("512->80/tcpudp")
    assert both.rules("203.0.113.10", "172.16.0.7") == (rule("512", "80"), rule("512", "80", protocol=Protocol.UDP))
    assert both.slots == ((Ports(512, 512), Protocol.TCP), (Ports(512, 512), Protocol.UDP))


def test_mapping_is_shown_as_people_spell_it() -> None:
    assert str(mapping("512-522->9000-9010/udp")) == "512-522->9000-9010/udp"
