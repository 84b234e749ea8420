"""The list of ports in a pod's annotation: what is understood, and what is refused and how."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poddnat.api.port_list import PortListError, parse
from poddnat.model import MOST_ITEMS, ExposedPort, Ports, Transport
from tests.unit.samples import all_items, items


def problem(text: str) -> str:
    """Return the one problem of a list."""
    with pytest.raises(PortListError) as caught:
        parse(text, Transport.TCP)
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("80", ["80/tcp"], id="port"),
        pytest.param("80,53/udp,9000-9010/udp", ["80/tcp", "53/udp", "9000-9010/udp"], id="each with its own"),
        pytest.param("27015/tcpudp", ["27015/tcpudp"], id="both protocols"),
        pytest.param("53/UDP,80/Tcp,90/TcpUdp", ["53/udp", "80/tcp", "90/tcpudp"], id="any case"),
        pytest.param(" 80 , 9000 - 9010 / udp ,\t443", ["80", "9000-9010/udp", "443"], id="spaces"),
        pytest.param("80/tcp,80/udp", ["80/tcp", "80/udp"], id="one port, two items"),
        pytest.param("7000-7000", ["7000"], id="range of one"),
        pytest.param("080", ["80"], id="leading zero"),
        pytest.param("1-65535/udp", ["1-65535/udp"], id="all there are"),
        pytest.param("443,80", ["443", "80"], id="in the order given"),
    ],
)
def test_list_is_understood(text: str, expected: list[str]) -> None:
    assert parse(text, Transport.TCP) == items(*expected)


@pytest.mark.parametrize("usual", Transport)
def test_item_without_a_protocol_has_the_usual_one(usual: Transport) -> None:
    assert parse("80-81,53/udp", usual) == (ExposedPort(Ports(80, 81), usual), *items("53/udp"))


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        pytest.param("", "names no port", '"80,53/udp,9000-9010/udp"', id="nothing"),
        pytest.param("  ", "names no port", '"80,53/udp,9000-9010/udp"', id="blank"),
        pytest.param("http", '"http"', "use ports from 1 to 65535 or ranges of them", id="name"),
        pytest.param("-80", '"-80"', "use ports from 1", id="negative"),
        pytest.param("80:8080", '"80:8080"', "use ports from 1", id="mapping"),
        pytest.param("80;443", '"80;443"', "separated by commas", id="semicolon"),
        pytest.param("80 443", '"80 443"', "separated by commas", id="space"),
        pytest.param("80,", '""', "there is a comma too many; use ports", id="comma at the end"),
        pytest.param("80,,443", '""', "there is a comma too many; use ports", id="two commas"),
        pytest.param(
            "80\uff0c443", '"80\uff0c443"', "\uff0c is U+FF0C FULLWIDTH COMMA; use ports", id="full-width comma"
        ),
        pytest.param("80、443", '"80、443"', "、 is U+3001 IDEOGRAPHIC COMMA; use ports", id="ideographic comma"),
        pytest.param(
            "\uff18\uff10",
            '"\uff18\uff10"',
            "\uff18 is U+FF18 FULLWIDTH DIGIT EIGHT; use ports",
            id="full-width digits",
        ),
        pytest.param("9000\u20139010", '"9000\u20139010"', "\u2013 is U+2013 EN DASH; use ports", id="en dash"),
        pytest.param("\u200b80", '"<U+200B>80"', "an invisible character, U+200B ZERO WIDTH SPACE; use", id="no width"),
        pytest.param("80\x00", '"80<U+0000>"', "an invisible character, U+0000 a control character; use", id="null"),
        pytest.param("53/udp\u200b", '"53/udp<U+200B>"', "U+200B ZERO WIDTH SPACE; the protocol", id="in a protocol"),
        pytest.param("80-", '"80-"', "ranges of them", id="range without an end"),
        pytest.param("1-2-3", '"1-2-3"', "ranges of them", id="two hyphens"),
        pytest.param("80/", '"80/"', "such as", id="no protocol after the slash"),
        pytest.param("٨٠", '"٨٠"', "٨ is U+0668 ARABIC-INDIC DIGIT EIGHT; use ports from 1", id="other digits"),
        pytest.param("0", '"0"', "ports go from 1 to 65535", id="zero"),
        pytest.param("70000/udp", '"70000/udp"', "ports go from 1 to 65535", id="too high"),
        pytest.param("65530-65536", '"65530-65536"', "ports go from 1 to 65535", id="range too high"),
        pytest.param("9010-9000", '"9010-9000"', "the lower port first, such as 9000-9010", id="reversed"),
        pytest.param("10/20", '"10/20"', "write a range with a hyphen, such as 10-20", id="as the API spells it"),
        pytest.param("80/sctp", '"80/sctp"', 'the protocol after a port is "tcp", "udp" or "tcpudp"', id="sctp"),
        pytest.param("80/tcp/udp", '"80/tcp/udp"', '"tcpudp"', id="two protocols"),
        pytest.param("80,443,80", '"80" and "80"', "list each port once for each protocol", id="twice"),
        pytest.param("80,080", '"80" and "080"', "list each port once for each protocol", id="twice in disguise"),
        pytest.param("9000-9010,9005", '"9000-9010" and "9005"', "overlap", id="within a range"),
        pytest.param("1-9,5-12", '"1-9" and "5-12"', "overlap", id="ranges"),
        pytest.param("53/tcpudp,53/udp", '"53/tcpudp" and "53/udp"', "overlap", id="one of both protocols"),
        pytest.param("1-100,20,90", '"1-100" and "20", "1-100" and "90"', "overlap", id="several in a range"),
        pytest.param("http,80,https", 'the items "http", "https": ', "use ports", id="two alike in one problem"),
    ],
)
def test_refusal_names_the_items_and_what_would_be_right(text: str, wrong: str, right: str) -> None:
    message = problem(text)
    assert wrong in message
    assert right in message


def test_problems_of_different_kinds_are_all_reported() -> None:
    with pytest.raises(PortListError) as caught:
        parse("http,80/sctp,9-1,70000,80,80", Transport.TCP)
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    "text",
    [
        ",".join(f"port-{n}" for n in range(9_000)),
        "9" * 100_000,
        "80," * 30_000 + "80",
        "5,5," * 9_000 + "5",
        ",".join(f"{n}-{n + 1}" for n in range(1, 30_000)),
        "80/" + "x" * 100_000,
    ],
    ids=lambda text: text[:10],
)
def test_refusal_is_short_however_long_the_list(text: str) -> None:
    assert len(problem(text)) < 600


def lists() -> st.SearchStrategy[list[ExposedPort]]:
    """Lists in which nothing overlaps."""

    def apart(found: list[ExposedPort]) -> list[ExposedPort]:
        disjoint: list[ExposedPort] = []
        for item in found:
            if not any(item.overlaps(other) for other in disjoint):
                disjoint.append(item)
        return disjoint

    return st.lists(all_items(60), min_size=1).map(apart)


@given(lists(), st.sampled_from([",", " , ", ",\n"]), st.booleans())
def test_every_list_is_read_back_as_written(items: list[ExposedPort], comma: str, shouting: bool) -> None:  # noqa: FBT001
    text = comma.join(map(str, items))
    assert parse(text.upper() if shouting else text, Transport.TCP) == tuple(items)


@given(st.lists(all_items(), min_size=2))
def test_list_is_refused_just_when_items_overlap(items: list[ExposedPort]) -> None:
    pairs = [(one, other) for index, one in enumerate(items) for other in items[:index]]
    overlap = any(one.overlaps(other) for one, other in pairs)
    try:
        parse(",".join(map(str, items)), Transport.UDP)
    except PortListError:
        assert overlap
    else:
        assert not overlap


pieces = st.sampled_from(["80", "443", ",", " ", "0", "-", "/", "tcp", "UDP", "tcpudp", "65536", "\x00", "६", "\n"])


@given(st.text() | st.lists(pieces).map("".join), st.sampled_from(Transport))
@example("9" * 5000, Transport.TCP)
@example("²", Transport.TCP)
@example("1-²/udp", Transport.TCP)
def test_any_text_is_either_understood_or_refused(text: str, usual: Transport) -> None:
    with suppress(PortListError):
        assert parse(text, usual)


def test_list_may_be_long_but_not_without_end() -> None:
    ports = [str(port) for port in range(1, MOST_ITEMS + 2)]
    assert len(parse(",".join(ports[:-1]), Transport.TCP)) == MOST_ITEMS
    with pytest.raises(PortListError, match="lists 1001 items; list 1000 at most"):
        parse(",".join(ports), Transport.TCP)
