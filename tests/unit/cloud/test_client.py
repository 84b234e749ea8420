"""The cloud's client: credentials, addresses, and failures that arrive sorted."""

import json
from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudClient, CloudError, GatewayInfo, Meaning
from poddnat.config import Values
from poddnat.config.values import parse
from poddnat.gateway import Fleet, GatewayListener, Ownership
from poddnat.model import ALL_PORTS, Protocol
from tests.unit.hooks.world import EIP, GATEWAY, KEY, SECRET, cloud, values
from tests.unit.odd_server import odd_server
from vpc_emulator import Emulator, EmulatorServer, Fault, World


@pytest.fixture
def emulator() -> Emulator:
    return cloud()


@pytest.fixture
def read(emulator: Emulator) -> Iterator[Values]:
    with EmulatorServer(emulator) as server:
        yield parse(values(server.url))
    assert emulator.bugs == []


class Nobody:
    has_synced = True

    def is_of_another(self, _uid: str) -> bool:
        return False

    def is_alive(self, _uid: str) -> bool:
        return False

    def gone_of(self, uids: Collection[str]) -> set[str]:
        return set(uids)


def addresses(read: Values, cloud: CloudClient | None = None) -> list[str]:
    fleet = Fleet(read, cloud or CloudClient(read), Ownership("c"), Nobody(), GatewayListener())
    fleet.start()
    try:
        wait_until(lambda: fleet.known, 10, "the gateways to be read")
        return [place.external_ip for candidate in fleet.candidates() for place in candidate.places]
    finally:
        fleet.stop()


def test_only_the_listed_eips_of_a_gateway_belong_to_the_pool(read: Values) -> None:
    assert addresses(read) == [EIP]


def test_all_eips_of_a_gateway_belong_to_the_pool_when_none_is_listed(read: Values) -> None:
    pool = tuple(replace(entry, eips=None) for entry in read.pool)
    assert addresses(replace(read, pool=pool)) == [EIP, "203.0.113.99"]


def test_eips_of_a_gateway_can_be_asked_for(read: Values) -> None:
    assert CloudClient(read).describe_eip_addresses(GATEWAY) == [EIP, "203.0.113.99"]


def test_default_route_of_a_vswitch_is_found(read: Values) -> None:
    client = CloudClient(read)
    assert client.describe_default_route(client.describe_route_table_list().of("vsw-1")) == ("NatGateway", GATEWAY)


def test_vswitch_that_no_table_lists_uses_the_system_table() -> None:
    world = {
        "vpcs": [{"id": "vpc-1", "cidr": "172.16.0.0/12"}],
        "credentials": [{"access_key_id": KEY, "access_key_secret": SECRET}],
        "route_tables": [
            {"id": "vtb-own", "vpc": "vpc-1"},
            {"id": "vtb-system", "vpc": "vpc-1", "type": "System", "lists_vswitches": False},
        ],
        "vswitches": [
            {"id": "vsw-1", "vpc": "vpc-1", "zone": "cn-hangzhou-j", "cidr": "172.16.0.0/20", "route_table": "vtb-own"},
            {"id": "vsw-2", "vpc": "vpc-1", "zone": "cn-hangzhou-j", "cidr": "172.16.16.0/20"},
        ],
    }
    with EmulatorServer(Emulator(World.from_dict(world))) as server:
        tables = CloudClient(parse(values(server.url))).describe_route_table_list()
    assert [tables.of("vsw-1"), tables.of("vsw-2")] == ["vtb-own", "vtb-system"]
    assert tables.ids == ["vtb-own", "vtb-system"]


def test_gateway_that_is_not_paid_for_offers_no_addresses(emulator: Emulator, read: Values) -> None:
    emulator.set_business_status(GATEWAY, "FinancialLocked")
    assert addresses(read) == []


def test_wrong_secret_is_told_as_denied(read: Values) -> None:
    assert read.credential is not None
    wrong = replace(read, credential=replace(read.credential, secret="another"))
    with pytest.raises(CloudError) as caught:
        CloudClient(wrong).describe_nat_gateways()
    assert caught.value.meaning is Meaning.DENIED


def test_lost_answer_is_told_as_unknown(emulator: Emulator, read: Values) -> None:
    emulator.add_fault(Fault("lose-answer"))
    with pytest.raises(CloudError) as caught:
        CloudClient(read).describe_nat_gateways()
    assert caught.value.meaning is Meaning.UNKNOWN
    assert caught.value.quote == "DescribeNatGateways got no answer (remote end closed connection without response)"


def test_cloud_that_can_not_be_reached_is_told_without_the_call(read: Values) -> None:
    away = replace(read, endpoints=replace(read.endpoints, vpc="http://127.0.0.1:1"))
    with pytest.raises(CloudError) as caught:
        CloudClient(away).describe_nat_gateways()
    assert str(caught.value) == "DescribeNatGateways: no answer: connection refused"


def test_time_left_of_a_throttled_call_is_told_in_seconds(emulator: Emulator, read: Values) -> None:
    emulator.add_fault(Fault("throttle", seconds=7))
    with pytest.raises(CloudError) as caught:
        CloudClient(read).describe_nat_gateways()
    assert caught.value.meaning is Meaning.THROTTLED
    assert caught.value.retry_after == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"<html>", b'{"message": "sign in first"}'])
def test_answer_of_somebody_else_is_told_as_unknown(body: bytes) -> None:
    with odd_server() as server:
        server.body = body
        with pytest.raises(CloudError) as caught:
            CloudClient(parse(values(server.url))).describe_forward_table_entries(GATEWAY)
    assert caught.value.meaning is Meaning.UNKNOWN


def test_entry_of_a_kind_that_is_not_known_is_taken_to_hold_the_whole_address() -> None:
    row = {"ForwardEntryId": "fwd-1", "ExternalIp": EIP, "ExternalPort": "some", "InternalIp": "172.16.1.1"}
    row |= {"InternalPort": "80", "IpProtocol": "sctp", "Status": "Frozen"}
    with odd_server() as server:
        entries = {"ForwardTableEntry": [row]}
        server.body = json.dumps({"RequestId": "1", "TotalCount": 1, "ForwardTableEntries": entries}).encode()
        (entry,) = CloudClient(parse(values(server.url))).describe_forward_table_entries(GATEWAY).entries
    assert (entry.rule.external_ports, entry.rule.protocol) == (ALL_PORTS, Protocol.ANY)


class Stumbling(CloudClient):
    """Fails once in a way that nobody has thought of."""

    stumbled = False

    def describe_nat_gateways(self) -> list[GatewayInfo]:
        if not self.stumbled:
            self.stumbled = True
            raise ZeroDivisionError
        return super().describe_nat_gateways()


def test_gateways_are_read_again_after_a_failure_nobody_thought_of(
    read: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poddnat.gateway.fleet.GATEWAYS_RETRY_FIRST", 0.01)
    assert addresses(read, Stumbling(read)) == [EIP]


class Forgetful(CloudClient):
    """Answers once that there is nothing, and then as usual."""

    calls = 0

    def describe_nat_gateways(self) -> list[GatewayInfo]:
        self.calls += 1
        return [] if self.calls == 2 else super().describe_nat_gateways()


class Notes(GatewayListener):
    """Notes that a gateway, or an address of one, is said to be gone."""

    left = 0

    def places_left(self) -> None:
        self.left += 1


def test_gateways_that_one_answer_does_not_show_are_not_taken_for_gone(
    read: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GATEWAYS_EVERY", "MISSING_RECHECK"):
        monkeypatch.setattr(f"poddnat.gateway.fleet.{name}", 0.02)
    cloud, notes = Forgetful(read), Notes()
    fleet = Fleet(read, cloud, Ownership("c"), Nobody(), notes)
    fleet.start()
    try:
        wait_until(lambda: cloud.calls > 3, 5, "the gateways to be read again and again")
    finally:
        fleet.stop()
    assert notes.left == 0
    assert fleet.exists(GATEWAY)


def test_calls_inside_a_vpc_go_to_the_servers_that_the_values_name_by_https(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, object]] = []

    def look_up(host: object, port: object, *_args: object, **_options: object) -> list[object]:
        asked.append((host, port))
        raise OSError("no such host")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    inside = {"vpc": "vpc-vpc.cn-hangzhou.aliyuncs.com", "ecs": "ecs-vpc.cn-hangzhou.aliyuncs.com"}
    client = CloudClient(parse({**values("http://unused"), "endpoints": inside}))
    with pytest.raises(CloudError):
        client.describe_nat_gateways()
    with pytest.raises(CloudError):
        client.describe_network_interfaces(["172.16.1.7"])
    assert set(asked) == {(inside["vpc"], 443), (inside["ecs"], 443)}
