"""Where pods' addresses are in the VPC, by the emulated cloud."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.waiting import wait_until
from poddnat.cloud import CloudClient
from poddnat.config.values import parse
from poddnat.placement import Located, PodLocator, intervals
from tests.unit.hooks.world import cloud, values
from vpc_emulator import Emulator, EmulatorServer, Fault, ManualClock, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poddnat.config import Values
    from poddnat.model import Address


NODES = {"node-1": "i-node", "node-2": "i-other"}
ACTION = "DescribeNetworkInterfaces"


def test_addresses_that_are_requested_meanwhile_are_looked_up_together_a_hundred_at_a_time() -> None:
    with EmulatorServer(cloud()) as server:
        locator = PodLocator(CloudClient(parse(values(server.url))), NODES.get)
        for number in range(1, 121):
            locator.locate(f"pod-{number}", f"172.16.1.{number}")
        locator.start()
        try:
            wait_until(lambda: ("pod-120", "172.16.1.120") in locator._missed, 10, "the last address to be looked up")
        finally:
            locator.stop()
        assert isinstance(locator.locate("pod-1", "172.16.1.1"), Located)
        assert server.emulator.calls.count("DescribeNetworkInterfaces", "OK") == 2


class FailingOnce(CloudClient):
    """A cloud whose first answer about addresses is an error that nobody expects."""

    failed = False

    def describe_network_interfaces(self, ips: Sequence[str]) -> dict[str, Address]:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError
        return super().describe_network_interfaces(ips)


def test_address_stays_requested_after_an_unexpected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "FIRST_RETRY", 0.01)
    with EmulatorServer(cloud()) as server:
        locator = PodLocator(FailingOnce(parse(values(server.url))), NODES.get)
        locator.locate("pod-1", "172.16.1.1")
        locator.start()
        try:
            wait_until(lambda: locator._found, 10, "the address to be looked up again")
        finally:
            locator.stop()
        assert isinstance(locator.locate("pod-1", "172.16.1.1"), Located)


# Who waits for a look-up


class Held(CloudClient):
    """A cloud that answers when it is told to."""

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self.answer = threading.Event()

    def describe_network_interfaces(self, ips: Sequence[str]) -> dict[str, Address]:
        self.answer.wait()
        return super().describe_network_interfaces(ips)


@pytest.fixture
def held() -> Iterator[tuple[PodLocator, Held]]:
    with EmulatorServer(cloud()) as server:
        client = Held(parse(values(server.url)))
        locator = PodLocator(client, NODES.get)
        locator.start()
        try:
            yield locator, client
        finally:
            client.answer.set()
            locator.stop()


def test_hook_waits_for_a_look_up(held: tuple[PodLocator, Held], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "LONGEST_WAIT", 60.0)
    locator, client = held
    client.answer.set()
    assert isinstance(locator.locate("pod-1", "172.16.1.1"), Located)


def test_no_hook_waits_for_a_look_up_that_takes_long(
    held: tuple[PodLocator, Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "LONGEST_WAIT", 0.01)
    locator, client = held
    assert not isinstance(locator.locate("pod-1", "172.16.1.1"), Located)
    monkeypatch.setattr(intervals, "LONGEST_WAIT", 1_000_000.0)
    assert not isinstance(locator.locate("pod-2", "172.16.1.2"), Located)
    client.answer.set()
    wait_until(lambda: not locator._requested, 10, "both")
    # That was a quick one at last.
    wait_until(lambda: locator._quick, 10, "it to be noticed")
    assert isinstance(locator.locate("pod-3", "172.16.1.3"), Located)


# What is told, and when


class Clock:
    """Seconds that pass when the test says so; each look makes the next one due."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def looking(emulator: Emulator, clock: Clock) -> Iterator[PodLocator]:
    """Run a locator against a cloud."""
    with EmulatorServer(emulator) as server:
        locator = PodLocator(CloudClient(parse(values(server.url))), NODES.get, clock=clock)
        locator.start()
        try:
            yield locator
        finally:
            locator.stop()


def reported(locator: PodLocator, uid: str, ip: str, node: str = "") -> str | None:
    """Read what is told of an address: a reason, empty for nothing yet; None: it is located."""
    answer = locator.locate(uid, ip, node)
    if isinstance(answer, Located):
        return None
    return answer.problem.reason if answer.problem is not None else ""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(intervals, "LONGEST_RETRY", 0.02)


def test_address_that_no_interface_has_is_reported_after_three_looks() -> None:
    emulator, clock = cloud(), Clock()
    shown = []
    with looking(emulator, clock) as locator:
        for look in (1, 2, 3):
            reported(locator, "pod-1", "172.16.1.99")
            wait_until(lambda look=look: emulator.calls.count(ACTION) >= look, 10, "a look")  # type: ignore[misc]
            wait_until(lambda: not locator._requested, 10, "its answer")
            shown.append(reported(locator, "pod-1", "172.16.1.99"))
            clock.now += intervals.MISSING_ADDRESS_LONGEST
        assert shown == ["", "", "NoNetworkInterface"]
        assert reported(locator, "pod-1", "172.16.1.99") == "NoNetworkInterface"


class Empty(CloudClient):
    """A cloud in which no interface has any address."""

    def describe_network_interfaces(self, ips: Sequence[str]) -> dict[str, Address]:
        del ips
        return {}


def test_address_that_no_interface_has_for_days_is_still_looked_up_each_minute() -> None:
    clock = Clock()
    locator = PodLocator(Empty(parse(values("http://127.0.0.1:1"))), NODES.get, clock=clock)
    key = ("pod-1", "172.16.1.99")
    for _ in range(3 * 24 * 60):
        locator._look_up({key: ""})
        clock.now = locator._missed[key].until
    assert reported(locator, *key) == "NoNetworkInterface"
    locator._look_up({key: ""})
    assert 0 < locator._missed[key].until - clock.now <= intervals.MISSING_ADDRESS_LONGEST


@pytest.mark.parametrize(("failures", "expected"), [(1, {""}), (5, {"", "CloudUnavailable"})])
def test_read_that_fails_is_reported_once_it_has_failed_three_times(failures: int, expected: set[str]) -> None:
    emulator = cloud()
    emulator.add_fault(Fault("error", action=ACTION, code="ServiceUnavailable", times=failures))
    with looking(emulator, Clock()) as locator:
        seen: set[str | None] = set()
        wait_until(lambda: seen.add(reported(locator, "pod-1", "172.16.1.1")) or None in seen, 10, "the address")  # type: ignore[func-returns-value]
        assert seen - {None} == expected


# Addresses in prefixes


def prefixes(*, found_by_address: bool) -> Emulator:
    """Make a cloud with two instances, one of which has two interfaces with a prefix each."""
    vswitch = {"vpc": "vpc-1", "zone": "cn-hangzhou-j", "route_table": "vtb-1"}
    world: dict[str, Any] = {
        "regions": ["cn-hangzhou"],
        "credentials": [{"access_key_id": "key", "access_key_secret": parse(values("http://x")).credential.secret}],  # type: ignore[union-attr]
        "vpcs": [{"id": "vpc-1", "cidr": "172.16.0.0/12"}],
        "route_tables": [{"id": "vtb-1", "vpc": "vpc-1", "default_route": {"type": "NatGateway", "id": "ngw-1"}}],
        "vswitches": [
            {"id": "vsw-1", "cidr": "172.16.0.0/20", **vswitch},
            {"id": "vsw-2", "cidr": "172.16.16.0/20", **vswitch},
        ],
        "nat_gateways": [{"id": "ngw-1", "vpc": "vpc-1", "vswitch": "vsw-1", "eips": ["203.0.113.10"]}],
        "network_interfaces": [
            {"id": "eni-1", "vswitch": "vsw-1", "instance": "i-node", "private_ips": "172.16.1.1"},
            {
                "id": "eni-2",
                "vswitch": "vsw-2",
                "instance": "i-node",
                "private_ips": "172.16.17.1",
                "ipv4_prefixes": ["172.16.17.16/28", "172.16.17.32/28"],
            },
            {"id": "eni-3", "vswitch": "vsw-1", "instance": "i-other", "private_ips": "172.16.1.2"},
        ],
        "address_filter_finds_prefixes": found_by_address,
    }
    return Emulator(World.from_dict(world), clock=ManualClock(), seed=1)


@pytest.mark.parametrize("found_by_address", [True, False])
def test_address_that_lies_only_in_a_prefix_of_its_nodes_interface_is_located(found_by_address: bool) -> None:  # noqa: FBT001
    emulator = prefixes(found_by_address=found_by_address)
    with looking(emulator, Clock()) as locator:
        for number, ip in enumerate(["172.16.17.17", "172.16.17.33", "172.16.17.34"]):
            wait_until(lambda n=number, ip=ip: reported(locator, f"pod-{n}", ip, "node-1") is None, 10, ip)  # type: ignore[misc]
            located = locator.locate(f"pod-{number}", ip, "node-1")
            assert isinstance(located, Located)
            assert (located.address.eni, located.address.vswitch) == ("eni-2", "vsw-2")
        # One look at the node is enough for all of its prefixes.
        assert emulator.calls.count(ACTION) == (3 if found_by_address else 4)


@pytest.mark.parametrize("node", ["node-2", "node-3", ""], ids=["another instance", "no instance", "no node"])
def test_address_in_a_prefix_of_another_node_is_not_the_pods(node: str) -> None:
    emulator = prefixes(found_by_address=False)
    with looking(emulator, Clock()) as locator:
        reported(locator, "pod-1", "172.16.17.17", node)
        wait_until(lambda: ("pod-1", "172.16.17.17") in locator._missed, 10, "the look")
        assert reported(locator, "pod-1", "172.16.17.17", node) == ""


def test_prefix_that_a_node_got_since_it_was_read_is_found() -> None:
    emulator = prefixes(found_by_address=False)
    with looking(emulator, Clock()) as locator:
        locator._node_prefixes._interfaces["node-1"] = []
        wait_until(lambda: reported(locator, "pod-1", "172.16.17.17", "node-1") is None, 10, "the address")


# Refused calls


class Refusing(CloudClient):
    """A cloud that refuses each call in which one of these addresses stands."""

    bad: frozenset[str] = frozenset()

    def describe_network_interfaces(self, ips: Sequence[str]) -> dict[str, Address]:
        # The emulated cloud refuses what is no IPv4 address, as the cloud does.
        return super().describe_network_interfaces([f"{ip}:" if ip in self.bad else ip for ip in ips])


@pytest.mark.parametrize("bad", [1, 7, 15])
def test_one_address_that_the_cloud_refuses_does_not_keep_the_others_from_being_found(bad: int) -> None:
    emulator = cloud()
    with EmulatorServer(emulator) as server:
        client = Refusing(parse(values(server.url)))
        client.bad = frozenset([f"172.16.1.{bad}"])
        locator = PodLocator(client, NODES.get)
        for number in range(1, 16):
            locator.locate(f"pod-{number}", f"172.16.1.{number}")
        locator.start()
        try:
            others = [n for n in range(1, 16) if n != bad]
            wait_until(lambda: all(reported(locator, f"pod-{n}", f"172.16.1.{n}") is None for n in others), 10, "them")
            wait_until(lambda: reported(locator, f"pod-{bad}", f"172.16.1.{bad}"), 10, "the refusal to be told")
        finally:
            locator.stop()
        assert reported(locator, f"pod-{bad}", f"172.16.1.{bad}") == "CloudUnavailable"
        assert emulator.calls.count(ACTION) < 20


def test_call_that_is_refused_whatever_it_asks_for_is_reported_to_all() -> None:
    emulator = cloud()
    emulator.add_fault(Fault("error", action=ACTION, code="InvalidVpcId.NotFound", status=404, times=None))
    with looking(emulator, Clock()) as locator:
        uids = [f"pod-{number}" for number in range(50)]
        wait_until(lambda: all(reported(locator, uid, "172.16.1.1") for uid in uids), 10, "all to be told")


def test_address_that_nobody_asks_for_any_more_is_looked_up_no_longer() -> None:
    emulator, clock = cloud(), Clock()
    emulator.add_fault(Fault("error", action=ACTION, code="ServiceUnavailable", times=None))
    with looking(emulator, clock) as locator:
        reported(locator, "pod-1", "172.16.1.1")
        wait_until(lambda: emulator.calls.count(ACTION) > 3, 10, "some tries")
        assert locator._requested
        clock.now += intervals.REQUEST_TTL + 1
        wait_until(lambda: not locator._requested, 10, "the request to be given up")


def test_address_of_a_pod_that_has_gone_is_not_kept() -> None:
    with EmulatorServer(cloud()) as server:
        locator = PodLocator(CloudClient(parse(values(server.url))), NODES.get)
        locator.start()
        try:
            wait_until(lambda: isinstance(locator.locate("pod-1", "172.16.1.1"), Located), 10, "the address")
            locator.locate("pod-1", "172.16.1.1")
            assert server.emulator.calls.count("DescribeNetworkInterfaces") == 1
            locator.forget("pod-1")
            wait_until(lambda: isinstance(locator.locate("pod-1", "172.16.1.1"), Located), 10, "the address again")
            assert server.emulator.calls.count("DescribeNetworkInterfaces") == 2
        finally:
            locator.stop()
