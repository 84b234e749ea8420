"""The PodDNAT object: its spec and status as other programs read and write them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poddnat.api import (
    UNNAMED,
    Condition,
    Owner,
    PodDNAT,
    SpecError,
    controller_of,
    entry_ids,
    manifest,
    observed_condition,
    parse_spec,
    ready_since,
    spec_of,
    status,
    working_ports,
)
from poddnat.model import MOST_ITEMS, PortMapping, Ports, Transport
from tests.unit.samples import all_ports, entry, working
from tests.unit.samples import mapping as port_mapping

Json = dict[str, Any]

NOON, LATER = "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"
DONE = Condition(ready=True, reason="Ready", message="All ports work.")
FULL = Condition(ready=False, reason="QuotaExceeded", message="The table is full.")
WEB = working("512->80/tcp", "fwd-1")
DNS = working("512->53/udp", "fwd-2")
VOICE = working("700-710->9000-9010/udp", "fwd-3")
QUERY = working("513->27015/tcpudp", "fwd-4", "fwd-5")


def spec(**changes: object) -> Json:
    """Write a spec as ACK's controller does, with some other values; Ellipsis takes a key away."""
    usual: Json = {
        "eni": "eni-1",
        "externalIP": "203.0.113.10",
        "internalIP": "172.16.0.7",
        "portMapping": [{"externalPort": "512", "internalPort": "80"}],
        "protocol": "tcp",
        "tableId": "ngw-a",
        "vswitch": "vsw-1",
        "zoneID": "cn-hangzhou-k",
    }
    return {key: value for key, value in (usual | changes).items() if value is not ...}


def asking(*texts: str) -> PodDNAT:
    """Make a PodDNAT with items such as ``512->80/udp``."""
    return PodDNAT("ngw-a", "203.0.113.10", "172.16.0.7", tuple(map(port_mapping, texts)))


def mapping(**changes: object) -> list[Json]:
    return [{key: value for key, value in {"externalPort": "512", "internalPort": "80", **changes}.items() if value}]


# The spec


def test_spec_of_acks_controller_is_understood() -> None:
    assert parse_spec(spec()) == replace(asking("512->80/tcp"), eni="eni-1", vswitch="vsw-1", zone="cn-hangzhou-k")


def test_spec_is_written_as_acks_controller_does() -> None:
    assert parse_spec(spec()).spec() == spec()


def test_only_a_protocol_that_differs_is_written_beside_its_ports() -> None:
    both = asking("512->53/tcp", "513->54/udp")
    assert both.spec()["protocol"] == "tcp"
    assert both.spec()["portMapping"] == [
        {"externalPort": "512", "internalPort": "53"},
        {"externalPort": "513", "internalPort": "54", "protocol": "udp"},
    ]


def test_range_is_written_as_the_api_spells_it() -> None:
    (written,) = asking("700-710->9000-9010/udp").spec()["portMapping"]
    assert written == {"externalPort": "700/710", "internalPort": "9000/9010"}


@pytest.mark.parametrize(
    ("texts", "usual"),
    [(["512->80/tcpudp"], "tcp"), (["512->80/tcpudp", "513->53/udp"], "udp"), (["512->80/tcpudp", "513->53"], "tcp")],
)
def test_both_protocols_at_once_are_only_written_beside_their_ports(texts: list[str], usual: str) -> None:
    written = asking(*texts).spec()
    assert written["protocol"] == usual
    assert written["portMapping"][0]["protocol"] == "tcpudp"


@st.composite
def some_mappings(draw: st.DrawFn) -> PortMapping:
    external = draw(all_ports())
    first = draw(st.integers(1, 65536 - external.size))
    transport = draw(st.sampled_from(Transport))
    return PortMapping(external, Ports.of(first, first + external.size - 1), transport)


def apart(mappings: list[PortMapping]) -> bool:
    """Whether no port is mapped twice for the same protocol."""
    return not any(
        set(one.transport.protocols) & set(other.transport.protocols)
        and (one.external.overlaps(other.external) or one.internal.overlaps(other.internal))
        for one, other in itertools.combinations(mappings, 2)
    )


@given(st.lists(some_mappings(), min_size=1, max_size=2))
def test_spec_that_maps_a_port_twice_is_refused(mappings: list[PortMapping]) -> None:
    poddnat = replace(asking(), mappings=tuple(mappings))
    if apart(mappings):
        assert parse_spec(poddnat.spec()) == poddnat
    else:
        with pytest.raises(SpecError, match="which overlap; each port may be there once for"):
            parse_spec(poddnat.spec())


def test_thousand_mappings_of_all_ports_ask_for_nothing() -> None:
    everything = {"externalPort": "1/65535", "internalPort": "1/65535", "protocol": "tcpudp"}
    with pytest.raises(SpecError, match="lists 1-65535 and 1-65535 of externalPort, which overlap"):
        parse_spec(spec(portMapping=[everything] * MOST_ITEMS))


@given(st.lists(some_mappings(), min_size=1, max_size=3).filter(apart))
def test_spec_is_read_back_as_written(mappings: list[PortMapping]) -> None:
    poddnat = replace(asking(), mappings=tuple(mappings), eni="eni-1", vswitch="vsw-1", zone="z")
    assert parse_spec(poddnat.spec()) == poddnat


def test_range_that_is_spelled_as_people_do_is_understood() -> None:
    written = spec(portMapping=mapping(externalPort="700-710", internalPort="9000-9010"))
    assert parse_spec(written).mappings == asking("700-710->9000-9010").mappings


def test_item_takes_one_forward_entry_for_each_protocol() -> None:
    rules = asking("512->80/tcpudp", "700-710->9000-9010/udp").rules
    assert [(str(rule.external_ports), str(rule.internal_ports), rule.protocol) for rule in rules] == [
        ("512", "80", "tcp"),
        ("512", "80", "udp"),
        ("700/710", "9000/9010", "udp"),
    ]


@pytest.mark.parametrize(
    ("written", "protocol"),
    [
        pytest.param(spec(protocol="udp"), Transport.UDP, id="udp"),
        pytest.param(spec(protocol="UDP"), Transport.UDP, id="upper case"),
        pytest.param(spec(protocol=...), Transport.TCP, id="left out"),
        pytest.param(spec(protocol=""), Transport.TCP, id="empty"),
        pytest.param(spec(portMapping=mapping(protocol="UDP")), Transport.UDP, id="of the ports"),
        pytest.param(spec(portMapping=mapping(protocol="TCPUDP")), Transport.TCPUDP, id="both"),
    ],
)
def test_protocol_is(written: Json, protocol: Transport) -> None:
    assert parse_spec(written).mappings[0].transport is protocol


def test_what_only_informs_may_be_left_out() -> None:
    assert parse_spec(spec(eni=..., vswitch=..., zoneID=...)).zone == ""


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        pytest.param({}, "spec.portMapping is empty", id="nothing"),
        pytest.param(spec(portMapping=None), "spec.portMapping is empty", id="no ports"),
        pytest.param(spec(tableId=...), "spec.tableId is missing", id="no gateway"),
        pytest.param(spec(externalIP=""), "spec.externalIP is missing", id="no external address"),
        pytest.param(spec(internalIP=...), "spec.internalIP is missing", id="no internal address"),
        pytest.param(spec(protocol="any"), r'spec.portMapping\[0\]: protocol "any" is none of tcp, udp and', id="any"),
        pytest.param(spec(portMapping=mapping(externalPort="")), r"\[0\].externalPort: '' is not a port", id="no port"),
        pytest.param(
            spec(portMapping=mapping(internalPort="70000")), r"\[0\].internalPort: .* not within 1-65535", id="too high"
        ),
        pytest.param(
            spec(portMapping=mapping(externalPort="512/514")), "3 ports to 1; both sides need the same", id="lengths"
        ),
    ],
)
def test_spec_that_can_not_be_understood_is_refused_by_field(wrong: Json, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        parse_spec(wrong)


@pytest.mark.parametrize("poddnat", [{}, {"spec": None}])
def test_poddnat_by_hand_may_have_no_spec(poddnat: Json) -> None:
    assert spec_of(poddnat) == {}


def test_manifest_is_of_the_pods_name() -> None:
    assert manifest("games", "web-0", parse_spec(spec())) == {
        "apiVersion": "alibabacloud.com/v1",
        "kind": "PodDNAT",
        "metadata": {"namespace": "games", "name": "web-0", "finalizers": [UNNAMED.finalizer]},
        "spec": spec(),
    }


def test_controller_is_the_owner_that_says_so() -> None:
    user = {"apiVersion": "v1", "kind": "Config", "name": "c", "uid": "uid-c"}
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "uid-p", "controller": True}
    assert controller_of({"ownerReferences": [user, pod]}) == Owner("v1", "Pod", "web-0", "uid-p")


@pytest.mark.parametrize(
    "metadata", [{}, {"ownerReferences": None}, {"ownerReferences": [{"kind": "Pod", "name": "web-0", "uid": "u"}]}]
)
def test_object_without_a_controller_has_none(metadata: Json) -> None:
    assert controller_of(metadata) is None


# The status


def test_status_lists_the_entries_as_other_programs_read_them() -> None:
    assert status({}, [WEB], DONE, NOON)["entries"] == [
        {
            "externalIP": "203.0.113.10",
            "externalPort": "512",
            "forwardEntryId": "fwd-1",
            "internalIP": "172.16.0.7",
            "internalPort": "80",
            "ipProtocol": "tcp",
        }
    ]


def test_item_of_both_protocols_is_one_entry_with_both_ids() -> None:
    (shown,) = status({}, [QUERY], DONE, NOON)["entries"]
    assert (shown["ipProtocol"], shown["forwardEntryId"]) == ("tcpudp", "fwd-4,fwd-5")


def test_range_is_one_entry_as_the_api_spells_it() -> None:
    (shown,) = status({}, [VOICE], DONE, NOON)["entries"]
    assert (shown["externalPort"], shown["internalPort"]) == ("700/710", "9000/9010")


def test_status_shows_the_ports_in_brief() -> None:
    ports = status({}, [WEB, VOICE, QUERY], DONE, NOON)["ports"]
    assert ports == "512->80/tcp,700-710->9000-9010/udp,513->27015/tcpudp"


def test_items_work_when_all_their_entries_do() -> None:
    poddnat = asking("513->27015/tcpudp", "512->80/tcp", "700-710->9000-9010/udp")
    query_tcp, query_udp, web, voice = (entry(f"fwd-{n}", of=rule) for n, rule in enumerate(poddnat.rules))
    ids = [port.entry_ids for port in poddnat.working([voice, web, query_udp, query_tcp])]
    assert ids == [("fwd-0", "fwd-1"), ("fwd-2",), ("fwd-3",)]
    assert [port.mapping.internal.first for port in poddnat.working([query_udp, web])] == [80]


def test_status_without_entries_is_written_in_full() -> None:
    written = status({}, [], FULL, NOON)
    assert written["entries"] == []
    assert written["ports"] == ""


def test_condition_is_one_that_kubernetes_understands() -> None:
    assert status({}, [], FULL, NOON)["conditions"] == [
        {
            "type": "Ready",
            "status": "False",
            "reason": "QuotaExceeded",
            "message": "The table is full.",
            "lastTransitionTime": NOON,
        }
    ]


@pytest.mark.parametrize("condition", [DONE, FULL], ids=["ready", "not ready"])
def test_status_that_has_not_changed_is_written_the_same(condition: Condition) -> None:
    before = status({}, [WEB], condition, NOON)
    assert status(before, [WEB], condition, LATER) == before


@pytest.mark.parametrize(
    ("before", "after", "time"),
    [
        pytest.param(FULL, DONE, LATER, id="becomes ready"),
        pytest.param(DONE, FULL, LATER, id="is ready no more"),
        pytest.param(FULL, Condition(ready=False, reason="Other", message="Else."), NOON, id="has another reason"),
    ],
)
def test_time_is_that_of_the_last_change_between_ready_and_not(before: Condition, after: Condition, time: str) -> None:
    (condition,) = status(status({}, [], before, NOON), [], after, LATER)["conditions"]
    assert condition["lastTransitionTime"] == time


def test_ready_status_tells_since_when() -> None:
    assert ready_since(status({}, [], DONE, NOON)) == NOON


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param({}, id="nothing judged"),
        pytest.param(status({}, [], FULL, NOON), id="not ready"),
        pytest.param({"conditions": [{"type": "Ready", "status": "True"}]}, id="no time"),
    ],
)
def test_other_status_does_not_tell_since_when(observed: Json) -> None:
    assert ready_since(observed) is None


@pytest.mark.parametrize("condition", [DONE, FULL], ids=["ready", "not ready"])
def test_condition_is_read_back_as_written(condition: Condition) -> None:
    assert observed_condition(status({}, [], condition, NOON)) == condition


@pytest.mark.parametrize("observed", [{}, {"conditions": None}, {"conditions": [{"type": "Other", "status": "True"}]}])
def test_status_that_judges_nothing_has_no_condition(observed: Json) -> None:
    assert observed_condition(observed) is None


def test_working_ports_are_read_back_as_written() -> None:
    written = status({}, [WEB, DNS, VOICE, QUERY], DONE, NOON)
    assert entry_ids(written) == ("fwd-1", "fwd-2", "fwd-3", "fwd-4", "fwd-5")
    assert working_ports(written) == (WEB, DNS, VOICE, QUERY)


def test_protocol_of_an_entry_is_read_in_any_case() -> None:
    written = status({}, [DNS], DONE, NOON)
    written["entries"][0]["ipProtocol"] = "UDP"
    assert working_ports(written) == (DNS,)


def test_entry_that_makes_no_sense_is_passed_over() -> None:
    written = status({}, [DNS, WEB], DONE, NOON)
    written["entries"][0]["externalPort"] = "http"
    assert working_ports(written) == (WEB,)


@pytest.mark.parametrize("observed", [{}, {"entries": None}, {"entries": []}])
def test_status_without_entries_has_no_ids_and_no_ports(observed: Json) -> None:
    assert entry_ids(observed) == ()
    assert working_ports(observed) == ()


def test_spec_with_more_items_than_a_pod_may_list_is_refused() -> None:
    mappings = [{"externalPort": str(1000 + port), "internalPort": str(port)} for port in range(1, MOST_ITEMS + 2)]
    assert len(parse_spec(spec(portMapping=mappings[:-1])).mappings) == MOST_ITEMS
    with pytest.raises(SpecError, match="has 1001 items; it may have 1000"):
        parse_spec(spec(portMapping=mappings))
