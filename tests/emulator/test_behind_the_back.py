"""Changes that do not go through the API, the record of those that do, and the control address."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.emulator.support import EIP, GATEWAY, SNAT_EIP, Cloud, Refusal
from vpc_emulator import Emulator, EmulatorServer
from vpc_emulator.control import Control
from vpc_emulator.signature import Request


def _add(emulator: Emulator, port: int = 512) -> str:
    return emulator.add_entry(
        GATEWAY,
        external_ip=EIP,
        external_port=port,
        internal_ip="172.16.1.9",
        internal_port=port,
        name="foreign",
    ).id


def test_foreign_entry_holds_its_port(cloud: Cloud, emulator: Emulator) -> None:
    _add(emulator)
    with Refusal("InvalidParameter.ForwardEntry.Duplicated"):
        cloud.create()
    assert [entry.name for entry in emulator.forward_entries(GATEWAY)] == ["foreign"]
    assert emulator.calls.count("DescribeForwardTableEntries") == 0


def test_foreign_entry_cannot_take_a_held_port(emulator: Emulator) -> None:
    _add(emulator)
    with pytest.raises(ValueError, match="holds"):
        _add(emulator)


def test_edited_entry_frees_its_old_port(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = _add(emulator)
    emulator.edit_entry(GATEWAY, entry_id, external_port="513")
    cloud.create()
    with pytest.raises(ValueError, match="holds"):
        emulator.edit_entry(GATEWAY, entry_id, external_port="512")
    assert [entry["ExternalPort"] for entry in cloud.entries(forward_entry_id=entry_id)] == ["513"]


def test_renamed_entry_shows_its_new_name(cloud: Cloud, emulator: Emulator) -> None:
    emulator.rename_entry(GATEWAY, _add(emulator), "mine")
    assert cloud.entries()[0]["ForwardEntryName"] == "mine"


def test_entry_deleted_by_somebody_is_gone_at_once(cloud: Cloud, emulator: Emulator) -> None:
    entry_id = cloud.create()
    emulator.delete_entry(GATEWAY, entry_id)
    with Refusal("InvalidForwardEntryId.NotFound"):
        cloud.delete(entry_id)


def test_unbound_eip_refuses_new_entries(cloud: Cloud, emulator: Emulator) -> None:
    emulator.remove_eip(GATEWAY, EIP)
    with Refusal("InvalidIp.NotInNatgw", 400):
        cloud.create()


def test_released_eip_is_not_found(cloud: Cloud, emulator: Emulator) -> None:
    emulator.remove_eip(GATEWAY, SNAT_EIP, release=True)
    with Refusal("InvalidExternalIp.NotFound", 404):
        cloud.create(external_ip=SNAT_EIP)


def test_calls_are_recorded_with_parameters_and_outcome(cloud: Cloud, emulator: Emulator) -> None:
    cloud.create()
    with Refusal("InvalidForwardEntryId.NotFound"):
        cloud.delete("fwd-0")
    calls = [(call.action, call.outcome) for call in emulator.calls]
    assert calls == [("CreateForwardEntry", "OK"), ("DeleteForwardEntry", "InvalidForwardEntryId.NotFound")]
    assert emulator.calls.list()[0].parameters["ExternalPort"] == "512"
    assert emulator.calls.counts["CreateForwardEntry", "OK"] == 1
    emulator.reset_calls()
    assert emulator.calls.count() == 0


def _control(server: EmulatorServer, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/_emulator/{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_control_address_lays_and_clears_faults(cloud: Cloud, server: EmulatorServer) -> None:
    _control(server, "POST", "faults", {"kind": "error", "code": "OperationConflict", "times": None})
    with Refusal("OperationConflict", 409):
        cloud.create()
    _control(server, "DELETE", "faults")
    cloud.create()


def test_control_address_changes_the_world(cloud: Cloud, server: EmulatorServer) -> None:
    changes = [
        {"do": "set_quota", "with": {"gateway_id": GATEWAY, "quota": 0}},
        {"do": "set_rate_limit", "with": {}},
    ]
    assert _control(server, "POST", "world", changes) == {"results": [None, None]}
    with Refusal("QuotaExceeded.ForwardEntry"):
        cloud.create()


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        ("add_snat_entry", {"address": EIP}),
        ("remove_snat_entry", {"address": SNAT_EIP}),
        ("set_eip_in_binding", {"address": EIP, "seconds": 5}),
        ("set_business_status", {"gateway_id": GATEWAY, "status": "FinancialLocked"}),
        ("set_gateway_status", {"gateway_id": GATEWAY, "status": "Modifying", "seconds": 5}),
        ("set_listing_order", {"order": "reverse"}),
        ("set_churn", {"gateway_id": GATEWAY, "entries": 2, "seconds": 5}),
    ],
)
def test_control_address_takes_change(server: EmulatorServer, change: str, arguments: dict[str, Any]) -> None:
    assert _control(server, "POST", "world", {"do": change, "with": arguments}) == {"results": [None]}


def test_control_address_lets_another_client_call(cloud: Cloud, server: EmulatorServer) -> None:
    changes = [
        {"do": "set_rate_limit", "with": {"calls": 2}},
        {"do": "use_up_rate", "with": {"action": "DescribeNatGateways"}},
    ]
    assert _control(server, "POST", "world", changes) == {"results": [None, 2]}
    with Refusal("Throttling.User"):
        cloud.gateways()


def test_control_address_shows_state_and_calls(cloud: Cloud, server: EmulatorServer) -> None:
    entry_id = cloud.create()
    state = _control(server, "GET", "state")
    assert [entry["ForwardEntryId"] for entry in state["gateways"][GATEWAY]["entries"]] == [entry_id]
    assert state["bugs"] == []
    calls = _control(server, "GET", "calls?full=true")
    assert calls["counts"] == {"CreateForwardEntry": {"OK": 1}}
    assert calls["calls"][0]["parameters"]["ExternalIp"] == EIP


def test_control_address_resets_all(cloud: Cloud, server: EmulatorServer, emulator: Emulator) -> None:
    cloud.create()
    _control(server, "POST", "world", {"do": "remove_gateway", "with": {"gateway_id": "ngw-2"}})
    _control(server, "POST", "reset")
    assert (len(cloud.gateways()), cloud.entries()) == (2, [])
    assert emulator.calls.count("CreateForwardEntry") == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("faults", {"kind": "explode"}, 400, id="unknown fault"),
        pytest.param("world", {"do": "note_bug"}, 400, id="method that is no change"),
        pytest.param("world", {"do": "set_quota", "with": {"quota": 1}}, 400, id="missing argument"),
        pytest.param("world", "text", 400, id="no object"),
        pytest.param("elsewhere", {}, 404, id="unknown path"),
    ],
)
def test_control_address_refuses(server: EmulatorServer, path: str, body: Any, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _control(server, "POST", path, body)
    with caught.value as answer:
        assert answer.status == status


def test_control_address_answers_loopback_only(emulator: Emulator) -> None:
    request = Request("GET", "/_emulator/state", "", {}, b"", peer="192.0.2.1")
    assert Control(emulator).answer(request)[0] == 403
